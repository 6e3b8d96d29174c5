//! Retries, circuit breakers, reuse, draining.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use proxy::config::*;
use proxy::fail::Failure;
use proxy::h1::Length;

use crate::support::*;

#[test]
fn a_retry_goes_to_another_endpoint_with_the_whole_body() {
    run(async {
        let retry = retry(RetryOn::RETRIABLE_STATUS, 2);
        let setup = Setup {
            endpoints: vec![addr(1), addr(2)],
            forward: Forward { retry, ..forward() },
            ..Setup::default()
        };
        let mesh = mesh(setup);
        let bad = Rc::new(Cell::new(0));
        let count = bad.clone();
        mesh.net.listen(
            addr(1),
            origin(move |request| {
                assert_eq!(request.body, "the body");
                count.set(count.get() + 1);
                async { say(503, "busy") }
            }),
        );
        mesh.net.listen(addr(2), origin(|request| async move { say(200, &request.body) }));
        let mut client = mesh.connect();
        for _ in 0..4 {
            let got = client.send(Method::POST, "/", &[], "the body").await;
            assert_eq!((got.status, got.body.as_str()), (200, "the body"));
        }
        assert!(bad.get() >= 1);
        assert!(mesh.told.requests.borrow().iter().any(|told| told.attempts == 2));
        assert!(mesh.last().failures.is_empty());
    });
}

#[test]
fn retries_are_used_up() {
    run(async {
        let retry = retry(RetryOn::FIVE_XX, 2);
        let mesh = mesh(Setup { forward: Forward { retry, ..forward() }, ..Setup::default() });
        mesh.net.listen(addr(1), origin(|_| async { say(500, "no") }));
        let got = mesh.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (500, "no"));
        let told = mesh.last();
        assert_eq!((told.attempts, &told.failures[..]), (3, &[Failure::RetryExhausted][..]));
    });
}

#[test]
fn connect_failures_are_retried_with_their_words() {
    run(async {
        let retry = retry(RetryOn::CONNECT_FAILURE, 1);
        let mesh = mesh(Setup { forward: Forward { retry, ..forward() }, ..Setup::default() });
        let got = mesh.connect().get("/").await;
        assert_eq!(got.status, 503);
        assert!(
            got.body.contains("retried and the latest reset reason: remote connection failure"),
            "{}",
            got.body
        );
        assert_eq!(mesh.net.dials(), 2);
        assert_eq!(mesh.last().failures, [Failure::RetryExhausted, Failure::ConnectFailure]);
    });
}

#[test]
fn a_cluster_limits_its_retries() {
    run(async {
        let retry = retry(RetryOn::FIVE_XX, 2);
        let limits = [u32::MAX, u32::MAX, u32::MAX, 0];
        let mesh = mesh(Setup { forward: Forward { retry, ..forward() }, limits, ..Setup::default() });
        mesh.net.listen(addr(1), origin(|_| async { say(500, "no") }));
        assert_eq!(mesh.connect().get("/").await.status, 500);
        assert_eq!(mesh.last().failures, [Failure::RetryOverflow]);
    });
}

#[test]
fn a_kept_connection_that_died_is_no_failure() {
    run(async {
        let mesh = mesh(Setup::default());
        // Answers once, then closes as soon as the next request comes: the race with an idle timeout.
        let served = Rc::new(Cell::new(0));
        let count = served.clone();
        mesh.net.listen(
            addr(1),
            origin(move |_| {
                count.set(count.get() + 1);
                let even = count.get() % 2 == 0;
                async move { if even { Answer::Close } else { say(200, "fine") } }
            }),
        );
        let mut client = mesh.connect();
        assert_eq!(client.get("/").await.status, 200);
        let got = client.get("/").await;
        assert_eq!((got.status, mesh.last().attempts), (200, 1));
        assert_eq!((served.get(), mesh.net.dials()), (3, 2));
        // A POST may have had its effect: it is not repeated.
        assert_eq!(client.send(Method::POST, "/", &[], "x").await.status, 503);
    });
}

