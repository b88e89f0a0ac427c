//! What a process and its children took: processor time and memory, by Linux' `/proc`.

use std::fs::read_to_string;

use super::Failure;

/// Units of `/proc/PID/stat` in a second (USER_HZ): 100 on every machine that is measured here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and all that it started, by their ids.
pub(super) fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(process) = all.get(next).copied() {
        next += 1;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for thread in threads.flatten() {
            // A thread that has ended has no children.
            let children = read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    all
}

/// Seconds of processor time of a process tree so far, in user and kernel mode.
pub(super) fn cpu(root: u32) -> Result<f64, Failure> {
    let ticks = tree(root).into_iter().map(ticks).sum::<Result<u64, Failure>>()?;
    #[allow(clippy::cast_precision_loss, reason = "no process runs for 2^52 ticks")]
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

fn ticks(process: u32) -> Result<u64, Failure> {
    let text = read_to_string(format!("/proc/{process}/stat"))?;
    // The name stands in parentheses and may hold anything; user and kernel time are the 14th and 15th field.
    let (_, fields) = text.rsplit_once(')').ok_or("a process without a name")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || times.next().ok_or("a process without times")?.parse::<u64>().map_err(Failure::from);
    Ok(next()? + next()?)
}

/// Bytes of resident memory of a process tree, each process's counted whole.
pub(super) fn resident(root: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for process in tree(root) {
        let text = read_to_string(format!("/proc/{process}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        sum += line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024;
    }
    Ok(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_with_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = std::process::id();
        assert!(tree(own).contains(&child.id()));
        assert!(cpu(own).is_ok());
        assert!(resident(own).unwrap() > resident(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
