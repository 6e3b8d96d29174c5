//! A set as one worker sees it now: which priority gets how much, and the usable endpoints of each.
//!
//! Made again when the set or the ejections change; picks only read it. Priorities fail over by Envoy's rule: a
//! priority keeps its load while `overprovisioning` x healthy share covers it. Below the panic threshold all
//! endpoints count as usable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::hash::weighted;
use super::lists::List;
use super::{HashTable, Hint};
use crate::config::{Cluster, ClusterSettings, Endpoint, EndpointSet, LocalityGroup};
use crate::dice::Dice;

/// Priorities with their load (percent, sum 100 or 0) and lists.
#[derive(Debug, Default)]
pub(super) struct Plan {
    levels: Vec<Level>,
    /// Process clock at which it should be made again, for endpoints that are still new; 0: never.
    pub(super) again: u64,
}

/// How often weights follow the age of new endpoints, milliseconds.
const WARM_STEP: u64 = 250;

#[derive(Debug)]
struct Level {
    load: u32,
    lists: Vec<List>,
}

/// Health of one priority: usable and all endpoints.
struct Health {
    usable: usize,
    all: usize,
}

impl Plan {
    pub(super) fn new(set: &EndpointSet, cluster: &Cluster, now: u64, dice: &mut Dice) -> Self {
        let usable = |endpoint: &Endpoint| endpoint.healthy && !endpoint.state.is_ejected(now);
        let health: Vec<_> = set
            .priorities
            .iter()
            .map(|groups| {
                let all = groups.iter().flat_map(|group| &group.endpoints);
                Health { usable: all.clone().filter(|endpoint| usable(endpoint)).count(), all: all.count() }
            })
            .collect();
        let (loads, panic) = loads(&health, set.overprovisioning, cluster.settings.panic_threshold);
        let slow = cluster.settings.slow_start;
        let age = |endpoint: &Endpoint| {
            let since = &endpoint.state.since;
            // The first worker that sees an endpoint says since when it is there.
            let born = match since.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => now.max(1),
                Err(born) => born,
            };
            Duration::from_millis(now.saturating_sub(born))
        };
        let warm = |endpoint: &Endpoint| slow.map_or(1.0, |slow| slow.share(age(endpoint)));
        let new = slow.is_some_and(|slow| set.all().any(|endpoint| age(endpoint) < slow.window));
        let levels = set
            .priorities
            .iter()
            .zip(loads)
            .zip(panic)
            .enumerate()
            .map(|(at, ((groups, load), panic))| {
                let prebuilt = set.hash_tables.get(at);
                let source = Source { groups, panic, prebuilt, overprovisioning: set.overprovisioning };
                Level { load, lists: source.lists(&cluster.settings, &usable, &warm, dice) }
            })
            .collect();
        Plan { levels, again: if new { now + WARM_STEP } else { 0 } }
    }

    /// One endpoint, or `None` where none is usable.
    pub(super) fn pick(
        &mut self,
        cluster: &Cluster,
        hint: &Hint<'_>,
        dice: &mut Dice,
    ) -> Option<Arc<Endpoint>> {
        let draw = hint.hash.map_or_else(|| dice.below(100), |hash| hash % 100);
        let level = self.level(hint, draw)?;
        let total: u64 = level.lists.iter().map(|list| list.share).sum();
        let list = match level.lists.as_mut_slice() {
            [one] => one,
            many => {
                let mut left = dice.below(total);
                many.iter_mut().find(|list| {
                    let found = left < list.share;
                    left = left.saturating_sub(list.share);
                    found
                })?
            }
        };
        list.choose(cluster.settings.balance, hint.hash, dice).cloned()
    }

    fn level(&mut self, hint: &Hint<'_>, draw: u64) -> Option<&mut Level> {
        let tried = |level: &Level| {
            let mut endpoints = level.lists.iter().flat_map(|list| &list.endpoints);
            endpoints.any(|endpoint| hint.avoid.iter().any(|avoid| Arc::ptr_eq(avoid, endpoint)))
        };
        if hint.other_priorities && !hint.avoid.is_empty() {
            // A later try leaves the priorities of the earlier ones, while others have something usable.
            let fresh =
                |level: &Level| !tried(level) && level.lists.iter().any(|list| !list.endpoints.is_empty());
            if let Some(at) = self.levels.iter().position(fresh) {
                return self.levels.get_mut(at);
            }
        }
        let mut left = draw;
        self.levels.iter_mut().find(|level| {
            let load = u64::from(level.load);
            let found = left < load;
            left = left.saturating_sub(load);
            found
        })
    }
}

/// One priority on its way into lists.
struct Source<'a> {
    groups: &'a [LocalityGroup],
    panic: bool,
    prebuilt: Option<&'a Arc<HashTable>>,
    overprovisioning: u32,
}

