//! Messages between two processes, with descriptors: four bytes of length, JSON, and SCM_RIGHTS (unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Estate;

/// What both sides have to speak. It changes with the messages and with what heirlooms say of themselves.
pub(super) const VERSION: u32 = 1;
/// Bytes of a message.
const MAX_MESSAGE: usize = 64 << 10;
/// Descriptors that the kernel passes at once (SCM_MAX_FD).
const MAX_DESCRIPTORS: usize = 253;
/// How long the other side may take for what it does at once.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);

/// What two processes tell each other, in this order but for refusals.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(super) enum Message {
    /// New to old: what are you?
    Hello { version: u32, service: String },
    /// Old to new: you cannot have it.
    Refused { why: String, hint: String },
    /// Old to new, with descriptors: this is what I have.
    Offer { estates: Vec<Deed> },
    /// New to old, with descriptors: I have started; let go.
    Ready { estates: Vec<Deed> },
    /// Old to new: I accept nothing more.
    Paused,
    /// New to old: I serve. Nothing follows; the end of the connection is the end of a process.
    Serving,
}

/// An estate whose descriptors travel beside the message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Deed {
    name: String,
    about: serde_json::Value,
    descriptors: usize,
}

/// A connection to the other process.
#[derive(Debug)]
pub(super) struct Wire(pub(super) UnixStream);

impl Wire {
    /// Sends a message; the descriptors are copied and closed.
    pub(super) async fn send(&mut self, message: &Message, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(message)?;
        if json.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is too much to hand over"));
        }
        let mut bytes = u32::try_from(json.len()).unwrap_or_default().to_be_bytes().to_vec();
        bytes.extend(json);
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
        let sending = async {
            let mut sent = 0;
            while sent < bytes.len() {
                // They go with the first byte.
                let beside = if sent == 0 { &borrowed[..] } else { &[] };
                sent += self.0.async_io(Interest::WRITABLE, || send(&self.0, &bytes[sent..], beside)).await?;
            }
            Ok(())
        };
        tokio::time::timeout(AT_ONCE, sending)
            .await
            .map_err(|_late| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Sends estates in a message that is made of their deeds.
    pub(super) async fn send_estates(
        &mut self,
        estates: Vec<Estate>,
        message: impl FnOnce(Vec<Deed>) -> Message,
    ) -> io::Result<()> {
        let (mut deeds, mut descriptors) = (Vec::new(), Vec::new());
        for Estate { name, about, descriptors: own } in estates {
            deeds.push(Deed { name, about, descriptors: own.len() });
            descriptors.extend(own);
        }
        self.send(&message(deeds), descriptors).await
    }

    /// The next message with its estates, within `patience`.
    pub(super) async fn receive(&mut self, patience: Duration) -> io::Result<(Message, Vec<Estate>)> {
        let receiving = async {
            let mut descriptors = Vec::new();
            let mut length = [0; 4];
            self.fill(&mut length, &mut descriptors).await?;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if length > MAX_MESSAGE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "what it says is no message"));
            }
            let mut json = vec![0; length];
            self.fill(&mut json, &mut descriptors).await?;
            Ok((json, descriptors))
        };
        let received = tokio::time::timeout(patience, receiving).await;
        let (json, descriptors) = received.map_err(|_late| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut message: Message = serde_json::from_slice(&json).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("what it says is no message: {error}"))
        })?;
        let deeds = match &mut message {
            Message::Offer { estates } | Message::Ready { estates } => std::mem::take(estates),
            _ => Vec::new(),
        };
        Ok((message, estates(deeds, descriptors)?))
    }

    /// Returns once the other side is gone, or says what it should not.
    pub(super) async fn ended(&mut self) {
        let mut byte = [0];
        let _ended = self.fill(&mut byte, &mut Vec::new()).await;
    }

    async fn fill(&self, mut bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
        while !bytes.is_empty() {
            let read = self.0.async_io(Interest::READABLE, || receive(&self.0, bytes, descriptors)).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = &mut bytes[read..];
        }
        Ok(())
    }
}

fn estates(deeds: Vec<Deed>, descriptors: Vec<OwnedFd>) -> io::Result<Vec<Estate>> {
    let told: usize = deeds.iter().map(|deed| deed.descriptors).fold(0, usize::saturating_add);
    if told != descriptors.len() {
        let what = format!("{told} descriptors were told and {} came", descriptors.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut rest = descriptors.into_iter();
    let estate = |deed: Deed| {
        let descriptors = rest.by_ref().take(deed.descriptors).collect();
        Estate { name: deed.name, about: deed.about, descriptors }
    };
    Ok(deeds.into_iter().map(estate).collect())
}

fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?)
}

fn receive(stream: &UnixStream, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // Programs that are started later must not have them.
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    #[cfg(not(target_os = "linux"))]
    for descriptor in &*descriptors {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > MAX_DESCRIPTORS {
        let what = "descriptors were lost; check the limit on them (`ulimit -n`)";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::io::{Read as _, Write as _};

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn pair() -> (Wire, Wire) {
        let (one, other) = UnixStream::pair().unwrap();
        (Wire(one), Wire(other))
    }

    #[tokio::test]
    async fn descriptors_arrive_with_what_they_belong_to() {
        let (mut one, mut other) = pair();
        let (mut reader, writer) = io::pipe().unwrap();
        let about = serde_json::json!({ "long": "x".repeat(40_000) });
        let estate =
            |name: &str, descriptors| Estate { name: name.to_owned(), about: about.clone(), descriptors };
        let estates = vec![estate("none", Vec::new())];
        one.send_estates(estates, |estates| Message::Offer { estates }).await.unwrap();
        let estates = vec![estate("some", vec![writer.into()])];
        one.send_estates(estates, |estates| Message::Ready { estates }).await.unwrap();
        let (message, came) = other.receive(AT_ONCE).await.unwrap();
        assert!(matches!(message, Message::Offer { .. }) && came[0].descriptors.is_empty());
        let (_, mut came) = other.receive(AT_ONCE).await.unwrap();
        assert_eq!((came[0].name.as_str(), &came[0].about), ("some", &about));
        let mut writer = std::fs::File::from(came[0].descriptors.pop().unwrap());
        writer.write_all(b"heard").unwrap();
        drop(writer);
        let mut heard = String::new();
        reader.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "heard");
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x02{}", b"\0\0\0\x05nonsense", b"\0\0"] {
            let (mut one, mut other) = pair();
            one.0.write_all(junk).await.unwrap();
            drop(one);
            assert!(other.receive(AT_ONCE).await.is_err(), "{junk:?}");
        }
        let deed = Deed { name: "data".to_owned(), about: serde_json::Value::Null, descriptors: usize::MAX };
        let (mut one, mut other) = pair();
        one.send(&Message::Offer { estates: vec![deed] }, Vec::new()).await.unwrap();
        let refused = other.receive(AT_ONCE).await.unwrap_err();
        assert!(refused.to_string().contains("descriptors were told"), "{refused}");
        let all = serde_json::json!("x".repeat(MAX_MESSAGE));
        let estates = vec![Estate { name: String::new(), about: all, descriptors: Vec::new() }];
        assert!(one.send_estates(estates, |estates| Message::Offer { estates }).await.is_err());
    }
}
