//! Random bits for choices that nobody must guess: shares, percentages, endpoints.
//!
//! One `Dice` per worker, seeded once; a fixed seed makes a decision repeatable, which is what paper tests use.
//! Never used for identifiers or keys.

/// A small fast generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Repeatable for a given seed; any seed is good.
    pub fn new(seed: u64) -> Self {
        // Spread small seeds over all bits, and avoid the one state that xorshift cannot leave.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Dice((z ^ (z >> 31)) | 1)
    }

    /// Seeded by the operating system.
    pub fn random() -> Self {
        Dice::new(rand::random())
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // Multiply-shift keeps the high, better bits and needs no division.
        ((u128::from(self.roll()) * u128::from(limit)) >> 64) as u64
    }

    /// True in `parts` of 1 000 000 cases.
    pub fn hits(&mut self, parts: u32) -> bool {
        parts >= 1_000_000 || (parts > 0 && self.below(1_000_000) < u64::from(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept() {
        let mut dice = Dice::new(7);
        let hits = (0..100_000).filter(|_| dice.hits(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!(!dice.hits(0));
        assert!(dice.hits(1_000_000));
    }

    #[test]
    fn a_seed_repeats() {
        let draw = |seed| {
            let mut d = Dice::new(seed);
            (0..4).map(|_| d.roll()).collect::<Vec<_>>()
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
    }
}
