//! A module of the control plane by itself, in its own image.

use std::path::Path;

use relay_core::Protocol;

use crate::client::Client;
use crate::container::Mount;
use crate::image::Image;
use crate::mesh::{HOME, Member, Mesh, READY, published};
use crate::wait::until;

impl Mesh {
    /// Starts the image of one module with the mesh's configuration and a store of its own, has `check` call it as
    /// the operator, and ends it.
    ///
    /// # Panics
    /// Where it does not come up, or does not end with 0.
    pub fn with_module(&self, module: &str, archive: &Path, check: impl FnOnce(&Client)) {
        let name = format!("meshkit-{module}");
        let image = Image::load_archive(&self.engine, &name, archive);
        let component =
            self.plan().into_iter().find(|one| one["kind"] == "meshkit").expect("a control plane");
        let ports = published(&component);
        let args = component["args"].as_array().expect("a component has it").iter();
        let args = args.map(|arg| arg.as_str().expect("a text").to_owned());
        let store = format!("store.path={HOME}/{name}.db");
        let mut spec = self.engine.container(&name, &image).volume(&self.volume, HOME, Mount::Writable);
        spec = spec.args(args.chain(["--set".to_owned(), store]));
        for port in &ports {
            spec = spec.publish(*port);
        }
        let container = spec.start();
        let ports = ports.iter().map(|port| container.published(*port)).collect();
        let member = Member { container, kind: "meshkit".to_owned(), ports };
        let client = Client::new(&member.url(0, Protocol::Http2), self.operator(), Protocol::Http2);
        until(&format!("{name} is ready"), READY, || {
            assert_eq!(member.container.inspect("{{.State.Status}}"), "running", "{name}");
            match client.try_get("/readyz")? {
                reply if reply.status == 200 => Ok(()),
                reply => Err(format!("/readyz answers {}", reply.status)),
            }
        });
        check(&client);
        member.container.signal("TERM");
        assert_eq!(member.container.ended(READY), 0, "{name}");
        member.container.remove();
    }
}
