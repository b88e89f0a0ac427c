//! A body that is compressed as it goes by.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::Place;
use crate::body::{Body, BoxError};

/// Bytes that are compressed before others get their turn.
const PIECE: usize = 16 << 10;

/// A body in gzip. What has come is handed on before anybody waits for more, so that an answer that comes in
/// pieces still does.
#[derive(Debug)]
pub(super) struct Gzip {
    body: Body,
    state: State,
    /// What is still to be compressed.
    input: Bytes,
    trailers: Option<HeaderMap>,
    _place: Place,
}

#[derive(Debug)]
enum State {
    /// With whether something was written that has not been handed on.
    Open(GzEncoder<Vec<u8>>, bool),
    Ended,
}

impl Gzip {
    pub(super) fn new(body: Body, level: u32, place: Place) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Level::new(level));
        Self { body, state: State::Open(encoder, false), input: Bytes::new(), trailers: None, _place: place }
    }

    /// Compresses a piece of what there is.
    fn write(&mut self) -> Result<Option<Bytes>, BoxError> {
        let State::Open(encoder, is_held) = &mut self.state else { return Ok(None) };
        let piece = self.input.split_to(self.input.remaining().min(PIECE));
        encoder.write_all(&piece)?;
        *is_held = true;
        Ok(taken(encoder))
    }

    fn flush(&mut self) -> Result<Option<Bytes>, BoxError> {
        let State::Open(encoder, is_held) = &mut self.state else { return Ok(None) };
        if !std::mem::take(is_held) {
            return Ok(None);
        }
        encoder.flush()?;
        Ok(taken(encoder))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, BoxError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open(encoder, _) => Ok(Some(encoder.finish()?.into())),
            State::Ended => Ok(None),
        }
    }
}

/// What came out of an encoder by now.
fn taken(encoder: &mut GzEncoder<Vec<u8>>) -> Option<Bytes> {
    let out = std::mem::take(encoder.get_mut());
    (!out.is_empty()).then(|| out.into())
}

impl http_body::Body for Gzip {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let data = |out: Bytes| Poll::Ready(Some(Ok(Frame::data(out))));
        loop {
            if matches!(self.state, State::Ended) {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if self.input.has_remaining() {
                match self.write()? {
                    Some(out) => return data(out),
                    None => continue,
                }
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame.transpose()?,
                Poll::Pending => return self.flush()?.map_or(Poll::Pending, data),
            };
            match frame.map(Frame::into_data) {
                Some(Ok(input)) => self.input = input,
                Some(Err(frame)) => {
                    self.trailers = frame.into_trailers().ok();
                    if let Some(out) = self.finish()? {
                        return data(out);
                    }
                }
                None => {
                    if let Some(out) = self.finish()? {
                        return data(out);
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
