//! Buffers and header maps between two uses, kept per thread: a connection that waits holds none, and the next one to read or write
//! finds one without asking the allocator.
//!
//! In: buffers that a connection has done with. Some are still shared by heads that are in use; they come back into
//! use in the order in which they came, by which time most are free, and one that is not is let go. Used by `conn`.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;
use http::HeaderMap;

/// Bytes of a new buffer: heads and small bodies fit.
const SIZE: usize = 4 * 1024;
/// Larger ones are not kept.
const LARGEST: usize = 16 * 1024;
/// Buffers kept by one thread, and as many maps.
const KEPT: usize = 64;
/// Room of a new map, beyond the fields that it is for: the pipeline adds a few.
const MORE_FIELDS: usize = 8;
/// Maps with room for more are not kept.
const MOST_FIELDS: usize = 64;

thread_local! {
    static SPARE: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for `room` bytes.
pub(super) fn take(room: usize) -> BytesMut {
    let spare = SPARE.with_borrow_mut(VecDeque::pop_front);
    if let Some(mut buffer) = spare
        && buffer.try_reclaim(room)
    {
        return buffer;
    }
    BytesMut::with_capacity(room.max(SIZE))
}

/// Keeps a buffer for later. `largest`: the most bytes that it had room for.
pub(super) fn give(mut buffer: BytesMut, largest: usize) {
    buffer.clear();
    if largest == 0 || largest > LARGEST {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEPT {
            spare.push_back(buffer);
        }
    });
}

/// An empty map with room for `fields` and what the pipeline adds.
pub(super) fn take_map(fields: usize) -> HeaderMap {
    let room = fields + MORE_FIELDS;
    match MAPS.with_borrow_mut(Vec::pop) {
        Some(map) if map.capacity() >= room => map,
        _ => HeaderMap::with_capacity(room),
    }
}

/// Keeps the map of a head that nobody reads any more.
pub(crate) fn give_map(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > MOST_FIELDS {
        return;
    }
    map.clear();
    MAPS.with_borrow_mut(|maps| {
        if maps.len() < KEPT {
            maps.push(map);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_comes_back_empty() {
        let mut map = take_map(4);
        map.insert("a", http::HeaderValue::from_static("b"));
        let room = map.capacity();
        give_map(map);
        let map = take_map(4);
        assert!(map.is_empty() && map.capacity() == room);
        assert!(take_map(100).capacity() >= 100);
        give_map(HeaderMap::with_capacity(2 * MOST_FIELDS));
        assert_eq!(MAPS.with_borrow(Vec::len), 0);
    }

    #[test]
    fn a_buffer_comes_back_when_nobody_shares_it() {
        let mut buffer = take(100);
        buffer.extend_from_slice(b"head and rest");
        let address = buffer.as_ptr();
        let head = buffer.split_to(4).freeze();
        give(buffer, SIZE);
        let other = take(100);
        assert_ne!(other.as_ptr(), address, "the head still uses it");
        let mut buffer = take(100);
        buffer.extend_from_slice(b"head and rest");
        let address = buffer.as_ptr();
        drop(buffer.split_to(4).freeze());
        give(buffer, SIZE);
        let again = take(SIZE);
        assert_eq!(again.as_ptr(), address);
        assert!(again.is_empty() && again.capacity() >= SIZE);
        assert_eq!(&head[..], b"head");
    }

    #[test]
    fn large_ones_and_too_many_are_let_go() {
        give(BytesMut::with_capacity(LARGEST + 1), LARGEST + 1);
        give(BytesMut::new(), 0);
        assert_eq!(SPARE.with_borrow(VecDeque::len), 0);
        (0..2 * KEPT).for_each(|_| give(BytesMut::with_capacity(SIZE), SIZE));
        assert_eq!(SPARE.with_borrow(VecDeque::len), KEPT);
    }
}
