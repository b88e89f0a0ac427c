//! Answers that are given before their request is read, over HTTP/1.1: the next request on the connection is answered too.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;

use http::{Request, Response};
use relay_core::Protocol;
use relay_transport::{Body, body};
use support::{LONG, Server, http1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// `/early` is answered without a look at its body, `/echo` with it; each says when it was handed over.
fn service(
    told: mpsc::UnboundedSender<()>,
) -> impl tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |request: Request<Body>| {
        let early = request.uri().path() == "/early";
        told.send(()).unwrap();
        let answer = if early { body::full("early") } else { request.into_body() };
        async move { Ok::<_, Infallible>(Response::new(answer)) }
    })
}

/// Sends a request whose body of `length` comes, as `rest`, once the service has the request.
async fn in_two(path: &str, length: usize, more: &str, rest: &str) -> String {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::serving(service(tell), |_, _| {});
    let mut stream = server.tls(&server.client(None), Protocol::Http1).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::timeout(LONG, told.recv()).await.unwrap().unwrap();
    http1(stream, rest).await
}

const NEXT: &str = "GET /early HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn the_rest_of_a_short_body_is_read_and_the_connection_goes_on() {
    let answers = in_two("/early", 5, "", &format!("hello{NEXT}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(answers.matches("early").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_service_that_answers_while_it_reads_on_keeps_its_body() {
    let answers = in_two("/echo", 5, "", &format!("hello{NEXT}")).await;
    assert!(answers.contains("hello") && answers.ends_with("early"), "{answers}");
}

#[tokio::test]
async fn a_long_body_and_one_that_was_not_asked_for_are_not_waited_for() {
    for (length, more) in [(65_537, ""), (5, "expect: 100-continue\r\n")] {
        let answers = in_two("/early", length, more, "").await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
        assert!(!answers.contains("100 Continue"), "{answers}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_delays_its_answer_and_ends_the_connection() {
    let (tell, _told) = mpsc::unbounded_channel();
    let server = Server::serving(service(tell), |_, _| {});
    let mut stream = server.tls(&server.client(None), Protocol::Http1).await.unwrap();
    stream.write_all(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("early"), "{answer}");
    server.until_idle().await;
}
