//! Header maps that are used again: a new one takes two allocations, and a call has two or three of them.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps that a thread keeps: a call in flight needs none of them, only one that is being answered.
const MAX_KEPT: usize = 16;
/// Fields that a kept map has room for; a larger one was an unusual call's.
const MAX_FIELDS: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map, with room where this thread has kept one.
#[must_use]
pub fn take() -> HeaderMap {
    KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Keeps a map that is no longer needed for [`take`] on this thread.
pub fn give(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > MAX_FIELDS {
        return;
    }
    // Before the list is borrowed: whatever a value holds may come back here.
    map.clear();
    // A thread that ends keeps nothing.
    let _ended = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < MAX_KEPT {
            kept.push(map);
        }
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ETAG;

    use super::*;

    #[test]
    fn a_kept_map_is_empty_and_large_ones_are_not_kept() {
        let mut map = HeaderMap::new();
        map.append(ETAG, HeaderValue::from_static("1"));
        map.append(ETAG, HeaderValue::from_static("2"));
        give(map);
        let again = take();
        assert!(again.is_empty() && again.capacity() > 0 && !again.contains_key(ETAG));
        give(HeaderMap::with_capacity(1000));
        assert_eq!(take().capacity(), 0);
        (0..100).for_each(|_| give(HeaderMap::with_capacity(1)));
        assert_eq!((0..100).filter(|_| take().capacity() > 0).count(), MAX_KEPT);
    }
}
