//! Renewing a certificate in time, and following what members believe.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omnirelay_proto::meshkit::v1::WatchEventType;
use omnirelay_runtime::Drain;
use relay_core::{Code, Status};
use tracing::{info, warn};

use super::{Identity, NewKey};
use crate::client::MeshClient;
use crate::error::MeshError;
use crate::registration::jittered;

/// How long to wait before something is tried again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How often the authorities are read without being told to: they change with a configuration, not with a record.
const LOOK: Duration = Duration::from_secs(3_600);
/// The longest sleep, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub(super) fn spawn(identity: Identity, client: &MeshClient, drain: &Drain) {
    if identity.exists() {
        let (identity, client, drain) = (identity.clone(), client.clone(), drain.clone());
        omnirelay_runtime::spawn("identity-renewal", async move {
            tokio::select! {
                () = drain.started() => {}
                () = renew(&identity, &client) => {}
            }
        });
    }
    let (client, drain) = (client.clone(), drain.clone());
    omnirelay_runtime::spawn("trust-watch", async move {
        tokio::select! {
            () = drain.started() => {}
            () = follow(&identity, &client) => {}
        }
    });
}

/// When a certificate is to be renewed: after two thirds of its time, or a little earlier so that not all of those that
/// started together renew together; `dice` is 0 to 100.
fn due((from, until): (i64, i64), dice: u32) -> i64 {
    let lifetime = until.saturating_sub(from).max(0);
    from.saturating_add(lifetime * 2 / 3).saturating_sub(lifetime * i64::from(dice.min(100)) / 1_000)
}

async fn renew(identity: &Identity, client: &MeshClient) {
    let mut pause = FIRST_PAUSE;
    let dice =
        u32::try_from(jittered(Duration::from_millis(400)).as_millis()).unwrap_or(400).saturating_sub(300);
    loop {
        let outcome = match validity(identity).await {
            Ok(validity) => {
                let left = due(validity, dice).saturating_sub(now());
                if left > 0 {
                    let left = Duration::from_secs(left.unsigned_abs());
                    tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
                    continue;
                }
                renewed(identity, client).await
            }
            Err(status) => Err(status),
        };
        match outcome {
            Ok(()) => {
                pause = FIRST_PAUSE;
                // Also an authority that ends soon is not asked without end.
                tokio::time::sleep(pause).await;
            }
            Err(status) => {
                warn!(code = %status.code, hint = status.hint, "the certificate cannot be renewed: {}", status.message);
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

async fn renewed(identity: &Identity, client: &MeshClient) -> Result<(), Status> {
    let key = NewKey::generate().map_err(|error| Status::internal(error.to_string()))?;
    let issued = client.renew_certificate(key.request()).await.map_err(Status::from)?.value;
    let (spiffe, serial) = (issued.spiffe.clone(), issued.serial.clone());
    let identity = identity.clone();
    blocking(move || identity.write(&key, &issued)).await?;
    info!(spiffe, serial, "certificate renewed");
    Ok(())
}

async fn validity(identity: &Identity) -> Result<(i64, i64), Status> {
    let identity = identity.clone();
    blocking(move || identity.validity()).await
}

async fn follow(identity: &Identity, client: &MeshClient) {
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        let outcome = followed(identity, client, &mut pause).await;
        match outcome {
            // The control plane drains, or its connection ended.
            Ok(()) => {}
            Err(status) => {
                if told.as_ref() != Some(&status) {
                    warn!(code = %status.code, hint = status.hint, "revocations cannot be followed: {}", status.message);
                }
                told = Some(status);
            }
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Writes what members believe, at once and with every revocation, until the watch ends.
async fn followed(identity: &Identity, client: &MeshClient, pause: &mut Duration) -> Result<(), Status> {
    // First the watch and then the list: nothing falls between them.
    let mut events = client.watch_revocations().await.map_err(Status::from)?;
    loop {
        let trust = client.trust().await.map_err(Status::from)?.value;
        let to = identity.clone();
        blocking(move || to.write_trust(&trust.trust_bundle, &trust.revocation_list)).await?;
        *pause = FIRST_PAUSE;
        let look = tokio::time::sleep(LOOK);
        tokio::pin!(look);
        loop {
            let event = tokio::select! {
                () = &mut look => break,
                event = events.message() => event,
            };
            let endpoint = client.channel().endpoint();
            let event = event.map_err(|status| Status::from(MeshError::from_grpc(endpoint, &status)))?;
            match event.map(|event| event.event.unwrap_or_default().r#type()) {
                Some(WatchEventType::Put | WatchEventType::Deleted) => break,
                Some(WatchEventType::Bookmark | WatchEventType::Unspecified) => {}
                Some(WatchEventType::ResyncRequired) | None => return Ok(()),
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> omnirelay_runtime::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let outcome = tokio::task::spawn_blocking(work).await;
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let status = Status::new(Code::Internal, error.to_string());
            Err(match error.hint_text() {
                Some(hint) => status.with_hint(hint),
                None => status,
            })
        }
        Err(error) => Err(Status::internal(format!("a task ended: {error}"))),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_while_a_good_part_of_its_time_is_left() {
        let day = (1_000_000, 1_086_400);
        assert_eq!(due(day, 0), 1_057_600, "two thirds");
        assert_eq!(due(day, 100), 1_048_960, "a tenth earlier");
        assert_eq!(due(day, 4_000), due(day, 100));
        assert_eq!(due((5, 5), 50), 5);
        assert_eq!(due((9, 5), 50), 9, "one that ended before it began is due");
    }
}
