//! What a change costs: which resources differ after it, and what proxies share.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use api::AnyObject;
use pilot::model::{Snapshot, resolve};
use pilot::offline::Paper;
use pilot::source::Change;
use pilot::world::World;
use pilot::xds::{Layers, Memo, Session, View, say};
use wire::Kind;

const DELTA: Session = Session { delta: true, authenticated: true };

fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8080}}]}}\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n\
         spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: a, image: a}}]}}}}}}\n"
    )
}

fn route(name: &str, timeout: u32) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n\
         spec: {{hosts: [{name}], http: [{{timeout: {timeout}s, route: [{{destination: {{host: {name}}}}}]}}]}}\n"
    )
}

/// A mesh of services `s0`, `s1`, ... with one route each.
fn mesh(services: usize) -> Paper {
    let mut text = String::new();
    for n in 0..services {
        let name = format!("s{n}");
        write!(text, "{}---\n{}", deployment(&name, 1 + u32::from(n == 0)), route(&name, 1)).unwrap();
    }
    let paper = Paper::read([("mesh.yaml", text.as_str())]);
    assert!(paper.findings.is_empty(), "{}", paper.findings);
    paper
}

fn object(text: &str) -> AnyObject {
    let parsed = api::parse("change.yaml", text);
    assert!(parsed.findings.is_empty(), "{}", parsed.findings);
    parsed.objects.into_iter().next().unwrap()
}

fn view(paper: &Paper, snapshot: &Snapshot, pod: &str) -> View {
    View::of(snapshot, &paper.node(pod).unwrap(), DELTA)
}

fn versions(layers: &Layers) -> BTreeMap<(Kind, String), String> {
    layers.iter().map(|r| ((r.kind, r.name.to_string()), r.version.to_string())).collect()
}

/// Names of what is new, changed or gone.
fn difference(before: &Layers, after: &Layers) -> Vec<(Kind, String)> {
    let (before, after) = (versions(before), versions(after));
    let changed =
        after.iter().filter(|(key, version)| before.get(*key) != Some(version)).map(|(key, _)| key.clone());
    let gone = before.keys().filter(|key| !after.contains_key(*key)).cloned();
    changed.chain(gone).collect()
}

/// Applies one object and says what differs for a pod.
fn after(paper: &Paper, pod: &str, text: &str) -> Vec<(Kind, String)> {
    let memo = Memo::default();
    let before = say(&paper.snapshot, &view(paper, &paper.snapshot, pod), &memo);
    let mut world: World = paper.world.clone();
    world.apply([Change::Apply(Arc::new(object(text)))]);
    let (snapshot, _) = resolve(Some(&paper.snapshot), &world);
    let now = say(&snapshot, &view(paper, &snapshot, pod), &memo);
    // The same from nothing: what was understood before leaves no trace.
    let (fresh, _) = resolve(None, &world);
    let again = say(&fresh, &view(paper, &fresh, pod), &Memo::default());
    assert_eq!(versions(&now), versions(&again));
    difference(&before, &now)
}

#[test]
fn a_route_is_one_virtual_host() {
    let paper = mesh(40);
    let changed = after(&paper, "s1", &route("s7", 2));
    assert_eq!(changed, [(Kind::VirtualHost, "8080/s7.default.svc.cluster.local:8080".to_owned())]);
}

#[test]
fn a_pod_is_one_assignment() {
    let paper = mesh(5);
    let mut pod = paper.world.object(&api::Key::new(api::Kind::Pod, "default", "s3-0")).unwrap().to_value();
    pod["metadata"]["name"] = "s3-9".into();
    pod["status"]["podIP"] = "10.244.9.9".into();
    pod["status"]["podIPs"] = serde_json::json!([{ "ip": "10.244.9.9" }]);
    let changed = after(&paper, "s1", &api::emit::to_yaml(&pod));
    assert_eq!(changed, [(Kind::Endpoints, "outbound|8080||s3.default.svc.cluster.local".to_owned())]);
}

#[test]
fn a_policy_of_others_is_no_change() {
    let paper = mesh(5);
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: s3}\n\
                  spec: {selector: {matchLabels: {app: s3}}, mtls: {mode: STRICT}}\n";
    assert_eq!(after(&paper, "s1", strict), []);
    assert_eq!(after(&paper, "s3", strict), [(Kind::Listener, "virtualInbound".to_owned())]);
}

#[test]
fn a_line_added_above_changes_only_where_rules_stand() {
    let paper = mesh(3);
    let moved = route("s1", 1).replacen("metadata", "# one line more\nmetadata", 1);
    let changed = after(&paper, "s0", &moved);
    assert!(changed.iter().all(|(kind, _)| *kind == Kind::VirtualHost), "{changed:?}");
}

#[test]
fn replicas_are_one_view_and_services_share_layers() {
    let paper = mesh(5);
    let of = |pod: &str| view(&paper, &paper.snapshot, pod);
    assert_eq!(of("s0-0"), of("s0-1"));
    let memo = Memo::default();
    let (a, b) = (say(&paper.snapshot, &of("s0-0"), &memo), say(&paper.snapshot, &of("s4-0"), &memo));
    for name in ["clusters", "listeners", "routes", "endpoints"] {
        let layer = |l: &Layers| l.0.iter().find(|l| l.name == name).unwrap().resources.clone();
        assert!(Arc::ptr_eq(&layer(&a), &layer(&b)), "{name} is not shared");
    }
}

#[test]
fn survivors_keep_their_identity() {
    let paper = mesh(5);
    let mut world = paper.world.clone();
    world.apply([Change::Apply(Arc::new(object(&route("s2", 9))))]);
    let (snapshot, _) = resolve(Some(&paper.snapshot), &world);
    assert!(snapshot.services.value.same(&paper.snapshot.services.value));
    assert!(snapshot.endpoints.value.same(&paper.snapshot.endpoints.value));
    assert!(!snapshot.routes.value.same(&paper.snapshot.routes.value));
}

#[test]
fn secrets_are_for_the_authenticated_of_their_namespace() {
    let text = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\n\
        spec: {selector: {istio: gw}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: c}}]}\n\
        ---\napiVersion: v1\nkind: Secret\nmetadata: {name: c, namespace: gw}\n\
        stringData: {tls.crt: \"-----BEGIN X-----\\n-----END X-----\", tls.key: \"-----BEGIN X-----\\n-----END X-----\"}\n";
    let paper = Paper::read([("gateway.yaml", text)]);
    let says = |id: &str, authenticated: bool| {
        let mut node = paper.node(id).unwrap();
        node.metadata.labels.insert("istio".to_owned(), "gw".to_owned());
        let view = View::of(&paper.snapshot, &node, Session { delta: true, authenticated });
        say(&paper.snapshot, &view, &Memo::default()).of(Kind::Secret).len()
    };
    assert_eq!(says("router~10.0.0.1~gw-0.gw~gw.svc.cluster.local", true), 1);
    assert_eq!(says("router~10.0.0.1~gw-0.gw~gw.svc.cluster.local", false), 0);
    assert_eq!(says("router~10.0.0.1~gw-0.other~other.svc.cluster.local", true), 0);
    assert_eq!(says("sidecar~10.0.0.1~gw-0.gw~gw.svc.cluster.local", true), 0);
}
