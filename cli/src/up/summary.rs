//! What the mesh is and what to do with it, for the newcomer who just started it.

use crate::dev::DevMesh;
use crate::output::Look;
use crate::paths::{called_as, default_dev_dir, shell_word};
use crate::table::Table;

use super::process::Process;

/// The processes of a mesh that need not run.
pub(crate) fn component_table(mesh: &DevMesh) -> Table {
    let mut table = Table::new(&["NAME", "BINARY", "URL", "DIAGNOSTICS"]);
    for component in &mesh.components {
        table.row([
            component.name.clone(),
            component.binary.to_owned(),
            component.url.clone(),
            component.admin_url.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// This program as the user can call it again.
pub(crate) fn own_name() -> String {
    let own = called_as().or_else(|| std::env::current_exe().ok());
    shell_word(&own.map_or_else(|| "omnirelay".to_owned(), |path| path.display().to_string()))
}

/// What runs where.
pub(super) fn running(processes: &[Process], look: Look) -> String {
    let mut table = Table::new(&["NAME", "URL", "DIAGNOSTICS", ">PID", ">READY"]);
    for process in processes {
        let ready = process.ready.map(|ready| format!("{:.0} ms", ready.as_secs_f64() * 1e3));
        table.row([
            process.component.name.clone(),
            process.component.url.clone(),
            process.component.admin_url.clone().unwrap_or_default(),
            process.pid.to_string(),
            ready.unwrap_or_default(),
        ]);
    }
    table.render(2, look)
}

/// Where files are and what to type next.
pub(super) fn next_steps(mesh: &DevMesh) -> String {
    let own = own_name();
    let context = match default_dev_dir() {
        Ok(default) if default == mesh.directory => String::new(),
        _ => format!(" --context {}", shell_word(&mesh.context.display().to_string())),
    };
    let meshkit = mesh.components.first().map_or("", |component| component.url.as_str());
    let (ca, token) =
        (shell_word(&mesh.ca.display().to_string()), shell_word(&mesh.token_file.display().to_string()));
    let config = shell_word(&mesh.directory.join("relay-1.toml").display().to_string());
    let peers =
        format!("curl --cacert {ca} -H \"authorization: Bearer $(cat {token})\" {meshkit}/meshkit/peers");
    format!(
        "\n  authority   {}\n  token       {}\n  context     {}\n  configs     {}\n  logs        {}\n\n\
         Try, in another terminal:\n\n\
         \x20 {own} request greeter Greeter::Greet --body '{{\"name\":\"Ada\"}}'{context}\n\
         \x20 {own} request inventory Inventory::AdjustStock --body '{{\"item\":\"apple\",\"by\":5}}' --encoding protobuf --protocol http3{context}\n\
         \x20 {own} request greeter samples.v1.Greeter/Greet --body '{{\"name\":\"Ada\"}}' --grpc{context}\n\
         \x20 {own} mesh peers list{context}\n\
         \x20 {own} mesh shards list --namespace inventory{context}\n\
         \x20 {own} introspect{context}\n\
         \x20 {own} mesh config validate {config}\n\
         \x20 {peers}\n\n\
         Ctrl-C drains and stops it.\n",
        mesh.ca.display(),
        mesh.token_file.display(),
        mesh.context.display(),
        mesh.directory.display(),
        mesh.logs.display(),
    )
}
