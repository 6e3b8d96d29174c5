//! `lower` and `link`: what a change of configuration costs the control thread.

use std::sync::Arc;

use criterion::Criterion;
use proxy::compile::{Parts, Slots, link, lower};
use proxy::config::{ClusterSettings, Config};

use crate::many::{TABLE, compiled, hosts, routes};
use crate::support::cluster;

pub(crate) fn bench(c: &mut Criterion) {
    for (name, resource) in [("10,000 routes of a host", routes(10_000)), ("10,000 hosts", hosts(10_000))] {
        let mut slots = Slots::default();
        c.bench_function(&format!("lower/{name}"), |b| b.iter(|| lower(&resource, &mut slots).unwrap()));
    }
    let (mut parts, mut slots) = (Parts::default(), Slots::default());
    for number in 0..1000u16 {
        let name: Arc<str> = format!("outbound|80||svc-{number}").into();
        slots.cluster(&name);
        let made = cluster(&name, u64::from(number), ClusterSettings::default(), &[]);
        parts.clusters.insert(name, Arc::new(made));
    }
    slots.route(TABLE);
    parts.tables.insert(TABLE.into(), compiled(&routes(10_000)));
    let before = link(&parts, &slots, &Config::default());
    c.bench_function("link/1000 clusters, 10,000 routes", |b| b.iter(|| link(&parts, &slots, &before)));
}
