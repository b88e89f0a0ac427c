//! What listings of the mesh share: the client, the pages, the times.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use meshkit_client::{Answer, Credentials, MeshClient, MeshError};
use omnirelay_runtime::{OperatorError, Result};
use relay_core::{Negotiated, Protocol};
use relay_transport::tls::ClientTlsConfig;
use serde_json::{Value, json};

use crate::context::Context;
use crate::introspect::age;
use crate::output::{self, ListFormat};
use crate::remote;
use crate::table::Table;

/// How long a connection to the control plane may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most records that the control plane gives at once.
const PAGE: u64 = 1000;

/// All records of a listing and how they came.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) records: Vec<T>,
    /// The store revision of the last page.
    pub(super) revision: u64,
    pub(super) negotiated: Negotiated,
    /// Whether there are more than were wanted.
    pub(super) cut: bool,
}

/// One page: records, the token of the next page, the revision.
pub(super) type Page<T> = (Vec<T>, String, u64);

/// Reads page after page with `read(client, size, token)` until the end or the limit.
pub(super) fn list<T>(
    context: Option<&Path>,
    limit: Option<u64>,
    read: impl AsyncFn(&MeshClient, u32, &str) -> Result<Answer<Page<T>>, MeshError>,
) -> Result<Listed<T>> {
    call(context, async |client| pages(client, limit.unwrap_or(u64::MAX), read).await)
}

/// Calls the control plane of a context.
pub(super) fn call<T>(
    context: Option<&Path>,
    call: impl AsyncFnOnce(&MeshClient) -> Result<T, MeshError>,
) -> Result<T> {
    let context = Context::read(context)?;
    let credentials = match context.bearer()? {
        Some(bearer) => Credentials::token(bearer.secret()),
        None => Credentials::none(),
    };
    call_as(&context.mesh, remote::context_tls(&context), credentials, call)
}

/// Calls a control plane as somebody.
pub(super) fn call_as<T>(
    mesh: &str,
    tls: ClientTlsConfig,
    credentials: Credentials,
    call: impl AsyncFnOnce(&MeshClient) -> Result<T, MeshError>,
) -> Result<T> {
    let runtime = remote::runtime()?;
    runtime.block_on(async {
        let protocols = vec![Protocol::Http3, Protocol::Http2];
        let channel = remote::channel(mesh, tls, protocols, CONNECT_TIMEOUT)?;
        let client = MeshClient::new(channel.clone(), credentials);
        let outcome = call(&client).await;
        channel.close().await;
        outcome.map_err(OperatorError::from)
    })
}

async fn pages<T>(
    client: &MeshClient,
    limit: u64,
    read: impl AsyncFn(&MeshClient, u32, &str) -> Result<Answer<Page<T>>, MeshError>,
) -> Result<Listed<T>, MeshError> {
    let (mut records, mut token) = (Vec::new(), String::new());
    loop {
        let room = limit.saturating_sub(records.len() as u64);
        let size = u32::try_from(room.min(PAGE)).unwrap_or(u32::MAX);
        let Answer { value: (page, next, revision), negotiated } = read(client, size, &token).await?;
        records.extend(page);
        let full = records.len() as u64 >= limit;
        if next.is_empty() || full {
            return Ok(Listed { records, revision, negotiated, cut: !next.is_empty() });
        }
        token = next;
    }
}

impl<T> Listed<T> {
    /// Prints the listing, which is called `name`: as a document of what `record` writes, or as a table.
    pub(super) fn print(
        &self,
        format: ListFormat,
        name: &str,
        record: impl Fn(&T) -> Value,
        table: impl FnOnce(&[T]) -> Table,
    ) -> Result<()> {
        if let Some(notation) = format.notation() {
            return output::print_document(notation, &self.document(name, record));
        }
        output::print(&table(&self.records).render(0, format.look()))?;
        self.note(name);
        Ok(())
    }

    /// The listing as one document; `record` writes one of its records.
    fn document(&self, name: &str, record: impl Fn(&T) -> Value) -> Value {
        json!({
            name: self.records.iter().map(record).collect::<Vec<_>>(),
            "revision": self.revision,
            "protocol": self.negotiated.protocol,
            "downgrade": self.negotiated.downgrade,
        })
    }

    /// Says on standard error how much there is and how it came.
    fn note(&self, name: &str) {
        let more = if self.cut { ", more with a higher --limit" } else { "" };
        let downgrade = self.negotiated.downgrade.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let (count, protocol, name) = (self.records.len(), self.negotiated.protocol, words(name));
        output::note(&format!(
            "{count} {name} at revision {} over {protocol}{downgrade}{more}",
            self.revision
        ));
    }
}

/// Names and their values in a cell.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

/// A time of the contracts in a cell.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> String {
    at(time).map(|at| at.to_string()).unwrap_or_default()
}

/// A name of a document in words: `joinTokens` is "join tokens".
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A time of the contracts as RFC 3339; none where there is none.
pub(super) fn rfc3339(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Timestamp::new(seconds, nanos).ok()
}

/// How long ago a time is.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else {
        return String::new();
    };
    // Clocks of two machines differ; the future is now.
    let past = u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default();
    age(Duration::from_secs(past))
}

/// A time of the contracts; none where there is none.
pub(super) fn at(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| rfc3339(time.seconds, time.nanos))
}
