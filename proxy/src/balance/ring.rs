//! Ketama ring, point for point as Envoy's `RING_HASH`.
//!
//! In: keys with weights, the ring's smallest and largest size. Out: points with the index of an endpoint, sorted.
//! Made by `hash` for each new set.

use xxhash_rust::xxh64::xxh64;

/// Points of each endpoint by its share: at least `minimum` in all, at most `maximum`. Sorted by hash.
pub(super) fn build(entries: &[(String, f64)], minimum: u64, maximum: u64) -> Vec<(u64, u32)> {
    let least = entries.iter().map(|(_, weight)| *weight).fold(f64::INFINITY, f64::min);
    // The smallest share gets a whole number of points, and the others in proportion.
    let scale = ((least * minimum as f64).ceil() / least).min(maximum as f64);
    let size = scale.ceil() as usize;
    let mut ring = Vec::with_capacity(size);
    let (mut made, mut target) = (0.0, 0.0);
    for (index, (key, weight)) in entries.iter().enumerate() {
        target += scale * weight;
        let mut point = 0_u64;
        while made < target {
            ring.push((xxh64(format!("{key}_{point}").as_bytes(), 0), index as u32));
            point += 1;
            made += 1.0;
        }
    }
    ring.sort_by_key(|(hash, _)| *hash);
    ring
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let entries = [("10.0.0.1:80".to_owned(), 0.75), ("10.0.0.2:80".to_owned(), 0.25)];
        let ring = build(&entries, 1024, 8 << 20);
        assert_eq!(ring.len(), 1024);
        assert_eq!(ring.iter().filter(|(_, index)| *index == 0).count(), 768);
        assert!(ring.is_sorted_by_key(|(hash, _)| *hash));
        assert_eq!(build(&entries, 1024, 8).len(), 8);
    }
}
