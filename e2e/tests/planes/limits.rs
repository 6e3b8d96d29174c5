//! What a DestinationRule limits: connections, waiting requests, requests of a connection, requests at a time; and endpoints
//! that are ejected or preferred. Counts are exact on both sides, since one worker serves each plane.

use std::collections::BTreeMap;

use e2e::client::{Ask, Reply};
use e2e::origin::Origin;
use e2e::planes::{Plane, Planes};
use e2e::until::eventually;

use crate::calls::replies;
use crate::stage;

const BOTH: [(Plane, &str); 2] = [(Plane::Envoy, "envoy"), (Plane::Ours, "ours")];

fn ask(planes: &Planes, plane: Plane, path: &str) -> Reply {
    let reply = Ask::get(path).host("app.example.com").send(planes.gateway(plane));
    reply.unwrap_or_else(|error| panic!("{plane:?} {path}: {error}"))
}

/// Statuses of requests in a row, and which origin answered.
fn tally(planes: &Planes, plane: Plane, path: &str, times: usize) -> BTreeMap<(u16, String), usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..times {
        let reply = ask(planes, plane, path);
        let origin = reply.json()["origin"].as_str().unwrap_or("-").to_string();
        *tally.entry((reply.status, origin)).or_default() += 1;
    }
    tally
}

/// How often a call fails until it does not any more, for as often as both endpoints would have had a turn.
fn failures(planes: &Planes, plane: Plane, path: &str) -> usize {
    let (mut failed, mut in_order) = (0, 0);
    while in_order < 6 {
        let ok = ask(planes, plane, path).status == 200;
        (failed, in_order) = if ok { (failed, in_order + 1) } else { (failed + 1, 0) };
        assert!(failed < 500, "{plane:?} {path}: nothing is ejected");
    }
    failed
}

/// While one request is at the origin, `more` others come at once: the statuses of all, sorted, and one of the refused.
fn crowd(
    planes: &Planes,
    plane: Plane,
    path: &str,
    more: usize,
    origin: &Origin,
) -> (Vec<u16>, Option<Reply>) {
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(planes, plane, path));
        // The origin holds a slow request for longer than all of this takes.
        eventually("the first request is at the origin", || {
            let seen = origin.seen(path);
            if seen.is_empty() { Err("nothing yet") } else { Ok(()) }
        });
        let others: Vec<_> = (0..more).map(|_| scope.spawn(|| ask(planes, plane, path))).collect();
        let mut replies = vec![first.join().unwrap()];
        replies.extend(others.into_iter().map(|other| other.join().unwrap()));
        let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        statuses.sort();
        (statuses, replies.into_iter().find(|reply| reply.status != 200))
    })
}

#[test]
fn connection_pools() {
    let (planes, origins) = stage::start(POOLS);
    let mut wrong = Vec::new();
    for (route, more, wanted) in [
        // One is served, one waits, the others are refused.
        ("pending", 4, vec![200, 200, 503, 503, 503]),
        ("requests", 3, vec![200, 503, 503, 503]),
        // Nobody is refused: they wait for the one connection.
        ("connections", 3, vec![200; 4]),
    ] {
        let found = BOTH.map(|(plane, word)| {
            // The origin tells the planes apart by their paths.
            crowd(&planes, plane, &format!("/slow/700/{route}/{word}"), more, &origins[0])
        });
        for ((_, word), (statuses, _)) in BOTH.iter().zip(&found) {
            if *statuses != wanted {
                wrong.push(format!("{route}: {word} answers {statuses:?}, not {wanted:?}"));
            }
        }
        match found.map(|(_, refused)| refused) {
            [Some(envoy), Some(ours)] => replies(route, "GET", &envoy, &ours, &mut wrong),
            [None, None] => {}
            refused => wrong.push(format!("{route}: {refused:?}")),
        }
    }
    // How many requests each connection takes.
    for (path, wanted) in [("/once", [1, 1, 1, 1]), ("/twice", [1, 2, 1, 2])] {
        for (plane, word) in BOTH {
            let found =
                [(); 4].map(|()| ask(&planes, plane, path).json()["nth"].as_u64().unwrap_or_default());
            if found != wanted {
                wrong.push(format!(
                    "{path}: {word} puts requests on connections as {found:?}, not {wanted:?}"
                ));
            }
        }
    }
    let [envoy, ours] = stage::logs(&planes, 21);
    let plain = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.replace("/envoy ", "/PLANE ").replace("/ours ", "/PLANE ")).collect()
    };
    crate::calls::compare_logs(&plain(envoy), &plain(ours), 0, &mut wrong);
    stage::no_nack(&planes, &mut wrong);
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

