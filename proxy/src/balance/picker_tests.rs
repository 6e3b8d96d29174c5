//! Picks over whole sets: shares by weight, priorities that fail over, ejections, hashes.

use super::*;
use crate::config::{Balance, ClusterSettings, LocalityGroup};

fn endpoint(last: u8, weight: u32, healthy: bool) -> Arc<Endpoint> {
    let address = EndpointAddress::Ip(SocketAddr::from(([10, 0, 0, last], 80)));
    Arc::new(Endpoint { weight, healthy, ..Endpoint::bare(address, None) })
}

fn group(weight: u32, endpoints: &[Arc<Endpoint>]) -> LocalityGroup {
    LocalityGroup { locality: "".into(), weight, endpoints: endpoints.to_vec() }
}

fn cluster(balance: Balance, priorities: Vec<Vec<LocalityGroup>>, locality_weighted: bool) -> Cluster {
    let hash_tables = super::super::tables(balance, &priorities, locality_weighted);
    let set = EndpointSet { priorities, overprovisioning: 140, hash_tables, version: "1".into() };
    Cluster {
        name: "c".into(),
        id: 1,
        settings: ClusterSettings { balance, locality_weighted, panic_threshold: 0, ..Default::default() },
        endpoints: Arc::new(base::Live::new(set)),
        limits: Arc::default(),
        outliers: Arc::default(),
        version: "1".into(),
    }
}

fn last_byte(endpoint: &Endpoint) -> usize {
    match endpoint.address {
        EndpointAddress::Ip(SocketAddr::V4(v4)) => usize::from(v4.ip().octets()[3]),
        _ => 0,
    }
}

fn counts(cluster: &Cluster, picks: usize) -> [usize; 5] {
    let mut picker = Picker::new(Dice::new(5));
    let mut counts = [0; 5];
    for _ in 0..picks {
        let chosen = picker.pick(cluster, &Hint::default(), 0);
        counts[chosen.map_or(0, |endpoint| last_byte(&endpoint))] += 1;
    }
    counts
}

const LEAST: Balance = Balance::LeastRequest { choices: 2 };
const RING: Balance = Balance::RingHash { minimum: 1024, maximum: 8 << 20 };

/// A policy that is changed and changed back: the version is the old one, the endpoints are others.
#[test]
fn an_earlier_version_with_other_endpoints() {
    let before = cluster(Balance::RoundRobin, vec![vec![group(1, &[endpoint(1, 1, true)])]], false);
    let after = cluster(Balance::RoundRobin, vec![vec![group(1, &[endpoint(2, 1, true)])]], false);
    assert_eq!((before.id, &before.version), (after.id, &after.version));
    let mut picker = Picker::new(Dice::new(5));
    let mut pick = |cluster: &Cluster| picker.pick(cluster, &Hint::default(), 0).map(|one| last_byte(&one));
    assert_eq!((pick(&before), pick(&after), pick(&before)), (Some(1), Some(2), Some(1)));
}

#[test]
fn round_robin_by_weight() {
    let all = [endpoint(1, 1, true), endpoint(2, 1, true), endpoint(3, 1, false)];
    assert_eq!(
        counts(&cluster(Balance::RoundRobin, vec![vec![group(1, &all)]], false), 100),
        [0, 50, 50, 0, 0]
    );
    let all = [endpoint(1, 3, true), endpoint(2, 1, true)];
    let got = counts(&cluster(Balance::RoundRobin, vec![vec![group(1, &all)]], false), 400);
    assert!(got[1].abs_diff(300) <= 1 && got[2].abs_diff(100) <= 1, "{got:?}");
}

#[test]
fn nothing_healthy_is_nothing() {
    for balance in [Balance::RoundRobin, LEAST, Balance::Random, RING, Balance::Maglev { table: 13 }] {
        let none = cluster(balance, vec![vec![group(1, &[endpoint(1, 1, false)])]], false);
        assert_eq!(counts(&none, 3)[0], 3, "{balance:?}");
        assert_eq!(counts(&cluster(balance, vec![], false), 3)[0], 3, "{balance:?}");
    }
}

#[test]
fn the_less_busy_of_two() {
    let all = [endpoint(1, 1, true), endpoint(2, 1, true)];
    all[0].state.active.store(5, Ordering::Relaxed);
    assert_eq!(counts(&cluster(LEAST, vec![vec![group(1, &all)]], false), 50), [0, 0, 50, 0, 0]);
    let all = [endpoint(1, 90, true), endpoint(2, 10, true)];
    let got = counts(&cluster(LEAST, vec![vec![group(1, &all)]], false), 10_000);
    assert!((8_600..9_400).contains(&got[1]), "{got:?}");
}