impl Source<'_> {
    fn lists(
        &self,
        settings: &ClusterSettings,
        usable: &dyn Fn(&Endpoint) -> bool,
        warm: &dyn Fn(&Endpoint) -> f64,
        dice: &mut Dice,
    ) -> Vec<List> {
        let take = |endpoint: &Endpoint| self.panic || usable(endpoint);
        let by_locality = settings.locality_weighted && !self.panic;
        if let Some(prebuilt) = self.prebuilt {
            let entries = weighted(self.groups, by_locality, &take);
            // The table of the set stands as long as exactly its healthy endpoints are the usable ones.
            let as_built =
                !self.groups.iter().flat_map(|group| &group.endpoints).any(|e| e.healthy != take(e));
            let table = match as_built {
                true => Some(prebuilt.clone()),
                false => HashTable::build(settings.balance, &entries).map(Arc::new),
            };
            let endpoints = entries.into_iter().map(|(endpoint, _)| endpoint).collect();
            return vec![List::new(endpoints, 1, table, &|_| 1.0, dice)];
        }
        if !by_locality {
            let all = self.groups.iter().flat_map(|group| &group.endpoints);
            return vec![List::new(
                all.filter(|endpoint| take(endpoint)).cloned().collect(),
                1,
                None,
                warm,
                dice,
            )];
        }
        let lists = self.groups.iter().filter_map(|group| {
            let endpoints: Vec<_> =
                group.endpoints.iter().filter(|endpoint| take(endpoint)).cloned().collect();
            let (here, all) = (endpoints.len() as u64, group.endpoints.len().max(1) as u64);
            // A locality keeps its weight until fewer than 1/1.4 of its endpoints are usable.
            let share =
                (here * u64::from(self.overprovisioning) * 100 / all).min(10_000) * u64::from(group.weight);
            (share > 0).then(|| List::new(endpoints, share, None, warm, dice))
        });
        lists.collect()
    }
}

/// Load and panic of each priority.
fn loads(health: &[Health], overprovisioning: u32, threshold: u32) -> (Vec<u32>, Vec<bool>) {
    let scores: Vec<u32> = health
        .iter()
        .map(|one| match one.all {
            0 => 0,
            all => (overprovisioning as usize * one.usable / all).min(100) as u32,
        })
        .collect();
    let total = scores.iter().sum::<u32>().min(100);
    if total == 0 {
        if threshold == 0 {
            return (vec![0; health.len()], vec![false; health.len()]);
        }
        // Nothing is healthy: all endpoints of all priorities, by their number.
        let hosts = health.iter().map(|one| one.all).sum::<usize>().max(1);
        let mut loads: Vec<_> = health.iter().map(|one| (100 * one.all / hosts) as u32).collect();
        top_up(&mut loads, health, |one| one.all > 0);
        return (loads, vec![true; health.len()]);
    }
    let mut left = 100;
    let mut loads = Vec::with_capacity(health.len());
    for score in &scores {
        let load = left.min(score * 100 / total);
        left -= load;
        loads.push(load);
    }
    top_up(&mut loads, health, |one| one.usable > 0);
    let panic = |one: &Health| total < 100 && one.all > 0 && 100 * one.usable < threshold as usize * one.all;
    (loads, health.iter().map(panic).collect())
}

/// Rounding leaves a few percent: the first priority that can takes them.
fn top_up(loads: &mut [u32], health: &[Health], can: impl Fn(&Health) -> bool) {
    let rest = 100_u32.saturating_sub(loads.iter().sum());
    if let Some(at) = health.iter().position(can) {
        loads[at] += rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failover_between_priorities() {
        let health = |list: &[(usize, usize)]| -> Vec<Health> {
            list.iter().map(|(usable, all)| Health { usable: *usable, all: *all }).collect()
        };
        for (list, threshold, want_loads, want_panic) in [
            (&[(4, 4), (4, 4)][..], 50, vec![100, 0], vec![false, false]),
            (&[(3, 4), (4, 4)], 50, vec![100, 0], vec![false, false]),
            (&[(2, 4), (4, 4)], 50, vec![70, 30], vec![false, false]),
            (&[(0, 4), (4, 4)], 50, vec![0, 100], vec![false, false]),
            (&[(0, 0), (4, 4)], 50, vec![0, 100], vec![false, false]),
            (&[(1, 4), (1, 4)], 50, vec![50, 50], vec![true, true]),
            (&[(1, 4), (1, 4)], 0, vec![50, 50], vec![false, false]),
            (&[(0, 3), (0, 1)], 50, vec![75, 25], vec![true, true]),
            (&[(0, 3), (0, 1)], 0, vec![0, 0], vec![false, false]),
            (&[(0, 0)], 50, vec![0], vec![true]),
        ] {
            let (loads, panic) = loads(&health(list), 140, threshold);
            assert_eq!((loads, panic), (want_loads, want_panic), "{list:?} {threshold}");
        }
    }
}
