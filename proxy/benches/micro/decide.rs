//! `decide` with 10 and with 10,000 routes, in one virtual host and in one each: the second must cost what the first does.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use http::{HeaderMap, Method};
use proxy::config::{Config, HttpChain};
use proxy::dice::Dice;
use proxy::router::{Head, decide};
use wire::Resource;

use crate::many::{hosts, routes, source, wild_hosts};
use crate::support::{Setup, chain, conn, mesh, run};

pub(crate) fn bench(c: &mut Criterion) {
    let mut config = Arc::new(Config::default());
    run(async { config = mesh(Setup::default()).live.load() });
    for count in [10, 10_000] {
        let number = count * 2 / 3;
        let path = format!("/team-{number}/orders/17?x=1");
        one(c, &config, &format!("decide/{count} routes of a host"), &routes(count), ("a.example", &path));
        let host = format!("svc-{number}.example.com");
        one(c, &config, &format!("decide/{count} hosts"), &hosts(count), (&host, "/orders/17?x=1"));
        let host = format!("a.svc-{number}.example.com");
        one(c, &config, &format!("decide/{count} wild hosts"), &wild_hosts(count), (&host, "/orders/17?x=1"));
    }
}

fn one(c: &mut Criterion, config: &Config, name: &str, table: &Resource, asked: (&str, &str)) {
    let chain = HttpChain { routes: source(table), ..chain() };
    let (conn, headers, mut dice) = (conn(), HeaderMap::new(), Dice::new(1));
    let (authority, path) = asked;
    let head = Head { method: &Method::GET, scheme: "http", authority, path, headers: &headers };
    c.bench_function(name, |b| b.iter(|| decide(config, &chain, &conn, black_box(&head), &mut dice)));
}
