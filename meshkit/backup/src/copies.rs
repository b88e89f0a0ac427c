//! One copy at a time: what it is, then its bytes.

use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{Extensions, HeaderMap};
use meshkit_api::{Context, Gate, Verb, store_status};
use meshkit_store::{StoreCopy, View};
use relay_core::{Code, Status};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::info;

/// Bytes that are read and sent at once.
const CHUNK: usize = 256 << 10;

pub(crate) struct Copies {
    gate: Gate,
    view: View,
    /// Each copy takes as much of the disk as the store.
    room: Arc<Semaphore>,
}

/// A copy that was taken.
pub(crate) struct Copy {
    pub(crate) store_id: String,
    pub(crate) incarnation: u64,
    pub(crate) revision: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
    copy: StoreCopy,
    _room: OwnedSemaphorePermit,
}

impl Copies {
    pub(crate) fn new(context: &Context) -> Self {
        Self { gate: context.gate.clone(), view: context.view.clone(), room: Arc::new(Semaphore::new(1)) }
    }

    /// Takes a copy for a caller who may.
    pub(crate) async fn take(&self, extensions: &Extensions, headers: &HeaderMap) -> Result<Copy, Status> {
        let caller = self.gate.admit(Verb::BackupTake, extensions, headers, "store").await?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Status::unavailable("another backup is being taken").with_hint("try again once it has ended")
        })?;
        let copy = self.view.copy().await.map_err(|error| store_status(&error))?.ok_or_else(|| {
            Status::new(Code::FailedPrecondition, "the store is in etcd, which takes its own backups")
                .with_hint("run `etcdctl snapshot save FILE` against one of its members")
        })?;
        let (copy, bytes, sha256) = blocking(move || measure(copy)).await?;
        let identity = self.view.identity();
        info!(actor = caller.id(), revision = copy.revision, bytes, "a backup was taken");
        Ok(Copy {
            store_id: identity.id.clone(),
            incarnation: identity.incarnation,
            revision: copy.revision,
            bytes,
            sha256,
            copy,
            _room: room,
        })
    }
}

impl Copy {
    /// Its bytes in chunks. A reader who is slow is waited for.
    pub(crate) fn chunks(self) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
        stream::try_unfold(self, |copy| async move {
            let (copy, chunk) = blocking(move || {
                let mut chunk = Vec::with_capacity(CHUNK);
                (&copy.copy.file).take(CHUNK as u64).read_to_end(&mut chunk)?;
                Ok((copy, chunk))
            })
            .await?;
            Ok((!chunk.is_empty()).then(|| (chunk.into(), copy)))
        })
    }
}

/// How much it is and what it sums up to; afterwards it is at its beginning again.
fn measure(mut copy: StoreCopy) -> std::io::Result<(StoreCopy, u64, [u8; 32])> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = copy.file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(buffer.get(..read).unwrap_or_default());
    }
    copy.file.rewind()?;
    Ok((copy, bytes, hash.finalize().into()))
}

/// Reads from the disk, off the threads that serve.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let failed = |why: String| {
        Status::unavailable(format!("the copy cannot be read: {why}")).with_hint("meshkitd's disk tells why")
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map_err(|error| failed(error.to_string())),
        Err(ended) => Err(failed(ended.to_string())),
    }
}
