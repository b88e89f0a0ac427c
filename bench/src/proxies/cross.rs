//! The same load by h2load, whose callers are nobody's here: what a call costs the proxy has to come out alike.

use std::process::Stdio;

use tokio::process::Command;

use super::Failure;
use super::proxy::Proxy;
use super::row::Row;
use super::running::{Relaying, Scene};

/// Calls for each second that the rest of the measurement takes: enough that the handshakes count little.
const CALLS_PER_SECOND: f64 = 20_000.0;

/// Microseconds of the proxy's processor time for a call, its share of the handshakes in it.
pub(super) async fn check(scene: &Scene, proxy: Proxy, row: Row, seconds: f64) -> Result<f64, Failure> {
    let relaying = Relaying::start(scene, proxy, row, 0).await?;
    let folder = tempfile::tempdir()?;
    let body = folder.path().join("body");
    std::fs::write(&body, row.body())?;
    let (connections, streams) = row.shape();
    let request = row.request();
    let mut command = Command::from(scene.programs.h2load(scene.cores.load));
    command.arg(format!("--clients={connections}")).arg(format!("--max-concurrent-streams={streams}"));
    command.arg(format!("--requests={:.0}", CALLS_PER_SECOND * seconds));
    command.arg(format!("--alpn-list={}", String::from_utf8_lossy(row.alpn())));
    command.arg("--data").arg(&body);
    for (name, value) in
        request.headers().iter().filter(|(name, _)| *name != "host" && *name != "content-length")
    {
        command.arg(format!("--header={name}: {}", value.to_str()?));
    }
    command.arg(format!("--connect-to=127.0.0.1:{}", relaying.port()));
    command.arg(format!("https://localhost:{}{}", relaying.port(), request.uri().path()));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let before = relaying.cpu()?;
    let output = command.output().await.map_err(|error| format!("h2load cannot be run: {error}"))?;
    let cpu = relaying.cpu()? - before;
    let said = String::from_utf8_lossy(&output.stdout);
    let succeeded = succeeded(&said).filter(|count| *count > 0.0);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let succeeded = succeeded.ok_or_else(|| format!("h2load had no answer: {said}{complaint}"))?;
    Ok(cpu * 1e6 / succeeded)
}

/// How many answers were good, where none was otherwise.
fn succeeded(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let count = |what: &str| -> Option<f64> {
        line.split(", ").find_map(|part| part.strip_suffix(what))?.trim().parse().ok()
    };
    let failed = count(" failed")? + count(" errored")? + count(" timeout")?;
    (failed == 0.0).then(|| count(" succeeded"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_where_all_are_good() {
        let line = |failed: u32| {
            format!(
                "requests: 30 total, 30 started, 30 done, 30 succeeded, {failed} failed, 0 errored, 0 timeout\n"
            )
        };
        assert_eq!(succeeded(&line(0)), Some(30.0));
        assert_eq!(succeeded(&line(1)), None);
        assert_eq!(succeeded("finished in 0us"), None);
    }
}
