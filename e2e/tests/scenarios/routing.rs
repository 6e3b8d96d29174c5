//! request-routing, fault-injection, traffic-shifting, request-timeouts, mirroring.

use std::collections::BTreeMap;

use crate::Mesh;
use e2e::client::{Ask, Reply};
use e2e::driven::Driven as _;
use e2e::until::eventually;

/// Which reviews version answered, told by its stars: `v1` has none, `v2` black, `v3` red.
fn version(page: &Reply) -> Result<&'static str, String> {
    if page.status != 200 || !page.body.contains("Reviews served by") && !page.body.contains("review") {
        return Err(format!("no page: {page}"));
    }
    if page.body.contains("Sorry, product reviews are currently unavailable for this book.") {
        return Err("reviews are unavailable".into());
    }
    let stars = page.body.contains("glyphicon-star");
    let red = page.body.contains("text-red-500");
    Ok(if !stars {
        "v1"
    } else if red {
        "v3"
    } else {
        "v2"
    })
}

/// How many of `count` pages came from which version.
fn tally(mesh: &Mesh, count: usize, ask: &Ask<'_>) -> BTreeMap<&'static str, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..count {
        let page = mesh.ask(ask);
        *tally.entry(version(&page).unwrap_or_else(|e| panic!("{e}"))).or_default() += 1;
    }
    tally
}

/// The session cookie of a person signed in at the bookstore.
fn sign_in(mesh: &Mesh, user: &str) -> String {
    let body = format!("username={user}&passwd=x");
    let reply = mesh.ask(&Ask {
        method: "POST",
        path: "/login",
        host: "localhost",
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        body: &body,
        keep: false,
    });
    assert_eq!(reply.status, 302, "{reply}");
    let cookie = reply.header("set-cookie").split(';').next().unwrap_or_default().to_string();
    assert!(cookie.contains('='), "{reply}");
    cookie
}

