//! Maglev table as Envoy's `MAGLEV`: every endpoint walks its own permutation of the slots, in turns by weight.
//!
//! In: keys with weights, the table's size (a prime). Out: for each slot the index of an endpoint. Made by `hash` for
//! each new set, never per request.

use xxhash_rust::xxh64::xxh64;

struct Walker {
    offset: u64,
    skip: u64,
    weight: f64,
    target: f64,
    next: u64,
}

/// A table of `size` slots (a prime), each holding the index of an endpoint.
pub(super) fn build(entries: &[(String, f64)], size: u64) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let size = size.max(2);
    let most = entries.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    let mut walkers: Vec<_> = entries
        .iter()
        .map(|(key, weight)| Walker {
            offset: xxh64(key.as_bytes(), 0) % size,
            skip: xxh64(key.as_bytes(), 1) % (size - 1) + 1,
            weight: *weight,
            target: 0.0,
            next: 0,
        })
        .collect();
    let mut table = vec![FREE; size as usize];
    let mut filled = 0;
    let mut turn = 1.0_f64;
    while filled < size {
        for (index, walker) in walkers.iter_mut().enumerate() {
            if filled == size {
                break;
            }
            // Endpoints with less weight sit out turns.
            if turn * walker.weight < walker.target {
                continue;
            }
            walker.target += most;
            loop {
                let slot = ((walker.offset + walker.skip * walker.next) % size) as usize;
                walker.next += 1;
                if table[slot] == FREE {
                    table[slot] = index as u32;
                    break;
                }
            }
            filled += 1;
        }
        turn += 1.0;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let entries: Vec<_> =
            (1..=3).map(|n| (format!("10.0.0.{n}:80"), if n == 1 { 0.5 } else { 0.25 })).collect();
        let table = build(&entries, 1009);
        let count = |index| table.iter().filter(|slot| **slot == index).count();
        assert!((500..=509).contains(&count(0)), "{}", count(0));
        assert!((250..=256).contains(&count(1)) && (250..=256).contains(&count(2)));
    }

    #[test]
    fn few_keys_move() {
        let entries: Vec<_> = (1..=4).map(|n| (format!("10.0.0.{n}:80"), 0.25)).collect();
        let (all, without) = (build(&entries, 1009), build(&entries[..3], 1009));
        let moved = all.iter().zip(&without).filter(|(a, b)| **a != 3 && a != b).count();
        assert!(moved < 100, "{moved} of 1009 moved though their endpoint stayed");
    }
}
