//! Which share of a weighted target a request gets.
//!
//! In: shares, the sum of their weights, dice. Out: an index. Called by `decide`.

use crate::config::Split;
use crate::dice::Dice;

/// Index of a share, drawn by weight. `total` is the sum of the weights; `None` where all weights are zero.
pub(super) fn draw(splits: &[Split], total: u32, dice: &mut Dice) -> Option<usize> {
    if total == 0 {
        return None;
    }
    let mut left = dice.below(u64::from(total));
    for (index, split) in splits.iter().enumerate() {
        let weight = u64::from(split.weight);
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSlot, HeaderOps};

    #[test]
    fn weights_are_kept() {
        let split = |weight| Split {
            cluster: ClusterSlot(0),
            weight,
            headers: HeaderOps::default(),
            host_rewrite: None,
            fault: None,
            cors: None,
        };
        let splits = [split(90), split(0), split(10)];
        let mut dice = Dice::new(1);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[draw(&splits, 100, &mut dice).expect("total is not zero")] += 1;
        }
        assert!((8_800..9_200).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[1], 0);
        assert_eq!(draw(&splits, 0, &mut dice), None);
    }
}
