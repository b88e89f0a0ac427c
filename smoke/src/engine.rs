//! The container engine, through the `docker` command: what one run makes of it carries the run's
//! name and is removed at the run's end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::container::{Container, ContainerSpec};
use crate::image::{Image, Program};
use crate::process::{self, Ran};

/// How long the engine may take for one thing; it is a patience for loaded machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The label that everything of a run carries.
const LABEL: &str = "dev.omnirelay.smoke";

/// The engine for one run of one suite.
pub struct Engine {
    run: String,
    scratch: TempDir,
    images: Mutex<Vec<String>>,
    /// Containers in the order of their creation, with the check that made them.
    containers: Mutex<Vec<(String, Container)>>,
    check: Mutex<String>,
    making: Mutex<()>,
    numbers: AtomicU32,
}

impl Engine {
    /// Finds the engine.
    ///
    /// # Panics
    /// Where none answers.
    #[must_use]
    pub fn connect(suite: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = format!("smoke-{suite}-{:x}-{:x}", std::process::id(), since.as_micros());
        let scratch = match std::env::var_os("TEST_TMPDIR") {
            Some(folder) => TempDir::new_in(folder),
            None => TempDir::new(),
        };
        let engine = Self {
            run,
            scratch: scratch.expect("a temporary folder can be made"),
            images: Mutex::default(),
            containers: Mutex::default(),
            check: Mutex::default(),
            making: Mutex::default(),
            numbers: AtomicU32::default(),
        };
        let answer = engine.docker(["version", "--format", "{{.Server.Version}}"]);
        assert!(
            answer.code == 0,
            "no container engine answers (DOCKER_HOST is {:?}): `./bazelw test` starts one, or name the \
             socket of a Docker or podman service\n{answer}",
            std::env::var("DOCKER_HOST").unwrap_or_default()
        );
        println!("engine {}, run {}", answer.stdout.trim(), engine.run);
        engine
    }

    /// The name of the run; nobody else has it.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Runs the `docker` command to its end.
    pub fn docker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        process::run("docker", args, DEADLINE)
    }

    /// A new empty folder that is removed with the run.
    ///
    /// # Panics
    /// Where it is there already.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::create_dir(&path).expect("a folder of that name is new");
        path
    }

    /// Loads an image.
    #[must_use]
    pub fn image(&self, program: Program) -> Image {
        Image::load(self, program)
    }

    /// Makes the network of the run, on which containers find each other by name.
    #[must_use]
    pub fn network(&self) -> String {
        self.labelled(["network", "create"])
    }

    /// Makes a volume.
    #[must_use]
    pub fn volume(&self) -> String {
        self.labelled(["volume", "create"])
    }

    fn labelled(&self, command: [&str; 2]) -> String {
        let label = self.label();
        let name = self.run.as_str();
        let mut args = command.to_vec();
        args.extend(["--label", &label]);
        let _making = self.making();
        // Networks take their name as the last word; so do volumes.
        args.push(name);
        let _made = self.docker(args).exits(0);
        name.to_owned()
    }

    /// Describes a container; `name` is its name on the network and in this run.
    #[must_use]
    pub fn container(&self, name: &str, image: &Image) -> ContainerSpec<'_> {
        ContainerSpec::new(self, name, image)
    }

    /// A number for a name; every call gives another one.
    pub(crate) fn next(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn label(&self) -> String {
        format!("{LABEL}={}", self.run)
    }

    pub(crate) fn keep_image(&self, name: &str) {
        lock(&self.images).push(name.to_owned());
    }

    /// Allows to make something; whoever keeps the answer keeps everybody else from it.
    pub(crate) fn making(&self) -> MutexGuard<'_, ()> {
        lock(&self.making)
    }

    pub(crate) fn keep_container(&self, container: &Container) {
        let check = lock(&self.check).clone();
        lock(&self.containers).push((check, container.clone()));
    }

    /// Containers that are made from here on belong to this check; none is the fixture.
    pub(crate) fn begin(&self, check: &str) {
        check.clone_into(&mut lock(&self.check));
    }

    /// Prints the state and the log of the fixture's containers and of the current check's.
    pub(crate) fn print_logs(&self) {
        let current = lock(&self.check).clone();
        let containers = lock(&self.containers).clone();
        for (check, container) in containers {
            if check.is_empty() || check == current {
                println!("{}", container.report());
            }
        }
    }

    /// Removes everything of this run. It works from the engine's own lists, so nothing is
    /// forgotten that a panic or a signal cut short.
    pub(crate) fn sweep(&self) {
        let filter = format!("label={}", self.label());
        for (list, remove) in [
            // Twice: one whose network another uses goes only after that.
            (["ps", "--all", "--quiet"].as_slice(), ["rm", "--force", "--volumes"].as_slice()),
            (&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
            (&["volume", "ls", "--quiet"], &["volume", "rm", "--force"]),
        ] {
            let found = self.docker(list.iter().copied().chain(["--filter", &filter]));
            let found: Vec<&str> = found.stdout.split_whitespace().collect();
            if !found.is_empty() {
                self.tidy(remove.iter().copied().chain(found));
            }
        }
        for image in lock(&self.images).drain(..) {
            self.tidy(["rmi", "--no-prune", image.as_str()]);
        }
    }

    fn tidy<'a>(&self, args: impl IntoIterator<Item = &'a str>) {
        let done = self.docker(args);
        if done.code != 0 {
            println!("something is left over: {done}");
        }
    }
}

/// A lock that outlives the panic of a check.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
