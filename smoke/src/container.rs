//! One container: described, created, started, watched.

use std::time::Duration;

use crate::engine::{DEADLINE, Engine};
use crate::image::Image;
use crate::process::{self, Ran};

/// How a volume is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// For reading and writing.
    Writable,
    /// For reading.
    ReadOnly,
}

/// A container to be.
pub struct ContainerSpec<'a> {
    engine: &'a Engine,
    name: String,
    image: String,
    options: Vec<String>,
    args: Vec<String>,
}

impl<'a> ContainerSpec<'a> {
    pub(crate) fn new(engine: &'a Engine, name: &str, image: &Image) -> Self {
        let unique = format!("{}-{name}", engine.run());
        let options =
            ["--name", &unique, "--label", &engine.label(), "--pull", "never"].map(str::to_owned).to_vec();
        Self { engine, name: name.to_owned(), image: image.name.clone(), options, args: Vec::new() }
    }

    /// Options of `docker create`.
    #[must_use]
    pub fn options<S: Into<String>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Puts it on a network, where others find it by its name.
    #[must_use]
    pub fn network(self, network: &str) -> Self {
        let name = self.name.clone();
        self.options(["--network", network, "--network-alias", &name, "--hostname", &name])
    }

    /// Mounts a volume.
    #[must_use]
    pub fn volume(self, volume: &str, at: &str, mount: Mount) -> Self {
        let end = if mount == Mount::ReadOnly { ":ro" } else { "" };
        self.options(["--volume".to_owned(), format!("{volume}:{at}{end}")])
    }

    /// Makes a port reachable on loopback, on TCP and on UDP. The engine chooses the ports there,
    /// so they are never taken, and the two differ.
    #[must_use]
    pub fn publish(self, port: u16) -> Self {
        ["tcp", "udp"].into_iter().fold(self, |spec, transport| {
            spec.options(["--publish".to_owned(), format!("127.0.0.1::{port}/{transport}")])
        })
    }

    /// The program's arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Creates it without starting it, so that files can be put into it.
    ///
    /// # Panics
    /// Where the engine refuses.
    #[must_use]
    pub fn create(self) -> Container {
        let words = ["create"].into_iter().chain(self.options.iter().map(String::as_str));
        let words = words.chain([self.image.as_str()]).chain(self.args.iter().map(String::as_str));
        let _making = self.engine.making();
        let id = self.engine.docker(words).exits(0).stdout.trim().to_owned();
        let container = Container { name: self.name, id };
        self.engine.keep_container(&container);
        container
    }

    /// Creates and starts it.
    ///
    /// # Panics
    /// Where the engine refuses.
    #[must_use]
    pub fn start(self) -> Container {
        let container = self.create();
        container.start();
        container
    }
}

/// A container of this run.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name on the network.
    pub name: String,
    id: String,
}

impl Container {
    fn docker(&self, command: &str, options: &[&str]) -> Ran {
        let words = command.split(' ').chain(options.iter().copied()).chain([self.id.as_str()]);
        process::run("docker", words, DEADLINE)
    }

    /// Starts it.
    ///
    /// # Panics
    /// Where the engine refuses.
    pub fn start(&self) {
        let _started = self.docker("start", &[]).exits(0);
    }

