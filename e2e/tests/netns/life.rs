//! The life of a pod's proxy: what it waits for, what it is told, how it leaves.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Instant;

use e2e::client::{Ask, Reply};
use e2e::netns::{FAMILIES, Ip, PROXY, Place, at};
use e2e::until::eventually;

use crate::sidecar::{APP, Mode, Pod};

const READY: &str = "/healthz/ready";

fn web() -> SocketAddr {
    SocketAddr::new(at(Ip::V4, Place::Pod), 8080)
}

/// A request of the world that takes a while; what it gets, when it is awaited.
fn slow(pod: &Pod, milliseconds: u32) -> std::sync::mpsc::Receiver<Result<Reply, String>> {
    let before = pod.arrived.load(Ordering::Relaxed);
    let (answer, answered) = std::sync::mpsc::channel();
    pod.hosts.world.run(move || {
        std::thread::spawn(move || {
            let path = format!("/slow/{milliseconds}");
            answer.send(Ask::get(&path).send(web()).map_err(|error| error.to_string())).ok();
        });
    });
    eventually("the application is busy", || match pod.arrived.load(Ordering::Relaxed) {
        now if now > before => Ok(()),
        now => Err(now),
    });
    answered
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn it_leaves_as_told_and_finishes_what_it_has() {
    let config = format!(
        r#"{{"discoveryAddress":"{}:15012","concurrency":2,"terminationDrainDuration":"3s"}}"#,
        at(Ip::V4, Place::World)
    );
    let mut pod = Pod::start(Mode::Redirect, "", &[("PROXY_CONFIG", &config)]);
    // A connection that is kept.
    let kept = pod.hosts.world.run(|| {
        let mut stream = TcpStream::connect(web()).unwrap();
        let reply = Ask { keep: true, ..Ask::get("/") }.over(&mut stream).unwrap();
        assert_eq!(reply.header("connection"), "");
        stream
    });
    let busy = slow(&pod, 1500);
    pod.proxy.terminate();
    eventually("it is not ready at once", || match pod.page(15021, READY).status {
        503 => Ok(()),
        other => Err(other),
    });
    // Who does not know yet is served, and told to go elsewhere.
    let reply = pod.hosts.world.get_as(APP, web(), "/", "web").unwrap();
    assert_eq!(reply.header("connection"), "close");
    let again = pod.hosts.world.run(move || {
        let mut kept = kept;
        Ask { keep: true, ..Ask::get("/") }.over(&mut kept).unwrap()
    });
    assert_eq!((again.status, again.header("connection")), (200, "close"));
    assert_eq!(busy.recv().unwrap().unwrap().status, 200);
    assert_eq!(pod.proxy.exit_code(), Some(0));
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn it_stays_until_the_last_connection_is_gone() {
    let env = [("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true"), ("MINIMUM_DRAIN_DURATION", "500ms")];
    let mut pod = Pod::start(Mode::Redirect, "", &env);
    let begun = Instant::now();
    let busy = slow(&pod, 3000);
    pod.proxy.terminate();
    assert_eq!(busy.recv().unwrap().unwrap().status, 200, "after {:?}", begun.elapsed());
    assert_eq!(pod.proxy.exit_code(), Some(0));
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn a_hook_drains_and_a_job_quits() {
    let mut pod = Pod::start(Mode::Redirect, "", &[]);
    let to = |family| SocketAddr::new(at(family, Place::Pod), 15020);
    for family in FAMILIES {
        for path in ["/quitquitquit", "/drain"] {
            let post = pod.hosts.world.run(move || Ask { method: "POST", ..Ask::get(path) }.send(to(family)));
            assert_eq!(post.unwrap().status, 403, "{path}");
        }
    }
    assert_eq!(pod.page(15021, READY).status, 200);
    // What the hook of a native sidecar runs, and the application of a Job.
    let hook = |pod: &Pod, path: &str| {
        pod.hosts.pod.proxy(pod.folder(), &["request", "--debug-port=15020", "POST", path])
    };
    let drain = hook(&pod, "drain");
    assert!(drain.status.success(), "{}", String::from_utf8_lossy(&drain.stderr));
    assert_eq!(pod.page(15021, READY).status, 503);
    let busy = slow(&pod, 300);
    assert_eq!(busy.recv().unwrap().unwrap().header("connection"), "close");
    pod.proxy.alive().unwrap();
    let quit = hook(&pod, "quitquitquit");
    assert!(quit.status.success(), "{}", String::from_utf8_lossy(&quit.stderr));
    assert_eq!(pod.proxy.exit_code(), Some(0));
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn it_waits_for_a_token_and_says_so() {
    let missing = [("ISTIO_TOKEN_PATH", "/nonexistent/istio-token")];
    let pod = Pod::begin(Mode::Redirect, "", &missing);
    let wait = |seconds: &str| {
        let words = ["wait", "--timeoutSeconds", seconds, "--periodMillis", "100"];
        pod.hosts.pod.proxy(pod.folder(), &words)
    };
    let output = wait("1");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("not ready within"), "{error}");
    eventually("it says what is missing", || match pod.page(15021, READY).body {
        body if body.contains("/nonexistent/istio-token") && body.contains("istio-ca") => Ok(()),
        body => Err(body),
    });
    drop(pod);
    // One that comes late is taken.
    let mut pod = Pod::begin(Mode::Redirect, "", &[]);
    let token = pod.file("var/run/secrets/tokens/istio-token");
    let roots = pod.file("var/run/secrets/istio/root-cert.pem");
    pod.ready();
    // New roots mean a new certificate.
    let asked = |pod: &Pod| {
        let page = pod.page(15020, "/stats/prometheus").body;
        let line = page.lines().find(|line| line.starts_with("istio_agent_num_outgoing_requests"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).unwrap()
    };
    let before = asked(&pod);
    let mut text = std::fs::read(&roots).unwrap();
    text.extend_from_slice(b"\n");
    std::fs::write(&roots, text).unwrap();
    eventually("it asks for another certificate", || match asked(&pod) {
        now if now > before => Ok(()),
        now => Err(now),
    });
    assert!(token.exists());
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn a_pod_of_ipv6_alone() {
    let six = at(Ip::V6, Place::Pod).to_string();
    let config = format!(r#"{{"discoveryAddress":"[{}]:15012"}}"#, at(Ip::V6, Place::World));
    let ca = format!("[{}]:15012", at(Ip::V6, Place::World));
    let env = [
        ("INSTANCE_IP", six.as_str()),
        ("INSTANCE_IPS", six.as_str()),
        ("PROXY_CONFIG", config.as_str()),
        ("CA_ADDR", ca.as_str()),
    ];
    let pod = Pod::start(Mode::Redirect, "", &env);
    assert_eq!(pod.is_asked(Ip::V6, 8080), "app ::6");
    let api = crate::sidecar::vip(Ip::V6, "api");
    assert!(pod.asks(api, "api").starts_with("api "));
    let to = SocketAddr::new(at(Ip::V6, Place::Pod), 15020);
    let ready = pod.hosts.world.get_as((PROXY, PROXY), to, READY, "pod").unwrap();
    assert_eq!(ready.status, 200);
}
