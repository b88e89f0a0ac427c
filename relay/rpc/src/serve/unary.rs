//! Calls of one message each way, which are most: served without a box around the whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::http::Response;
use bytes::Bytes;
use relay_core::{RpcStyle, Status};
use relay_transport::body::Collect;
use relay_transport::{Body, respond};
use tokio::time::Instant;

use super::{Deadline, exceeded, grpc, http};
use crate::BoxFuture;
use crate::call::Call;
use crate::dispatcher::Dispatcher;
use crate::frame::Frames;
use crate::procedure::{Beside, Input, Output, Outputs, RpcRequest, RpcResponse};
use crate::seat::Running;

/// A call under way.
pub(crate) struct Unary {
    dispatcher: Arc<Dispatcher>,
    entry: usize,
    deadline: Option<Instant>,
    /// Armed once something is waited for.
    timer: Option<Deadline>,
    asked: Option<Asked>,
    state: State,
}

/// What its answer has to know of the call.
enum Asked {
    Http(http::Asked),
    Grpc(grpc::Asked),
}

enum State {
    /// In a box: what wraps it is moved several times before the message is there.
    Reading(Box<(Call, Message)>),
    Running(Running),
    /// A layer gives many messages where one is expected.
    Streaming(BoxFuture<Response<Body>>),
    Answered(Option<Box<Response<Body>>>),
}

impl State {
    /// Begins to read the message; where it is there already, the procedure begins at once.
    fn begin(dispatcher: &Dispatcher, entry: usize, call: Call, mut message: Message, known: bool) -> Self {
        if !known {
            return Self::Reading(Box::new((call, message)));
        }
        match message.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(bytes)) => Self::run(dispatcher, entry, call, &message, bytes),
            Poll::Ready(Err(status)) => {
                Self::Running(Running::boxed(Box::pin(std::future::ready(Err(status)))))
            }
            Poll::Pending => Self::Reading(Box::new((call, message))),
        }
    }

    fn run(dispatcher: &Dispatcher, entry: usize, mut call: Call, read: &Message, bytes: Bytes) -> Self {
        call.mark_compressed(read.was_compressed());
        let request = RpcRequest { call, input: Input::One(bytes) };
        Self::Running(dispatcher.entry(entry).procedure.run(request))
    }
}

/// The one message of the request.
enum Message {
    Whole(Collect),
    Framed { frames: Frames, first: Option<Bytes> },
}

impl Message {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        match self {
            Self::Whole(collect) => collect.poll(cx).map_ok(|(message, _trailers)| message),
            Self::Framed { frames, first } => frames.poll_only(first, cx),
        }
    }

    fn was_compressed(&self) -> bool {
        matches!(self, Self::Framed { frames, .. } if frames.is_compressed())
    }
}

impl Unary {
    /// Begins to serve a call by the entry of this number.
    pub(crate) fn new(dispatcher: Arc<Dispatcher>, entry: usize, call: Call, body: Body) -> Self {
        let (settings, deadline, known) = (dispatcher.settings(), call.deadline(), body.is_known());
        let (asked, state) = match call.style() {
            RpcStyle::Grpc => {
                let asked = grpc::Asked::of(settings, &call);
                let state = match grpc::frames(settings, &call, body) {
                    Ok(frames) => {
                        let message = Message::Framed { frames, first: None };
                        State::begin(&dispatcher, entry, call, message, known)
                    }
                    Err(refusal) => State::Answered(Some(refusal)),
                };
                (Asked::Grpc(asked), state)
            }
            RpcStyle::Yarpc | RpcStyle::Http => {
                let asked = http::Asked::of(settings, &call);
                let state = match http::refuse(dispatcher.entry(entry).shape, &call) {
                    Ok(()) => {
                        let message = Message::Whole(Collect::new(body, settings.max_message));
                        State::begin(&dispatcher, entry, call, message, known)
                    }
                    Err(status) => State::Answered(Some(Box::new(asked.failed(&status)))),
                };
                (Asked::Http(asked), state)
            }
        };
        Self { dispatcher, entry, deadline, timer: None, asked: Some(asked), state }
    }

    /// The outcome of the call.
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<RpcResponse, Status>> {
        if let State::Reading(reading) = &mut self.state {
            let bytes = match reading.1.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(bytes) => bytes?,
            };
            let was = std::mem::replace(&mut self.state, State::Answered(None));
            let State::Reading(read) = was else { return Poll::Pending };
            let (call, message) = *read;
            self.state = State::run(&self.dispatcher, self.entry, call, &message, bytes);
        }
        match &mut self.state {
            State::Running(running) => Pin::new(running).poll(cx),
            _ => Poll::Pending,
        }
    }

    fn respond(
        &mut self,
        outcome: Result<RpcResponse, Status>,
        cx: &mut Context<'_>,
    ) -> Poll<Response<Body>> {
        self.state = State::Answered(None);
        let Some(asked) = self.asked.take() else { return Poll::Pending };
        let max = self.dispatcher.settings().max_message;
        match (asked, outcome.map(RpcResponse::split)) {
            (Asked::Http(asked), Ok((beside, Output::One(message)))) => {
                Poll::Ready(asked.whole(beside, message, max))
            }
            (Asked::Grpc(asked), Ok((beside, Output::One(message)))) => {
                Poll::Ready(asked.whole(beside, message, max))
            }
            (Asked::Http(asked), Err(status)) => Poll::Ready(asked.failed(&status)),
            (Asked::Grpc(_), Err(status)) => Poll::Ready(respond::grpc(&status)),
            (asked, Ok((beside, Output::Stream(stream)))) => {
                self.state = State::Streaming(self.stream(asked, beside, stream));
                self.poll_answer(cx)
            }
        }
    }

    fn stream(&self, asked: Asked, beside: Beside, stream: Outputs) -> BoxFuture<Response<Body>> {
        let (dispatcher, entry, deadline) = (Arc::clone(&self.dispatcher), self.entry, self.deadline);
        Box::pin(async move {
            let (settings, name) = (dispatcher.settings(), &dispatcher.entry(entry).name);
            match asked {
                Asked::Http(asked) => asked.streamed(settings, name, deadline, beside, stream).await,
                Asked::Grpc(asked) => asked.streamed(settings, name, deadline, beside, stream).await,
            }
        })
    }

    /// The answer. A call whose time is up is dropped where it stands.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        match &mut self.state {
            State::Streaming(answer) => return answer.as_mut().poll(cx),
            State::Answered(answer) => {
                return answer.take().map_or(Poll::Pending, |answer| Poll::Ready(*answer));
            }
            State::Reading(_) | State::Running(_) => {}
        }
        let outcome = match self.poll_outcome(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let deadline = self.deadline;
                if !self.timer.get_or_insert_with(|| Deadline::at(deadline)).poll_passed(cx) {
                    return Poll::Pending;
                }
                Err(exceeded(&self.dispatcher.entry(self.entry).name))
            }
        };
        self.respond(outcome, cx)
    }
}
