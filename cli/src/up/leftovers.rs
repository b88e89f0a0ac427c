//! Processes that outlive an `up` which was killed: noted while they run, so that the next `up`
//! can name them.

use std::path::{Path, PathBuf};

use super::process::Process;

/// Notes who runs, beside whom an earlier mesh left behind. A note is a help, not a need: where it
/// cannot be written the mesh runs on.
pub(super) fn note(directory: &Path, processes: &[Process]) {
    let mut pids = alive(directory);
    for pid in processes.iter().map(|process| process.pid.to_string()) {
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
    let _unwritten = std::fs::write(file(directory), pids.join("\n"));
}

/// Takes back the note of those who ended.
pub(super) fn forget(directory: &Path) {
    let left = alive(directory);
    let _absent = match left.is_empty() {
        true => std::fs::remove_file(file(directory)),
        false => std::fs::write(file(directory), left.join("\n")),
    };
}

/// The noted processes that are still there.
pub(super) fn alive(directory: &Path) -> Vec<String> {
    let noted = std::fs::read_to_string(file(directory)).unwrap_or_default();
    noted.lines().filter(|pid| is_ours(pid)).map(str::to_owned).collect()
}

fn file(directory: &Path) -> PathBuf {
    directory.join("up.pids")
}

/// Whether a process runs one of our binaries: its number may be somebody else's by now.
#[cfg(target_os = "linux")]
fn is_ours(pid: &str) -> bool {
    use crate::dev::Kind;

    let Ok(pid) = pid.parse::<u32>() else {
        return false;
    };
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program.file_name().unwrap_or_default();
    [Kind::Meshkit, Kind::Sample, Kind::Relay].iter().any(|kind| kind.binary() == name)
}

#[cfg(not(target_os = "linux"))]
fn is_ours(_pid: &str) -> bool {
    false
}
