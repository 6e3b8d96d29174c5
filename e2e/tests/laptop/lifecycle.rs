//! up, down, get, apply, exec, scale, logs, and the tables of proxy-status and proxy-config.

use e2e::driven::Driven as _;
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
fn words_of_kubectl_as_people_type_them() {
    let mesh = Laptop::up(&["bookinfo", "curl"]);
    // Without -n, a name is found wherever it is; with it, only there.
    let gateway = mesh.ok(&["get", "services", "istio-ingressgateway"]);
    assert!(gateway.contains("istio-system") && gateway.contains(&mesh.http.port().to_string()), "{gateway}");
    let strict = mesh.meshctl(&["get", "services", "istio-ingressgateway", "-n", "default"]);
    assert_eq!(strict.code, Some(1), "{strict}");
    assert!(strict.stderr.contains("say -n istio-system"), "{strict}");
    let refused = mesh.meshctl(&["delete", "service", "istio-ingressgateway"]);
    assert!(refused.stderr.contains("say -n istio-system"), "only looking crosses namespaces: {refused}");
    let refused = mesh.meshctl(&["delete", "namespace", "istio-system"]);
    assert!(refused.stderr.contains("belongs to the mesh itself"), "{refused}");

    let name = mesh.ok(&["get", "pod", "-l", "app in (curl)", "-o", "jsonpath={.items..metadata.name}"]);
    assert!(name.starts_with("curl-") && !name.contains(' '), "{name}");
    let table =
        mesh.ok(&["get", "pods", "--no-headers", "-o", "custom-columns=N:.metadata.name,P:.status.phase"]);
    assert_eq!(table.matches("Running").count(), 7, "{table}");

    let endpoints = mesh.ok(&["get", "endpoints", "reviews"]);
    assert_eq!(endpoints.matches(":9080").count(), 3, "{endpoints}");
    let bare = mesh.meshctl(&["exec", "curl", "ls", "/"]);
    assert_eq!(bare.code, Some(64), "{bare}");
    assert!(bare.stderr.contains("meshctl exec curl -- ls /"), "{bare}");

    // A workload's name does for a pod's, in every command that looks into one.
    mesh.ok(&["wait", "--for=condition=Available", "deploy/curl", "--timeout=30s"]);
    mesh.ok(&["wait", "--for=condition=Ready", "pod", "--all"]);
    mesh.ok(&["exec", "svc/curl", "--", "true"]);
    assert_eq!(mesh.meshctl(&["exec", "curl", "--", "sh", "-c", "exit 7"]).code, Some(7));
    assert!(mesh.ok(&["proxy-config", "listeners", "istio-ingressgateway"]).contains("http.8080"));
    assert!(mesh.ok(&["proxy-config", "clusters", "svc/reviews"]).contains("outbound"));
    mesh.get("/productpage");
    let logs = mesh.ok(&["logs", "-l", "app=reviews", "--prefix", "--tail", "1"]);
    assert!(logs.lines().all(|line| line.starts_with("[pod/reviews-v")), "{logs}");
    let missing = mesh.meshctl(&["logs", "reviews-v9"]);
    assert!(missing.stderr.contains("there are:"), "{missing}");

    // Dry runs tell what would change, and change nothing.
    let dry = mesh.ok(&["apply", "-f", &e2e::programs::sample("curl/curl.yaml"), "--dry-run=server"]);
    assert_eq!(dry.matches("unchanged (dry run)").count(), 3, "{dry}");
    let dry = mesh.ok(&["apply", "-R", "-f", &e2e::programs::sample("helloworld"), "--dry-run"]);
    assert!(dry.contains("deployment.apps/helloworld-v1 created (dry run)"), "{dry}");
    assert!(mesh.pods("app=helloworld").is_empty());
    mesh.ok(&["create", "namespace", "legacy"]);
    mesh.ok(&["delete", "ns/legacy", "--wait=false"]);
}

#[test]
fn manifests_with_mistakes() {
    let mesh = Laptop::up(&["curl"]);
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n\
        apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  \
        selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
        containers:\n      - name: web\n        image: example.org/nobody/has-this:1.2\n";
    let file = mesh.file("mixed.yaml", text);
    mesh.ok(&["down"]);
    // What can run runs; what cannot is named with its line and what to add, and the command fails.
    let up = mesh.meshctl(&["up", "-d", &file, "--publish", "istio-ingressgateway:80=0"]);
    assert_eq!(up.code, Some(1), "{up}");
    let all = format!("{}{}", up.stdout, up.stderr);
    assert!(all.contains("mixed.yaml:15: error") && all.contains("Deployment default/web"), "{all}");
    assert!(all.contains("example.org/nobody/has-this:") && all.contains("command: [PROGRAM"), "{all}");
    assert!(mesh.ok(&["get", "configmap", "good", "-o", "name"]).contains("configmap/good"));
    let again = mesh.meshctl(&["up", "-d", &file]);
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.stderr.contains("already") && again.stderr.contains(" down`"), "{again}");
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