    /// Starts it, waits for its end and returns what it printed.
    ///
    /// # Panics
    /// Where it has not ended `within` that time.
    #[must_use]
    pub fn run(&self, within: Duration) -> Ran {
        let mut ran = process::run("docker", ["start", "--attach", &self.id], within);
        ran.command = format!("container {}", self.name);
        ran
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Panics
    /// Where it has not ended `within` that time.
    #[must_use]
    pub fn ended(&self, within: Duration) -> i32 {
        let waited = process::run("docker", ["wait", &self.id], within).exits(0);
        waited.stdout.trim().parse().expect("`docker wait` prints the exit code")
    }

    /// What it printed so far.
    #[must_use]
    pub fn logs(&self) -> Ran {
        self.docker("logs", &[])
    }

    /// Sends a signal, as `TERM`.
    ///
    /// # Panics
    /// Where the engine refuses.
    pub fn signal(&self, signal: &str) {
        let _sent = self.docker("kill --signal", &[signal]).exits(0);
    }

    /// Removes it before the end of the run, which removes everything.
    ///
    /// # Panics
    /// Where the engine refuses.
    pub fn remove(&self) {
        let _removed = self.docker("rm --force", &[]).exits(0);
    }

    /// Freezes it: it stays on the network and answers nothing.
    ///
    /// # Panics
    /// Where the engine refuses.
    pub fn pause(&self) {
        let _paused = self.docker("pause", &[]).exits(0);
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// Where the engine refuses.
    pub fn unpause(&self) {
        let _running = self.docker("unpause", &[]).exits(0);
    }

    /// Reads what the engine knows of it, by a template of `docker inspect`.
    ///
    /// # Panics
    /// Where the engine refuses.
    #[must_use]
    pub fn inspect(&self, template: &str) -> String {
        self.docker("inspect --format", &[template]).exits(0).stdout.trim().to_owned()
    }

    /// The user id that its first process runs as, seen from the machine of the engine.
    ///
    /// # Panics
    /// Where the engine does not tell.
    #[must_use]
    pub fn user(&self) -> String {
        // Docker takes options of `ps`; podman takes columns of its own, and has no `ps` in the image.
        let dialects = [["-o", "uid,pid"].as_slice(), &["huser"]];
        let tables = dialects.map(|dialect| {
            let words = ["top", self.id.as_str()].into_iter().chain(dialect.iter().copied());
            process::run("docker", words, DEADLINE)
        });
        let told = tables.iter().find_map(|table| {
            table.stdout.lines().nth(1).filter(|_| table.code == 0)?.split_whitespace().next()
        });
        told.unwrap_or_else(|| panic!("the engine does not list the processes of {}: {tables:?}", self.name))
            .to_owned()
    }

    /// Copies a file of this machine into it, for every user there: what comes out of a build cache
    /// may be its owner's alone.
    ///
    /// # Panics
    /// Where the file cannot be read or the engine refuses.
    pub fn put(&self, from: &std::path::Path, to: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let staged = tempfile::NamedTempFile::new().unwrap();
        let mode = std::fs::metadata(from).unwrap().permissions().mode();
        std::fs::write(staged.path(), std::fs::read(from).unwrap()).unwrap();
        let mode = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
        std::fs::set_permissions(staged.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let (from, to) = (staged.path().display().to_string(), format!("{}:{to}", self.id));
        let _copied = process::run("docker", ["cp", &from, &to], DEADLINE).exits(0);
    }

    /// Copies a file or folder out of it to a path of this machine.
    ///
    /// # Panics
    /// Where the engine refuses.
    pub fn fetch(&self, from: &str, to: &std::path::Path) {
        let (from, to) = (format!("{}:{from}", self.id), to.display().to_string());
        let _copied = process::run("docker", ["cp", &from, &to], DEADLINE).exits(0);
    }

    /// Where a published port is reached on this machine, by TCP and by UDP.
    ///
    /// # Panics
    /// Where the port is not published.
    #[must_use]
    pub fn published(&self, port: u16) -> (u16, u16) {
        let ports = self.docker("port", &[]).exits(0).stdout;
        let find = |transport: &str| {
            let start = format!("{port}/{transport} ->");
            let line = ports.lines().find(|line| line.starts_with(&start));
            let found = line.and_then(|line| line.rsplit(':').next()).and_then(|port| port.parse().ok());
            found.unwrap_or_else(|| panic!("{} does not publish {port}/{transport}:\n{ports}", self.name))
        };
        (find("tcp"), find("udp"))
    }

    /// Its state and its log, for people.
    pub(crate) fn report(&self) -> String {
        let state = self.docker("inspect --format", &["{{.State.Status}}, exit code {{.State.ExitCode}}"]);
        let logs = self.logs();
        let name = &self.name;
        let text = [logs.stdout.trim_end(), logs.stderr.trim_end()].join("\n");
        format!("--- log of {name} ({}) ---\n{}\n--- end of {name} ---", state.stdout.trim(), text.trim())
    }
}
