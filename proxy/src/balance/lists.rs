//! One list of usable endpoints and the rules to choose from it.
//!
//! In: endpoints with weights, a rule, a hash or dice. Out: one of them. Made by `plan` when a set or an ejection
//! changes; a pick allocates nothing.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::HashTable;
use crate::config::{Balance, Endpoint};
use crate::dice::Dice;

/// Usable endpoints of a priority or of one of its localities, with the turn it is.
#[derive(Debug)]
pub(super) struct List {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// In force now: less than configured while an endpoint is new. Any unit.
    weights: Vec<f64>,
    /// Share among the lists of the priority.
    pub(super) share: u64,
    pub(super) table: Option<Arc<HashTable>>,
    /// Sums of the weights up to each endpoint; empty where all weigh the same.
    sums: Vec<f64>,
    turn: usize,
    queue: BinaryHeap<Due>,
}

/// An endpoint's next turn in weighted round robin (earliest deadline first).
#[derive(Debug)]
struct Due {
    at: f64,
    order: u64,
    index: usize,
}

impl List {
    /// `warm`: the share of its weight that an endpoint has by its age.
    pub(super) fn new(
        endpoints: Vec<Arc<Endpoint>>,
        share: u64,
        table: Option<Arc<HashTable>>,
        warm: &dyn Fn(&Endpoint) -> f64,
        dice: &mut Dice,
    ) -> Self {
        let weights: Vec<f64> =
            endpoints.iter().map(|endpoint| f64::from(endpoint.weight.max(1)) * warm(endpoint)).collect();
        let alike = weights.windows(2).all(|two| two[0] == two[1]);
        let mut sum = 0.0;
        let mut sums = Vec::new();
        let mut queue = BinaryHeap::new();
        if !alike {
            for (index, weight) in weights.iter().copied().enumerate() {
                sum += weight;
                sums.push(sum);
                // A random start keeps many proxies from marching in step.
                let start = dice.below(1 << 20) as f64 / f64::from(1 << 20);
                queue.push(Due { at: start / weight, order: index as u64, index });
            }
        }
        let turn = dice.below(endpoints.len() as u64) as usize;
        List { endpoints, weights, share, table, sums, turn, queue }
    }

    /// One endpoint by the rule, or `None` for an empty list.
    pub(super) fn choose(
        &mut self,
        balance: Balance,
        hash: Option<u64>,
        dice: &mut Dice,
    ) -> Option<&Arc<Endpoint>> {
        if self.endpoints.is_empty() {
            return None;
        }
        let index = match balance {
            Balance::RoundRobin => self.next_turn(),
            Balance::LeastRequest { choices } => self.least_busy(choices, dice),
            Balance::Random | Balance::Provided => dice.below(self.endpoints.len() as u64) as usize,
            Balance::RingHash { .. } | Balance::Maglev { .. } => match &self.table {
                Some(table) => table.find(hash.unwrap_or_else(|| dice.roll())),
                None => 0,
            },
        };
        self.endpoints.get(index)
    }

    fn next_turn(&mut self) -> usize {
        match self.queue.pop() {
            Some(due) => {
                self.queue.push(Due { at: due.at + 1.0 / self.weights[due.index], ..due });
                due.index
            }
            None => {
                let index = self.turn % self.endpoints.len();
                self.turn = index + 1;
                index
            }
        }
    }

    /// The least busy of a few drawn by weight.
    fn least_busy(&self, choices: u32, dice: &mut Dice) -> usize {
        if self.endpoints.len() == 2 && self.sums.is_empty() {
            // Two draws of two would often compare an endpoint with itself.
            let first = (dice.roll() & 1) as usize;
            return if self.active(1 - first) < self.active(first) { 1 - first } else { first };
        }
        let mut best = self.draw(dice);
        for _ in 1..choices.max(1) {
            let other = self.draw(dice);
            if self.active(other) < self.active(best) {
                best = other;
            }
        }
        best
    }

    fn active(&self, index: usize) -> u32 {
        self.endpoints[index].state.active.load(Ordering::Relaxed)
    }

    fn draw(&self, dice: &mut Dice) -> usize {
        match self.sums.last() {
            Some(total) => {
                let at = dice.below(1 << 53) as f64 / (1_u64 << 53) as f64 * total;
                self.sums.partition_point(|sum| *sum <= at).min(self.sums.len() - 1)
            }
            None => dice.below(self.endpoints.len() as u64) as usize,
        }
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    /// The heap gives the greatest: earlier is greater.
    fn cmp(&self, other: &Self) -> Order {
        other.at.total_cmp(&self.at).then(other.order.cmp(&self.order))
    }
}
