//! The `date` of an answer (RFC 9110, section 6.6.1), which hyper writes over HTTP/1.1 and HTTP/2 alone.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

thread_local! {
    /// The second that was written last, and how.
    static WRITTEN: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The present second; written out once a second and thread.
pub(crate) fn now() -> HeaderValue {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    WRITTEN.with_borrow_mut(|(written, value)| {
        if *written != second {
            *written = second;
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            *value = HeaderValue::try_from(text).unwrap_or_else(|_never| HeaderValue::from_static(""));
        }
        value.clone()
    })
}
