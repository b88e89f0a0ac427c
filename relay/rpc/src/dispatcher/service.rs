//! A dispatcher as a service that a listener serves.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use relay_core::RpcStyle;
use relay_transport::{Body, respond};
use tower::Service;

use super::Dispatcher;
use crate::call::{Call, Told};
use crate::procedure::Shape;
use crate::{BoxFuture, serve};

/// A dispatcher being served. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct DispatchService(pub(super) Arc<Dispatcher>);

/// A call that a [`DispatchService`] answers.
#[must_use = "a call is served while it is polled"]
pub struct Dispatched(Kind);

enum Kind {
    Unary(serve::Unary),
    Boxed(BoxFuture<Response<Body>>),
    Refused(Option<Box<Response<Body>>>),
}

impl Future for Dispatched {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            Kind::Unary(call) => call.poll_answer(cx),
            Kind::Boxed(answer) => answer.as_mut().poll(cx),
            Kind::Refused(refusal) => refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(*refusal)),
        };
        answer.map(Ok)
    }
}

impl fmt::Debug for Dispatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dispatched")
    }
}

impl Service<Request<Body>> for DispatchService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Dispatched;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Dispatched {
        Dispatched(self.0.begin(request))
    }
}

impl Dispatcher {
    fn begin(self: &Arc<Self>, request: Request<Body>) -> Kind {
        let (head, body) = request.into_parts();
        let told = Told::of(&head);
        let found = self.find(&told).and_then(|index| match told.refused {
            None => Ok(index),
            Some(refused) => Err(refused.into()),
        });
        let index = match found {
            Ok(index) => index,
            Err(status) => return Kind::Refused(Some(Box::new(respond::status(told.style(), &status)))),
        };
        let facts = told.facts;
        let shape = self.entry(index).shape;
        let streams = shape.streams_in() || shape.streams_out();
        let timeout = (!streams).then_some(self.settings.timeout);
        let call = Call::new(head, facts, Arc::clone(&self.service), timeout);
        let this = Arc::clone(self);
        if shape == Shape::Unary {
            return Kind::Unary(serve::Unary::new(this, index, call, body));
        }
        Kind::Boxed(Box::pin(async move {
            let (settings, entry) = (this.settings(), this.entry(index));
            match call.style() {
                RpcStyle::Grpc => serve::grpc(settings, entry, call, body).await,
                RpcStyle::Yarpc | RpcStyle::Http => serve::http(settings, entry, call, body).await,
            }
        }))
    }
}