#[test]
fn request_routing() {
    let mesh = Mesh::up(&["bookinfo"]);
    let all = eventually("all three versions are seen", || {
        let seen = tally(&mesh, 9, &Ask::get("/productpage"));
        if seen.len() == 3 { Ok(seen) } else { Err(format!("{seen:?}")) }
    });
    assert_eq!(all.values().sum::<usize>(), 9);

    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-all-v1.yaml");
    eventually("the route to v1 is in force", || {
        let seen = tally(&mesh, 10, &Ask::get("/productpage"));
        if seen.keys().copied().eq(["v1"]) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    assert_eq!(tally(&mesh, 20, &Ask::get("/productpage")), BTreeMap::from([("v1", 20)]));

    mesh.apply("bookinfo/networking/virtual-service-reviews-test-v2.yaml");
    let cookie = sign_in(&mesh, "jason");
    let headers = [("cookie", cookie.as_str())];
    let jason = Ask::get("/productpage").headers(&headers);
    eventually("jason is sent to v2", || match version(&mesh.ask(&jason))? {
        "v2" => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(tally(&mesh, 10, &jason), BTreeMap::from([("v2", 10)]));
    assert_eq!(tally(&mesh, 10, &Ask::get("/productpage")), BTreeMap::from([("v1", 10)]));

    mesh.delete("bookinfo/networking/virtual-service-all-v1.yaml");
    eventually("without rules all versions are back", || {
        let seen = tally(&mesh, 9, &Ask::get("/productpage"));
        if seen.len() == 3 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

#[test]
fn fault_injection() {
    let mesh = Mesh::up(&["bookinfo"]);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-all-v1.yaml");
    mesh.apply("bookinfo/networking/virtual-service-reviews-test-v2.yaml");
    let cookie = sign_in(&mesh, "jason");
    let headers = [("cookie", cookie.as_str())];
    let jason = Ask::get("/productpage").headers(&headers);

    mesh.apply("bookinfo/networking/virtual-service-ratings-test-abort.yaml");
    eventually("jason sees that ratings fail", || {
        let page = mesh.ask(&jason);
        if page.body.contains("Ratings service is currently unavailable") {
            Ok(())
        } else {
            Err(page.to_string())
        }
    });
    assert_eq!(version(&mesh.get("/productpage")), Ok("v1"), "others see no stars and no error");

    mesh.apply("bookinfo/networking/virtual-service-ratings-test-delay.yaml");
    eventually("the hard-coded timeout shows", || {
        let page = mesh.ask(&jason);
        let sorry = "Sorry, product reviews are currently unavailable for this book.";
        if page.body.contains("Error fetching product reviews") && page.body.contains(sorry) {
            Ok(())
        } else {
            Err(page.to_string())
        }
    });
    assert_eq!(version(&mesh.get("/productpage")), Ok("v1"));

    mesh.apply("bookinfo/networking/fault-injection-details-v1.yaml");
    eventually("details answer 555", || {
        let page = mesh.get("/productpage");
        if page.body.contains("Error fetching product details") { Ok(()) } else { Err(page.to_string()) }
    });
}

#[test]
fn traffic_shifting() {
    let mesh = Mesh::up(&["bookinfo"]);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-all-v1.yaml");
    mesh.apply("bookinfo/networking/virtual-service-reviews-50-v3.yaml");
    eventually("both versions are seen", || {
        let seen = tally(&mesh, 10, &Ask::get("/productpage"));
        if seen.keys().copied().eq(["v1", "v3"]) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    let seen = tally(&mesh, 100, &Ask::get("/productpage"));
    // 50 of 100 with a standard deviation of 5: five of them on each side.
    assert!((25..=75).contains(&seen["v3"]), "{seen:?}");
    assert!(!seen.contains_key("v2"), "{seen:?}");

    mesh.apply("bookinfo/networking/virtual-service-reviews-v3.yaml");
    eventually("all goes to v3", || match version(&mesh.get("/productpage"))? {
        "v3" => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(tally(&mesh, 20, &Ask::get("/productpage")), BTreeMap::from([("v3", 20)]));
}

#[test]
fn request_timeouts() {
    let mesh = Mesh::up(&["bookinfo"]);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-all-v1.yaml");
    mesh.apply_text(
        "reviews-v2.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\nspec:\n  hosts: [reviews]\n  \
         http:\n  - route:\n    - destination: {host: reviews, subset: v2}\n",
    );
    mesh.apply_text(
        "ratings-delay.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ratings}\nspec:\n  hosts: [ratings]\n  \
         http:\n  - fault: {delay: {percentage: {value: 100}, fixedDelay: 2s}}\n    route:\n    - destination: {host: ratings, subset: v1}\n",
    );
    eventually("two seconds of delay, and stars", || match version(&mesh.get("/productpage"))? {
        "v2" => Ok(()),
        other => Err(other.to_string()),
    });
    mesh.apply_text(
        "reviews-timeout.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\nspec:\n  hosts: [reviews]\n  \
         http:\n  - route:\n    - destination: {host: reviews, subset: v2}\n    timeout: 0.5s\n",
    );
    eventually("reviews are given up after half a second", || {
        let page = mesh.get("/productpage");
        if page.body.contains("Sorry, product reviews are currently unavailable") {
            Ok(())
        } else {
            Err(page.to_string())
        }
    });
}

#[test]
fn mirroring() {
    let mesh = Mesh::up(&["curl"]);
    mesh.apply_text("httpbin.yaml", HTTPBIN_TWICE);
    let ask = ["curl", "-sS", "http://httpbin:8000/headers"];
    eventually("httpbin answers", || {
        let output = mesh.exec("curl", "curl", &ask);
        if output.success && output.stdout.contains("headers") { Ok(()) } else { Err(output.to_string()) }
    });
    let mirror = HTTPBIN_MIRROR;
    mesh.apply_text("mirror.yaml", mirror);
    // What v2 had before the mirror stays in its log: only more of it tells.
    let copies = || mesh.logs("httpbin-v2", "httpbin").matches("\"GET /headers HTTP/1.1\" 200").count();
    let before = copies();
    eventually("v2 gets copies, and only v1 answers", || {
        let output = mesh.exec("curl", "curl", &ask);
        if output.success && copies() > before { Ok(()) } else { Err(output.to_string()) }
    });
    let primary = mesh.logs("curl", "istio-proxy");
    assert!(!primary.contains("outbound|8000|v2|"), "no answer came from v2: {primary}");
    let answer = mesh.exec("curl", "curl", &ask);
    assert!(answer.stdout.contains("\"headers\""), "only v1 answers: {answer}");
}

const HTTPBIN_TWICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: httpbin, labels: {app: httpbin}}
spec:
  ports: [{name: http, port: 8000, targetPort: 8080}]
  selector: {app: httpbin}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin-v1}
spec:
  selector: {matchLabels: {app: httpbin, version: v1}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec:
      containers: [{name: httpbin, image: "docker.io/mccutchen/go-httpbin:v2.15.0", command: [mesh-samples], args: [httpbin, "8080"]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin-v2}
spec:
  selector: {matchLabels: {app: httpbin, version: v2}}
  template:
    metadata: {labels: {app: httpbin, version: v2}}
    spec:
      containers: [{name: httpbin, image: "docker.io/mccutchen/go-httpbin:v2.15.0", command: [mesh-samples], args: [httpbin, "8080"]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin]
  http: [{route: [{destination: {host: httpbin, subset: v1}, weight: 100}]}]
"#;

const HTTPBIN_MIRROR: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin]
  http:
  - route: [{destination: {host: httpbin, subset: v1}, weight: 100}]
    mirror: {host: httpbin, subset: v2}
    mirrorPercentage: {value: 100}
"#;
