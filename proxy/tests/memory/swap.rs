//! A large configuration that is replaced while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proxy::config::*;

use crate::many::{compiled, routes};
use crate::support::*;

/// Every round compiles all routes anew and puts them in force; the other thread does not wait for it.
#[test]
fn ten_thousand_routes_are_swapped_under_load() {
    const ROUNDS: u64 = 5;
    // Real time: the other thread's work does not stand still.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), origin(async |seen: Seen| say(200, &seen.path)));
        let (live, cluster) = (mesh.live.clone(), mesh.cluster.clone());
        let done = Arc::new(AtomicBool::new(false));
        let ended = done.clone();
        let swapping = std::thread::spawn(move || {
            for round in 1..=ROUNDS {
                let table = compiled(&routes(10_000));
                live.set(Config {
                    generation: round + 1,
                    routes: vec![Some(table)],
                    clusters: vec![Some(cluster.clone())],
                    cluster_names: Arc::new(vec!["main".into()]),
                    ..Default::default()
                });
            }
            ended.store(true, Ordering::Release);
        });
        let mut clients: Vec<Client> = (0..8).map(|_| mesh.connect()).collect();
        let mut answers = 0;
        let mut last = false;
        // Once more after the last swap.
        while !std::mem::replace(&mut last, done.load(Ordering::Acquire)) || !last {
            for (number, client) in clients.iter_mut().enumerate() {
                let path = format!("/team-{}/x", (answers * 7919 + number) % 10_000);
                let got = client.get(&path).await;
                assert_eq!((got.status, got.body.as_str()), (200, path.as_str()), "after {answers}");
                answers += 1;
            }
        }
        swapping.join().unwrap();
        assert_eq!(mesh.net.dials(), 1, "the cluster is the same, and so are its connections");
        assert_eq!(mesh.live.load().generation, ROUNDS + 1);
        let told = mesh.told.requests.borrow();
        assert_eq!(told.len(), answers);
        assert!(told.iter().all(|one| one.attempts == 1 && one.failures.is_empty()));
    });
}
