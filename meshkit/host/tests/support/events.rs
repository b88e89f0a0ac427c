//! Server-sent events as a client reads them.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use relay_client::Channel;
use relay_transport::{Body, body};
use serde_json::Value;

use super::{DEADLINE, OBSERVER};

/// A reader of server-sent events.
pub struct Events {
    body: Body,
    text: String,
}

#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Events {
    pub async fn open(channel: &Channel, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder().method(Method::GET).uri(path);
        request = request.header("authorization", format!("Bearer {OBSERVER}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = channel.send(request.body(body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event that is no bookmark.
    pub async fn next(&mut self) -> Event {
        loop {
            let event = tokio::time::timeout(DEADLINE, self.any()).await.unwrap();
            if event.name != "bookmark" {
                return event;
            }
        }
    }

    /// The next event about a key that begins so.
    pub async fn next_of(&mut self, prefix: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.data["key"].as_str().is_some_and(|key| key.starts_with(prefix)) {
                return event;
            }
        }
    }

    pub async fn any(&mut self) -> Event {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let line = frame.lines().find_map(|line| line.strip_prefix(name));
                    line.and_then(|line| line.strip_prefix(": ")).unwrap_or_default().to_owned()
                };
                if frame.starts_with("retry") {
                    continue;
                }
                let data = serde_json::from_str(&field("data")).unwrap();
                return Event { id: field("id"), name: field("event"), data };
            }
            let frame = self.body.frame().await.unwrap().unwrap();
            let data = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}
