//! The service of `docs/guide/rpc.md`: one procedure of each shape. The guide quotes it, and
//! `tests/guide.rs` holds both together.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use relay_rpc::{Call, Messages, Reply, ReplyStream, Status};

use crate::guide::{AppendResponse, Journal, Line, ReadRequest};

/// The most lines that a journal holds.
const MAX_LINES: usize = 10_000;

// guide: state
/// A journal in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Vec<Line>>>);

impl Memory {
    fn add(&self, line: Line) -> Result<AppendResponse, Status> {
        if !(1..=1000).contains(&line.text.len()) {
            return Err(
                Status::invalid_argument("a line has 1 to 1000 bytes").with_hint("send shorter lines")
            );
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MAX_LINES {
            return Err(Status::resource_exhausted("the journal is full").with_hint("start another one"));
        }
        lines.push(line);
        Ok(AppendResponse { count: u64::try_from(lines.len()).unwrap_or(u64::MAX) })
    }
}
// guide: end

// guide: service
impl Journal for Memory {
    // Unary: a message in, a message out. `into()` makes a reply of a message.
    async fn append(&self, _call: Call, line: Line) -> Result<Reply<AppendResponse>, Status> {
        Ok(self.add(line)?.into())
    }

    // Oneway: the caller has its answer as soon as this first waits, or returns.
    async fn note(&self, _call: Call, line: Line) -> Result<(), Status> {
        self.add(line).map(|_count| ())
    }

    // Server-streaming: the next line is asked for once the last one was sent.
    async fn read(&self, _call: Call, request: ReadRequest) -> Result<Reply<ReplyStream<Line>>, Status> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let skip = usize::try_from(request.skip).unwrap_or(usize::MAX);
        Ok(Reply::new(stream::iter(lines).skip(skip).map(Ok)).boxed())
    }

    // Client-streaming: each message is read and decoded when it is asked for.
    async fn import(&self, _call: Call, mut lines: Messages<Line>) -> Result<Reply<AppendResponse>, Status> {
        let mut last = AppendResponse::default();
        while let Some(line) = lines.message().await? {
            last = self.add(line)?;
        }
        Ok(last.into())
    }

    // Bidirectional: answers leave while requests still come.
    async fn converse(
        &self,
        _call: Call,
        lines: Messages<Line>,
    ) -> Result<Reply<ReplyStream<AppendResponse>>, Status> {
        let journal = self.clone();
        Ok(Reply::new(lines.map(move |line| journal.add(line?))).boxed())
    }
}
// guide: end
