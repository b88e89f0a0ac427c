//! Waiting for something that will be, with an end.

use std::time::{Duration, Instant};

use crate::process::block_on;

/// How often is asked.
const EVERY: Duration = Duration::from_millis(20);

/// Asks until there is an answer and returns it.
///
/// # Panics
/// Where there is none `within` that time; the message says what was waited for, and the last
/// reason why it was not there.
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) if began.elapsed() >= within => {
                panic!("{what}: not within {} s; last: {reason}", within.as_secs())
            }
            Err(_) => block_on(async { tokio::time::sleep(EVERY).await }),
        }
    }
}
