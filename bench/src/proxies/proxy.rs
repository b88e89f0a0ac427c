//! The proxies, and how each is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;
use super::configs::{self, Settings};

/// One that stands between callers and the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proxy {
    Relayd,
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
}

impl Proxy {
    /// All of them, in the table's order.
    pub(super) const ALL: [Self; 5] = [Self::Relayd, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Caddy];

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Relayd => "relayd",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Caddy => "Caddy",
        }
    }

    /// Its configuration, written into its folder, and the arguments that name it.
    pub(super) fn configure(self, settings: &Settings<'_>) -> Result<Vec<OsString>, Failure> {
        let (name, text) = self.configuration(settings);
        let file = settings.folder.join(name);
        std::fs::write(&file, text)?;
        let mut arguments: Vec<OsString> = self.arguments().iter().map(OsString::from).collect();
        arguments.push(file.into());
        Ok(arguments)
    }

    /// Its arguments before the name of its configuration.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Relayd => &["--log", "error", "--config"],
            Self::Nginx => &["-e", "stderr", "-c"],
            Self::Haproxy => &["-db", "-q", "-f"],
            Self::Envoy => {
                &["--concurrency", "1", "--log-level", "error", "--disable-hot-restart", "--config-path"]
            }
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config"],
        }
    }

    /// The name and the text of its configuration.
    pub(super) fn configuration(self, settings: &Settings<'_>) -> (&'static str, String) {
        match self {
            Self::Relayd => ("relay.toml", configs::relayd(settings)),
            Self::Nginx => ("nginx.conf", configs::nginx(settings)),
            Self::Haproxy => ("haproxy.cfg", configs::haproxy(settings)),
            Self::Envoy => ("envoy.yaml", configs::envoy(settings)),
            Self::Caddy => ("Caddyfile", configs::caddy(settings)),
        }
    }
}

/// Where the programs lie.
pub(crate) struct Programs {
    /// The relay.
    pub(crate) relayd: PathBuf,
    /// The folder with `root` (Debian's packages, unpacked) and `envoy`; none where those of the machine are meant.
    pub(crate) folder: Option<PathBuf>,
}

impl Programs {
    /// The program and what its arguments begin with. Packages of another Debian need their own loader and libraries.
    fn program(&self, proxy: Proxy) -> Vec<OsString> {
        match (proxy, &self.folder) {
            (Proxy::Relayd, _) => vec![self.relayd.clone().into()],
            (Proxy::Envoy, Some(folder)) => vec![folder.join("envoy").into()],
            (Proxy::Envoy, None) => vec!["envoy".into()],
            (Proxy::Nginx, _) => self.packaged("usr/sbin", "nginx"),
            (Proxy::Haproxy, _) => self.packaged("usr/sbin", "haproxy"),
            (Proxy::Caddy, _) => self.packaged("usr/bin", "caddy"),
        }
    }

    fn packaged(&self, place: &str, name: &str) -> Vec<OsString> {
        let Some(folder) = &self.folder else { return vec![name.into()] };
        let root = folder.join("root");
        let loader = root.join("usr/lib64/ld-linux-x86-64.so.2");
        vec![
            loader.into(),
            "--library-path".into(),
            root.join("usr/lib/x86_64-linux-gnu").into(),
            root.join(place).join(name).into(),
        ]
    }

    /// The command that starts h2load, kept to one core.
    pub(super) fn h2load(&self, core: usize) -> Command {
        let mut command = pinned(core);
        command.args(self.packaged("usr/bin", "h2load"));
        command
    }

    /// The command that starts it with these arguments in `folder`, kept to one core. It ends with whoever started it.
    pub(super) fn command(&self, proxy: Proxy, core: usize, folder: &Path) -> Command {
        let mut command = pinned(core);
        command.args(self.program(proxy)).current_dir(folder);
        // Go keeps to one thread beside those that wait, and nobody writes into the user's folders.
        command
            .env("GOMAXPROCS", "1")
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .env("XDG_DATA_HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// What it says of its version.
    pub(super) fn version(&self, proxy: Proxy) -> Result<String, Failure> {
        let mut words = self.program(proxy).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(match proxy {
            Proxy::Relayd | Proxy::Envoy => "--version",
            Proxy::Nginx | Proxy::Haproxy => "-v",
            Proxy::Caddy => "version",
        });
        let said = command.output().map_err(|error| format!("{} cannot be run: {error}", proxy.title()))?;
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // The first number with a dot, as in `nginx/1.30.6`, `2.11.4` or `9e55.../1.40.0/Clean`.
        let version =
            said.split(|one: char| one != '.' && one != '-' && !one.is_ascii_alphanumeric()).find(|word| {
                word.contains('.')
                    && word.trim_start_matches('v').starts_with(|one: char| one.is_ascii_digit())
            });
        let version =
            version.ok_or_else(|| format!("{} does not tell its version: {said}", proxy.title()))?;
        Ok(version.trim_start_matches('v').to_owned())
    }
}

/// A command that is kept to one core and that ends with the thread that starts it; its arguments follow.
pub(super) fn pinned(core: usize) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "--cpu-list"]).arg(core.to_string());
    command
}