#[test]
fn circuit_breakers_refuse_the_rest() {
    run(async {
        let mesh = mesh(Setup { limits: [1, 1, u32::MAX, u32::MAX], ..Setup::default() });
        mesh.net.listen(
            addr(1),
            origin(|_| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                say(200, "")
            }),
        );
        let statuses = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (mut client, statuses) = (mesh.connect(), statuses.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let got = client.get("/").await;
                if got.status == 503 {
                    assert_eq!(got.headers["x-envoy-overloaded"], "true");
                    assert!(got.body.ends_with("reset reason: overflow"), "{}", got.body);
                }
                statuses.borrow_mut().push(got.status);
            }));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        statuses.borrow_mut().sort();
        assert_eq!(*statuses.borrow(), [200, 200, 503, 503], "one served, one waits, two overflow");
        assert_eq!(mesh.net.dials(), 1);
        let overflow =
            mesh.told.requests.borrow().iter().filter(|told| told.failures == [Failure::Overflow]).count();
        assert_eq!(overflow, 2);
    });
}

#[test]
fn connections_have_a_last_request() {
    run(async {
        let settings = ClusterSettings { max_requests_per_connection: 2, ..Default::default() };
        let mesh = mesh(Setup { settings, ..Setup::default() });
        mesh.net.listen(addr(1), origin(|_| async { say(200, "") }));
        let mut client = mesh.connect();
        for _ in 0..4 {
            client.get("/").await;
        }
        assert_eq!(mesh.net.dials(), 2);
    });
}

#[test]
fn idle_upstream_connections_are_closed() {
    run(async {
        let settings = ClusterSettings { idle_timeout: Duration::from_secs(30), ..Default::default() };
        let mesh = mesh(Setup { settings, ..Setup::default() });
        mesh.net.listen(addr(1), origin(|_| async { say(200, "") }));
        let mut client = mesh.connect();
        client.get("/").await;
        let open = || {
            mesh.cluster
                .endpoints
                .load()
                .all()
                .next()
                .unwrap()
                .state
                .connections
                .load(std::sync::atomic::Ordering::Relaxed)
        };
        tokio::time::sleep(Duration::from_secs(25)).await;
        assert_eq!(open(), 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(open(), 0);
    });
}

#[test]
fn connections_of_a_removed_cluster_are_closed_and_others_kept() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), origin(|_| async { say(200, "") }));
        let mut client = mesh.connect();
        client.get("/").await;
        let now = mesh.live.load();
        let next = |clusters| Config {
            generation: 2,
            routes: now.routes.clone(),
            clusters,
            cluster_names: now.cluster_names.clone(),
            ..Default::default()
        };
        mesh.live.set(next(now.clusters.clone()));
        client.get("/").await;
        assert_eq!(mesh.net.dials(), 1, "a new Config with the same cluster keeps its connections");
        mesh.live.set(next(vec![None, None, None]));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let endpoint = mesh.cluster.endpoints.load().all().next().unwrap().clone();
        assert_eq!(endpoint.state.connections.load(std::sync::atomic::Ordering::Relaxed), 0);
    });
}

#[test]
fn draining_finishes_what_runs_and_ends_what_waits() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(
            addr(1),
            origin(|_| async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                say(200, "done")
            }),
        );
        let mut idle = mesh.connect();
        let mut busy = mesh.connect();
        assert_eq!(idle.get("/").await.status, 200);
        busy.start(&Method::GET, "/", &[], Length::None);
        busy.flush().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        mesh.drain.start(Duration::from_secs(60));
        idle.closed().await;
        let got = busy.receive(&Method::GET).await;
        assert_eq!((got.status, got.body.as_str()), (200, "done"));
        assert_eq!(got.headers["connection"], "close");
        busy.closed().await;
    });
}

#[test]
fn outliers_are_ejected() {
    run(async {
        let mesh = mesh(Setup { endpoints: vec![addr(1), addr(2)], ..Setup::default() });
        let settings = proxy::cluster::OutlierSettings { max_ejection_percent: 100, ..Default::default() };
        mesh.cluster.outliers.adopt(Some(settings));
        mesh.cluster.outliers.members.store(2, std::sync::atomic::Ordering::Relaxed);
        mesh.net.listen(addr(1), origin(|_| async { say(500, "bad") }));
        mesh.net.listen(addr(2), origin(|_| async { say(200, "good") }));
        let mut client = mesh.connect();
        for _ in 0..20 {
            client.get("/").await;
        }
        for _ in 0..10 {
            assert_eq!(client.get("/").await.body, "good");
        }
        tokio::time::sleep(Duration::from_secs(31)).await;
        let mut bad = 0;
        for _ in 0..4 {
            bad += usize::from(client.get("/").await.status == 500);
        }
        assert!(bad > 0, "it is back");
    });
}
