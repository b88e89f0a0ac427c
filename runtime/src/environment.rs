//! Where a process runs, as far as it can be told from inside: reported at the start, since half of
//! all surprises are a limit that nobody knew of.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The container runtime (`docker`, `podman`, `kubernetes`, `container` for any other); none outside of one.
    pub container: Option<String>,
    /// The Kubernetes namespace and pod, as `namespace/pod`; none elsewhere.
    pub kubernetes: Option<String>,
    /// Whether systemd started it as a service.
    pub systemd: bool,
    /// Cores that the process may run on.
    pub cpus: u32,
    /// Thousandths of a core that the control group allows; none without a limit.
    pub cpu_limit_millis: Option<u64>,
    /// Bytes of memory that the control group allows; none without a limit.
    pub memory_limit_bytes: Option<u64>,
    /// Descriptors that it may open; none where that is not known.
    pub descriptor_limit: Option<u64>,
}

impl Environment {
    /// Looks around.
    #[must_use]
    pub fn detect() -> Self {
        Self::look(Path::new("/"), &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Looks around below `root`, with these variables.
    fn look(root: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let is_there = |path: &str| root.join(path).exists();
        let kubernetes = variable("KUBERNETES_SERVICE_HOST").map(|_| {
            let namespace = read("var/run/secrets/kubernetes.io/serviceaccount/namespace");
            let namespace = namespace.map_or("unknown".to_owned(), |text| text.trim().to_owned());
            let pod = variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or("unknown".to_owned());
            format!("{namespace}/{pod}")
        });
        let groups = read("proc/self/cgroup").unwrap_or_default();
        let container = match () {
            () if kubernetes.is_some() => Some("kubernetes"),
            () if is_there("run/.containerenv") => Some("podman"),
            () if is_there(".dockerenv") => Some("docker"),
            () if variable("container").is_some()
                || ["docker", "kubepods", "containerd", "libpod"]
                    .iter()
                    .any(|word| groups.contains(word)) =>
            {
                Some("container")
            }
            () => None,
        };
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            container: container.map(ToOwned::to_owned),
            kubernetes,
            systemd: variable("INVOCATION_ID").is_some() || variable("NOTIFY_SOCKET").is_some(),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            cpu_limit_millis: cpu_limit(&groups, &read),
            memory_limit_bytes: memory_limit(&groups, &read),
            descriptor_limit: read("proc/self/limits").as_deref().and_then(descriptors),
        }
    }
}

/// The folders of the process's control group below `/sys/fs/cgroup`, from its own to the root: a limit of any
/// of them counts.
fn folders(groups: &str) -> Vec<String> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_matches('/');
    let mut folders = vec![own.to_owned()];
    while let Some((parent, _)) = folders.last().and_then(|folder| folder.rsplit_once('/')) {
        folders.push(parent.to_owned());
    }
    if !own.is_empty() {
        // Inside a container the group's own folder is often mounted as the root.
        folders.push(String::new());
    }
    folders
        .into_iter()
        .map(|folder| format!("sys/fs/cgroup/{folder}").trim_end_matches('/').to_owned())
        .collect()
}

/// The smallest limit of all groups: version 2's `cpu.max`, or version 1's quota and period.
fn cpu_limit(groups: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let millis = |quota: &str, period: &str| {
        let (quota, period) = (quota.trim().parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
        quota.saturating_mul(1000).checked_div(period)
    };
    let second = folders(groups).into_iter().filter_map(|folder| {
        let text = read(&format!("{folder}/cpu.max"))?;
        let (quota, period) = text.trim().split_once(' ')?;
        millis(quota, period)
    });
    let first = || {
        let quota = read("sys/fs/cgroup/cpu/cpu.cfs_quota_us")?;
        millis(&quota, &read("sys/fs/cgroup/cpu/cpu.cfs_period_us")?)
    };
    second.min().or_else(first)
}

/// Above this version 1 means that there is no limit.
const NO_MEMORY_LIMIT: u64 = 1 << 60;

fn memory_limit(groups: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let bytes =
        |path: String| read(&path)?.trim().parse::<u64>().ok().filter(|bytes| *bytes < NO_MEMORY_LIMIT);
    let second = folders(groups).into_iter().filter_map(|folder| bytes(format!("{folder}/memory.max")));
    second.min().or_else(|| bytes("sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned()))
}

/// The soft limit of `/proc/self/limits` (proc_pid_limits(5)).
fn descriptors(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    fn look(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Environment {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Environment::look(root.path(), &find)
    }

    #[test]
    fn a_pod_with_limits_is_told() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/memory.max", "268435456\n"),
            ("var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop"),
            (
                "proc/self/limits",
                "Limit  Soft  Hard  Units\nMax open files            1024                 4096                 files\n",
            ),
        ];
        let found = look(&files, &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("HOSTNAME", "relay-0")]);
        assert_eq!(
            (found.container.as_deref(), found.kubernetes.as_deref()),
            (Some("kubernetes"), Some("shop/relay-0"))
        );
        assert_eq!((found.cpu_limit_millis, found.memory_limit_bytes), (Some(1500), Some(268_435_456)));
        assert_eq!((found.descriptor_limit, found.systemd), (Some(1024), false));
    }

    #[test]
    fn the_tightest_group_above_a_service_counts() {
        let files = [
            ("proc/self/cgroup", "0::/system.slice/relayd.service\n"),
            ("sys/fs/cgroup/system.slice/relayd.service/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/system.slice/relayd.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "1000000\n"),
        ];
        let found = look(&files, &[("INVOCATION_ID", "1")]);
        assert_eq!((found.container, found.systemd), (None, true));
        assert_eq!((found.cpu_limit_millis, found.memory_limit_bytes), (Some(500), Some(1_000_000)));
    }

    #[test]
    fn version_one_and_no_limit_are_understood() {
        let files = [
            ("proc/self/cgroup", "4:memory:/docker/abc\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            (".dockerenv", ""),
        ];
        let found = look(&files, &[]);
        assert_eq!(found.container.as_deref(), Some("docker"));
        assert_eq!((found.cpu_limit_millis, found.memory_limit_bytes), (None, None));
    }

    #[test]
    fn nothing_known_is_nothing_told() {
        let found = look(&[], &[]);
        assert_eq!((found.container, found.kubernetes, found.systemd), (None, None, false));
        assert!(found.cpus > 0);
    }
}