#[test]
fn localities_by_weight() {
    let groups =
        vec![group(80, &[endpoint(1, 1, true)]), group(20, &[endpoint(2, 1, true), endpoint(3, 1, true)])];
    let got = counts(&cluster(Balance::Random, vec![groups], true), 10_000);
    assert!((7_700..8_300).contains(&got[1]) && got[2] + got[3] > 1_700, "{got:?}");
}

#[test]
fn ejected_endpoints_are_left_out_and_come_back() {
    let all = [endpoint(1, 1, true), endpoint(2, 1, true)];
    let cluster = cluster(RING, vec![vec![group(1, &all)]], false);
    let settings = crate::cluster::OutlierSettings { max_ejection_percent: 100, ..Default::default() };
    cluster.outliers.adopt(Some(settings));
    cluster.outliers.members.store(2, Ordering::Relaxed);
    let mut picker = Picker::new(Dice::new(1));
    let mut pick = |hash, now| {
        last_byte(&picker.pick(&cluster, &Hint { hash: Some(hash), ..Default::default() }, now).expect("one"))
    };
    let first: Vec<_> = (0..64).map(|n| pick(n << 58, 1)).collect();
    assert!(first.contains(&1) && first.contains(&2));
    (0..5).for_each(|_| {
        cluster.outliers.report(&all[0].state, crate::cluster::Outcome::Status(500), 1, 0);
    });
    assert!((0..64).all(|n| pick(n << 58, 2) == 2));
    assert_eq!((0..64).map(|n| pick(n << 58, 40_000)).collect::<Vec<_>>(), first);
}

#[test]
fn a_retry_avoids_the_first_host() {
    let all = [endpoint(1, 1, true), endpoint(2, 1, true)];
    let cluster =
        cluster(Balance::Random, vec![vec![group(1, &all)], vec![group(1, &[endpoint(3, 1, true)])]], false);
    let mut picker = Picker::new(Dice::new(1));
    let mut other = 0;
    for _ in 0..1000 {
        let hint = Hint { avoid: &all[..1], again: 5, ..Default::default() };
        other += usize::from(last_byte(&picker.pick(&cluster, &hint, 0).expect("one")) == 2);
    }
    assert!(other > 970, "{other}");
    let hint = Hint { avoid: &all[..1], other_priorities: true, ..Default::default() };
    assert_eq!(last_byte(&picker.pick(&cluster, &hint, 0).expect("one")), 3);
}

#[test]
fn a_new_set_is_seen() {
    let cluster = cluster(Balance::RoundRobin, vec![vec![group(1, &[endpoint(1, 1, true)])]], false);
    let mut picker = Picker::new(Dice::new(1));
    assert_eq!(last_byte(&picker.pick(&cluster, &Hint::default(), 0).expect("one")), 1);
    cluster.endpoints.set(EndpointSet {
        priorities: vec![vec![group(1, &[endpoint(2, 1, true)])]],
        overprovisioning: 140,
        ..Default::default()
    });
    assert_eq!(last_byte(&picker.pick(&cluster, &Hint::default(), 0).expect("one")), 2);
}

#[test]
fn new_endpoints_start_slowly() {
    let (old, new) = (endpoint(1, 1, true), endpoint(2, 1, true));
    let mut cluster = cluster(Balance::RoundRobin, vec![vec![group(1, &[old, new.clone()])]], false);
    let slow =
        crate::config::SlowStart { window: std::time::Duration::from_secs(100), aggression: 1.0, least: 0.1 };
    cluster.settings.slow_start = Some(slow);
    let mut picker = Picker::new(Dice::new(1));
    let mut share = |now: u64| {
        let picks =
            (0..1000).filter(|_| last_byte(&picker.pick(&cluster, &Hint::default(), now).expect("one")) == 2);
        picks.count()
    };
    assert!(share(1).abs_diff(500) < 3, "all new: all alike");
    new.state.since.store(100_000, Ordering::Relaxed);
    assert!(share(101_001).abs_diff(91) < 10, "{}: a tenth of the weight", share(101_001));
    assert!(share(150_000).abs_diff(333) < 10, "half of the weight");
    assert!(share(201_000).abs_diff(500) < 3, "grown up");
}
