//! `pick`: an endpoint of 3 and of 1000, with each balancer that has no table.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::Criterion;
use proxy::balance::{Hint, Picker};
use proxy::config::{Balance, ClusterSettings};
use proxy::dice::Dice;

use crate::support::cluster;

pub(crate) fn bench(c: &mut Criterion) {
    let kinds = [
        ("round robin", Balance::RoundRobin),
        ("least request", Balance::LeastRequest { choices: 2 }),
        ("random", Balance::Random),
    ];
    for (name, balance) in kinds {
        for count in [3u16, 1000] {
            let address = |n: u16| SocketAddr::from(([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]], 80));
            let endpoints: Vec<SocketAddr> = (0..count).map(address).collect();
            let settings = ClusterSettings { balance, ..Default::default() };
            let cluster = cluster("main", 1, settings, &endpoints);
            let mut picker = Picker::new(Dice::new(1));
            c.bench_function(&format!("pick/{name} of {count}"), |b| {
                b.iter(|| picker.pick(black_box(&cluster), &Hint::default(), 0));
            });
        }
    }
}
