//! up, down, get, apply, exec, scale, logs, and the tables of proxy-status and proxy-config.

use e2e::laptop::Laptop;
use e2e::until::eventually;

#[test]
fn bookinfo_comes_up_and_goes_without_a_trace() {
    let mesh = Laptop::up(&["bookinfo"]);
    let page = mesh.get("/productpage");
    assert_eq!(page.status, 200, "{page}");
    assert!(page.body.contains("<title>Simple Bookstore App</title>"), "{page}");

    let pods = mesh.ok(&["get", "pods"]);
    assert_eq!(
        pods.lines().filter(|line| line.contains("2/2") && line.contains("Running")).count(),
        6,
        "{pods}"
    );
    let service = mesh.ok(&["get", "services", "-n", "istio-system", "istio-ingressgateway"]);
    assert!(service.contains(&mesh.http.port().to_string()), "the published port is shown: {service}");
    let again = mesh.meshctl(&["up", "-d", &e2e::programs::sample("bookinfo")]);
    assert!(format!("{}{}", again.stdout, again.stderr).contains("already"), "{again}");

    let down = mesh.ok(&["down"]);
    assert!(!down.is_empty());
    assert!(std::net::TcpStream::connect(mesh.http).is_err(), "nobody listens any more");
}

#[test]
fn scale_delete_and_logs() {
    let mesh = Laptop::up(&["helloworld/helloworld.yaml"]);
    mesh.ok(&["scale", "deployment", "helloworld-v1", "--replicas", "3"]);
    eventually("three replicas are ready", || {
        let pods = mesh.ok(&["get", "pods", "-l", "app=helloworld,version=v1"]);
        if pods.matches("2/2").count() == 3 { Ok(()) } else { Err(pods) }
    });
    mesh.ok(&["scale", "deployment", "helloworld-v1", "--replicas", "1"]);
    eventually("one is left", || match mesh.pods("app=helloworld,version=v1").len() {
        1 => Ok(()),
        n => Err(n.to_string()),
    });
    mesh.ok(&["delete", "deployment", "helloworld-v2"]);
    eventually("v2 is gone", || match mesh.pods("app=helloworld,version=v2").len() {
        0 => Ok(()),
        n => Err(n.to_string()),
    });
}

#[test]
fn tables_of_the_proxies() {
    let mesh = Laptop::up(&["bookinfo"]);
    mesh.get("/productpage");
    let pod = mesh.pods("app=productpage").remove(0);
    let status = eventually("every proxy is listed", || {
        let status = mesh.ok(&["proxy-status"]);
        if status.matches("istiod-").count() >= 7 { Ok(status) } else { Err(status) }
    });
    assert!(status.starts_with("NAME"), "{status}");
    let routes = mesh.ok(&["proxy-config", "routes", &pod, "--name", "9080"]);
    assert!(routes.starts_with("NAME") && routes.contains("VIRTUAL SERVICE"), "{routes}");
    assert!(routes.contains("reviews") && routes.contains("9080"), "{routes}");
    let clusters =
        mesh.ok(&["proxy-config", "clusters", &pod, "--fqdn", "reviews.default.svc.cluster.local"]);
    assert!(clusters.contains("reviews.default.svc.cluster.local") && clusters.contains("EDS"), "{clusters}");
    let endpoints = mesh.ok(&[
        "proxy-config",
        "endpoints",
        &pod,
        "--cluster",
        "outbound|9080||reviews.default.svc.cluster.local",
    ]);
    assert_eq!(endpoints.matches("HEALTHY").count(), 3, "{endpoints}");
    let listeners = mesh.ok(&["proxy-config", "listeners", &pod, "--port", "15001"]);
    assert!(listeners.contains("15001") && listeners.contains("PassthroughCluster"), "{listeners}");
    let secrets = mesh.ok(&["proxy-config", "secret", &pod]);
    assert!(
        secrets.contains("default") && secrets.contains("ROOTCA") && secrets.contains("ACTIVE"),
        "{secrets}"
    );
    let json = mesh.ok(&["proxy-config", "routes", &pod, "--name", "9080", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.is_array(), "{json}");
    let bootstrap = mesh.ok(&["proxy-config", "bootstrap", &pod, "-o", "json"]);
    assert!(bootstrap.contains("\"node\""), "{bootstrap}");
    let log = mesh.ok(&["proxy-config", "log", &pod, "--level", "debug"]);
    assert!(log.contains("debug"), "{log}");
}
