//! Running other programs to their end, with a deadline.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::process::Command;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the async runtime starts")
});

/// Waits for a future on the suite's runtime, whose tasks go on in between.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Enters the suite's runtime, where a task is to be started beside a check.
pub fn enter() -> tokio::runtime::EnterGuard<'static> {
    RUNTIME.enter()
}

/// The runtime itself, to enter where a task is to be started.
pub(crate) fn runtime() -> &'static Runtime {
    &RUNTIME
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What ran, for messages.
    pub command: String,
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside.
    pub stderr: String,
}

impl Ran {
    /// Insists on an exit code.
    ///
    /// # Panics
    /// With all that the program printed, where it is another one.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "exit code {code} was expected\n{self}");
        self
    }

    /// Insists on a text in what it said on standard error.
    ///
    /// # Panics
    /// With all that the program printed, where the text is not there.
    #[must_use]
    pub fn tells(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` was expected on standard error\n{self}");
        self
    }

    /// Insists on a text in what it printed.
    ///
    /// # Panics
    /// With all that the program printed, where the text is not there.
    #[must_use]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "`{text}` was expected on standard output\n{self}");
        self
    }

    /// What it printed, as JSON.
    ///
    /// # Panics
    /// With all that the program printed, where that is something else.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error})\n{self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(
            f,
            "$ {command}\nexit code {code}\n--- standard output\n{stdout}\n--- standard error\n{stderr}\n---"
        )
    }
}

/// Runs a program to its end.
///
/// # Panics
/// Where it cannot be started, or has not ended `within` that time; then it is killed.
pub fn run<A: Into<OsString>>(program: &str, args: impl IntoIterator<Item = A>, within: Duration) -> Ran {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let words =
        std::iter::once(program.to_owned()).chain(args.iter().map(|a| a.to_string_lossy().into_owned()));
    let command = words.collect::<Vec<_>>().join(" ");
    let output = block_on(async {
        let mut process = Command::new(program);
        process.args(&args).stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(within, process.output()).await
    });
    match output {
        Err(_) => panic!("`{command}` has not ended within {} s", within.as_secs()),
        Ok(Err(error)) => panic!("`{command}` cannot be started: {error}"),
        Ok(Ok(output)) => Ran {
            command,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
    }
}
