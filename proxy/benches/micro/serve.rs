//! `serve`: a request through the whole pipeline and back, over pipes in memory, client and origin included.

use std::time::Instant;

use criterion::{Criterion, Throughput};

use crate::many::{routes, source};
use crate::support::{Client, Mesh, Seen, Setup, addr, chain, mesh, origin, run, say};

pub(crate) fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("serve");
    group.throughput(Throughput::Elements(1));
    for (name, count) in [("10 routes", 10), ("10,000 routes", 10_000)] {
        let table = routes(count);
        let path = format!("/team-{}/x", count * 2 / 3);
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut took = std::time::Duration::ZERO;
                let http = proxy::config::HttpChain { routes: source(&table), ..chain() };
                run(async {
                    let mesh: Mesh = mesh(Setup { http, ..Setup::default() });
                    mesh.net.listen(addr(1), origin(async |_: Seen| say(200, "hello")));
                    let mut client: Client = mesh.connect();
                    assert_eq!(client.get(&path).await.status, 200);
                    let start = Instant::now();
                    for _ in 0..rounds {
                        client.get(&path).await;
                    }
                    took = start.elapsed();
                });
                took
            });
        });
    }
    group.finish();
}