#[test]
fn endpoints() {
    let (planes, _origins) = stage::start(ENDPOINTS);
    let mut wrong = Vec::new();
    let of = |statuses: &[(u16, &str, usize)]| -> BTreeMap<(u16, String), usize> {
        statuses.iter().map(|(status, origin, n)| ((*status, origin.to_string()), *n)).collect()
    };
    for (path, times, wanted) in [
        ("/robin", 10, of(&[(200, "a", 5), (200, "b", 5)])),
        ("/near", 6, of(&[(200, "a", 6)])),
        ("/subset", 6, of(&[(200, "b", 6)])),
    ] {
        for (plane, word) in BOTH {
            let found = tally(&planes, plane, path, times);
            if found != wanted {
                wrong.push(format!("{path}: {word} {found:?}, not {wanted:?}"));
            }
        }
    }
    // So many failures in a row and the endpoint that fails is out.
    for (path, wanted) in [("/only/b/503", 3), ("/only/a/502", 2)] {
        let [envoy, ours] = BOTH.map(|(plane, _)| failures(&planes, plane, path));
        // Envoy ejects on another thread than the one that serves, which goes on meanwhile.
        if envoy < wanted || ours != wanted {
            wrong.push(format!("{path}: envoy fails {envoy} times, ours {ours}, not {wanted}"));
        }
    }
    // Sticky by a cookie that the plane makes: the same name and attributes, and the same endpoint from then on.
    let cookies = BOTH.map(|(plane, word)| {
        let reply = ask(&planes, plane, "/cookie");
        let cookie = reply.header("set-cookie").to_string();
        let (value, rest) = cookie.split_once(';').unwrap_or((&cookie, ""));
        let first = reply.json()["origin"].clone();
        for _ in 0..6 {
            let headers = [("cookie", value)];
            let again =
                Ask::get("/cookie").host("app.example.com").headers(&headers).send(planes.gateway(plane));
            let again = again.unwrap();
            if again.json()["origin"] != first || again.headers.contains_key("set-cookie") {
                wrong.push(format!("cookie: {word} first {first}, then {again}"));
            }
        }
        (value.split('=').next().unwrap_or_default().to_string(), rest.to_string())
    });
    if cookies[0] != cookies[1] {
        wrong.push(format!("cookie: envoy {:?}, ours {:?}", cookies[0], cookies[1]));
    }
    // By a cookie that the client has, and by the client's address: the same endpoint on both sides.
    for value in ["user=anna", "user=bernd", "user=carla", "user=dieter", "user=emil"] {
        let [envoy, ours] = BOTH.map(|(plane, _)| {
            let headers = [("cookie", value)];
            let reply =
                Ask::get("/cookie").host("app.example.com").headers(&headers).send(planes.gateway(plane));
            reply.unwrap().json()["origin"].clone()
        });
        if envoy != ours {
            wrong.push(format!("cookie {value}: envoy {envoy}, ours {ours}"));
        }
    }
    let [envoy, ours] = BOTH.map(|(plane, _)| tally(&planes, plane, "/source", 5));
    if envoy != ours {
        wrong.push(format!("source: envoy {envoy:?}, ours {ours:?}"));
    }
    stage::no_nack(&planes, &mut wrong);
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

const POOLS: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pools, namespace: default}
spec:
  hosts: [pending.example.com, requests.example.com, connections.example.com, once.example.com, twice.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ORIGIN_A_PORT}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pending, namespace: default}
spec:
  host: pending.example.com
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: requests, namespace: default}
spec:
  host: requests.example.com
  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: connections, namespace: default}
spec:
  host: connections.example.com
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: once, namespace: default}
spec:
  host: once.example.com
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: twice, namespace: default}
spec:
  host: twice.example.com
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 2}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: default}
spec:
  hosts: [app.example.com]
  gateways: GATEWAYS
  http:
  - match: [{uri: {prefix: /slow/700/pending}}]
    retries: {attempts: 0}
    route: [{destination: {host: pending.example.com}}]
  - match: [{uri: {prefix: /slow/700/requests}}]
    retries: {attempts: 0}
    route: [{destination: {host: requests.example.com}}]
  - match: [{uri: {prefix: /slow/700/connections}}]
    route: [{destination: {host: connections.example.com}}]
  - match: [{uri: {prefix: /once}}]
    route: [{destination: {host: once.example.com}}]
  - match: [{uri: {prefix: /twice}}]
    route: [{destination: {host: twice.example.com}}]
"#;

const ENDPOINTS: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: both, namespace: default}
spec:
  hosts: [robin.example.com, eject.example.com, gateway.example.com, near.example.com, subset.example.com, cookie.example.com, source.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
  - {address: 127.0.0.1, ports: {http: ORIGIN_A_PORT}, labels: {version: v1}, locality: r1/z1}
  - {address: 127.0.0.1, ports: {http: ORIGIN_B_PORT}, labels: {version: v2}, locality: r2/z2}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: robin, namespace: default}
spec:
  host: robin.example.com
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: false}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: eject, namespace: default}
spec:
  host: eject.example.com
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: false}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 60s, baseEjectionTime: 60s, maxEjectionPercent: 100}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: gateway, namespace: default}
spec:
  host: gateway.example.com
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: false}}
    outlierDetection: {consecutiveGatewayErrors: 2, consecutive5xxErrors: 0, interval: 60s, baseEjectionTime: 60s, maxEjectionPercent: 100}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: near, namespace: default}
spec:
  host: near.example.com
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {localityLbSetting: {enabled: true}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subset, namespace: default}
spec:
  host: subset.example.com
  subsets: [{name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cookie, namespace: default}
spec:
  host: cookie.example.com
  trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: user, path: /, ttl: 60s}}, localityLbSetting: {enabled: false}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: source, namespace: default}
spec:
  host: source.example.com
  trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}, localityLbSetting: {enabled: false}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: default}
spec:
  hosts: [app.example.com]
  gateways: GATEWAYS
  http:
  - match: [{uri: {prefix: /robin}}]
    route: [{destination: {host: robin.example.com}}]
  - match: [{uri: {prefix: /only/b}}]
    retries: {attempts: 0}
    route: [{destination: {host: eject.example.com}}]
  - match: [{uri: {prefix: /only/a}}]
    retries: {attempts: 0}
    route: [{destination: {host: gateway.example.com}}]
  - match: [{uri: {prefix: /near}}]
    route: [{destination: {host: near.example.com}}]
  - match: [{uri: {prefix: /subset}}]
    route: [{destination: {host: subset.example.com, subset: v2}}]
  - match: [{uri: {prefix: /cookie}}]
    route: [{destination: {host: cookie.example.com}}]
  - match: [{uri: {prefix: /source}}]
    route: [{destination: {host: source.example.com}}]
"#;
