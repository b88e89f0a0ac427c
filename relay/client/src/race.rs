//! Which of a name's addresses answers: tried in order, each with a head start over the next.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// How long an address may take before the next is tried beside it (RFC 8305, section 5).
pub(crate) const HEAD_START: Duration = Duration::from_millis(250);

/// The order to try addresses in: the resolver's, with the families taking turns, so that a family
/// that leads nowhere costs one head start (RFC 8305, section 4).
pub(crate) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut first = Vec::new();
    let mut second = Vec::new();
    for address in addresses {
        let same = first.first().is_none_or(|one: &SocketAddr| one.is_ipv4() == address.is_ipv4());
        if same { &mut first } else { &mut second }.push(address);
    }
    let mut second = second.into_iter();
    let mut order = Vec::new();
    for address in first {
        order.push(address);
        order.extend(second.next());
    }
    order.extend(second);
    order
}

/// The first success among `addresses`; the attempts that lost are dropped. `None` where there is
/// no address, and the last failure where none answered.
pub(crate) async fn first<T, E, F, Fut>(addresses: Vec<SocketAddr>, attempt: F) -> Option<Result<T, E>>
where
    F: Fn(SocketAddr) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    running.push(attempt(waiting.next()?));
    let mut failure = None;
    loop {
        let more = waiting.len() > 0;
        let ended = tokio::select! {
            ended = running.next() => ended,
            () = tokio::time::sleep(HEAD_START), if more => {
                running.extend(waiting.next().map(&attempt));
                continue;
            }
        };
        match ended {
            Some(Ok(won)) => return Some(Ok(won)),
            Some(Err(error)) => failure = Some(Err(error)),
            None => return failure,
        }
        // A failure is not waited for: the next address has its turn at once.
        running.extend(waiting.next().map(&attempt));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into())
    }

    #[test]
    fn families_take_turns() {
        let order = interleave(["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1", "[::1]:1"].map(address));
        assert_eq!(order, ["1.1.1.1:1", "[::1]:1", "1.1.1.2:1", "1.1.1.3:1"].map(address));
        assert_eq!(interleave(["[::2]:1", "1.1.1.1:1"].map(address)).first(), Some(&address("[::2]:1")));
        assert!(interleave([]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_one_head_start_and_a_refusing_one_nothing() {
        let addresses = ["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"].map(address).to_vec();
        let tried = Mutex::new(Vec::new());
        let start = Instant::now();
        let won = first(addresses.clone(), |address| {
            if let Ok(mut tried) = tried.lock() {
                tried.push((address, start.elapsed()));
            }
            let last = address.ip().to_string().chars().last();
            async move {
                match last {
                    Some('1') => sleep(Duration::from_secs(60)).await,
                    Some('2') => return Err("refused"),
                    _ => {}
                }
                Ok(address)
            }
        })
        .await;
        assert_eq!(won, Some(Ok(address("1.1.1.3:1"))));
        let tried = tried.into_inner().unwrap_or_default();
        let expected = [Duration::ZERO, HEAD_START, HEAD_START];
        assert_eq!(tried, addresses.into_iter().zip(expected).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_answers_the_last_failure_is_told() {
        let addresses = ["1.1.1.1:1", "1.1.1.2:1"].map(address).to_vec();
        let lost = first(addresses, |address| async move { Err::<(), _>(address) }).await;
        assert_eq!(lost, Some(Err(address("1.1.1.2:1"))));
        let nothing = first(Vec::new(), |_| async { Ok::<(), ()>(()) }).await;
        assert_eq!(nothing, None);
    }
}
