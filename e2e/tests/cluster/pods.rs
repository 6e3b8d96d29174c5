//! What only pods of a cluster do: probes under STRICT mutual TLS, Jobs that end, rolling restarts, proxies without a
//! token, an object that the webhook refuses.

use crate::Mesh;
use e2e::client::Ask;
use e2e::driven::Driven as _;
use e2e::load::Load;
use e2e::until::eventually;

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
    metadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n";

/// One Deployment whose containers are probed in every way that there is. The kubelet has no certificate, so under STRICT
/// each of them only passes by way of the proxy.
const PROBED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: probed}
spec:
  selector: {matchLabels: {app: probed}}
  template:
    metadata: {labels: {app: probed}}
    spec:
      containers:
      - name: http
        image: docker.io/mccutchen/go-httpbin:v2.15.0
        command: [mesh-samples]
        args: [httpbin, "8080"]
        ports: [{containerPort: 8080, name: web}]
        startupProbe: {httpGet: {path: /get, port: web}, periodSeconds: 1, failureThreshold: 60}
        readinessProbe: {httpGet: {path: /get, port: 8080}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
      - name: grpc
        image: docker.io/mesh-samples/grpc-echo:1.0
        command: [mesh-samples]
        args: [grpc-echo]
        readinessProbe: {grpc: {port: 7070}, periodSeconds: 1}
      - name: sick
        image: docker.io/mccutchen/go-httpbin:v2.15.0
        command: [mesh-samples]
        args: [helloworld, "8081"]
        readinessProbe: {httpGet: {path: /nothing, port: 8081}, periodSeconds: 1}
"#;

#[test]
fn probes_pass_under_strict_mutual_tls() {
    let mesh = Mesh::up(&["curl"]);
    mesh.apply_text("strict.yaml", STRICT);
    mesh.apply_text("probed.yaml", PROBED);
    let ready = || {
        let path = "jsonpath={range .items[0].status.containerStatuses[*]}{.name}={.ready} {end}";
        mesh.ok(&["get", "pods", "-l", "app=probed", "-o", path])
    };
    eventually("the healthy ones are ready", || {
        let ready = ready();
        if ready.contains("http=true") && ready.contains("grpc=true") { Ok(()) } else { Err(ready) }
    });
    assert!(ready().contains("sick=false"), "a failing probe is not made good: {}", ready());
    let pod = mesh.ok(&["get", "pods", "-l", "app=probed", "-o", "yaml"]);
    for path in ["/app-health/http/readyz", "/app-health/http/startupz", "/app-health/grpc/readyz"] {
        assert!(pod.contains(path), "{path}: {pod}");
    }
}

const JOB: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: once
        image: curlimages/curl:8.16.0
        command: [curl, -sS, --fail, "http://httpbin:8000/headers"]
"#;

#[test]
fn a_job_with_a_proxy_ends() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml"]);
    mesh.apply_text("job.yaml", JOB);
    // The proxy is there before the container starts, and does not keep the pod when it ends.
    mesh.ok(&["wait", "--for=condition=Complete", "job/once", "--timeout=60s"]);
    let said = mesh.ok(&["logs", "job/once", "-c", "once"]);
    assert!(said.contains("URI=spiffe://cluster.local/ns/default/sa/default"), "by mutual TLS: {said}");
}

const HTTPBIN: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["httpbin.example.com"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["httpbin.example.com"]
  gateways: [httpbin-gateway]
  http: [{route: [{destination: {port: {number: 8000}, host: httpbin}}]}]
"#;

/// What Kubernetes asks of an application that is restarted unnoticed, mesh or not: it says when it is ready, and it stays
/// for as long as it takes everybody to hear that its pod is ending.
const STAY: &str = r#"{"spec": {"replicas": 2, "template": {"spec": {"containers": [{
    "name": "httpbin",
    "readinessProbe": {"httpGet": {"path": "/status/200", "port": 8080}, "periodSeconds": 1},
    "lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}]}}}}"#;

#[test]
fn a_rolling_restart_fails_no_request() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml"]);
    mesh.apply_text("gateway.yaml", HTTPBIN);
    mesh.ok(&["patch", "deployment", "httpbin", "-p", STAY]);
    mesh.ok(&["rollout", "status", "deployment/httpbin", "--timeout=60s"]);
    two_left(&mesh);
    let ask = Ask::get("/status/200").host("httpbin.example.com");
    eventually("the gateway forwards", || match mesh.ask(&ask) {
        reply if reply.status == 200 => Ok(()),
        reply => Err(reply),
    });
    let load = Load::start(mesh.http, "httpbin.example.com", "/status/200");
    load.more(50);
    mesh.ok(&["rollout", "restart", "deployment/httpbin"]);
    mesh.ok(&["rollout", "status", "deployment/httpbin", "--timeout=120s"]);
    two_left(&mesh);
    load.more(50);
    load.finish();
    // The next test finds it as the sample has it.
    mesh.delete("httpbin/httpbin.yaml");
}

/// Waits until the pods from before are gone, too.
fn two_left(mesh: &Mesh) {
    eventually("two pods are left", || match mesh.ok(&["get", "pods", "-l", "app=httpbin", "-o", "name"]) {
        names if names.lines().count() == 2 => Ok(()),
        names => Err(names),
    });
}

/// A proxy as injection makes it, but for its token: what stands there is not signed by the cluster.
const FORGED: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: forged}
data: {istio-token: "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsiaXN0aW8tY2EiXX0.c2ln"}
---
apiVersion: v1
kind: Pod
metadata: {name: forged, labels: {sidecar.istio.io/inject: "false"}}
spec:
  containers:
  - name: istio-proxy
    image: IMAGE
    args: [proxy, router]
    env:
    - {name: POD_NAME, value: forged}
    - {name: POD_NAMESPACE, value: default}
    - {name: SERVICE_ACCOUNT, value: default}
    - {name: INSTANCE_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: CA_ADDR, value: "istiod.istio-system.svc:15012"}
    readinessProbe: {httpGet: {path: /healthz/ready, port: 15021}, periodSeconds: 1}
    volumeMounts:
    - {name: token, mountPath: /var/run/secrets/tokens}
    - {name: root, mountPath: /var/run/secrets/istio}
  volumes:
  - {name: token, configMap: {name: forged}}
  - {name: root, configMap: {name: istio-ca-root-cert}}
"#;

#[test]
fn a_proxy_without_a_token_is_refused() {
    let mesh = Mesh::up(&["curl"]);
    let path = "jsonpath={.items[0].spec.containers[0].image}";
    let image = mesh.ok(&["get", "pods", "-n", "istio-system", "-l", "istio=ingressgateway", "-o", path]);
    mesh.apply_text("forged.yaml", &FORGED.replace("IMAGE", &image));
    eventually("the proxy says why it is not ready", || {
        let log = mesh.meshctl(&["logs", "forged", "--tail=-1"]).stdout;
        if log.contains("Unauthenticated") && log.contains("token") { Ok(()) } else { Err(log) }
    });
    let ready = mesh.ok(&["get", "pod", "forged", "-o", "jsonpath={.status.containerStatuses[0].ready}"]);
    assert_eq!(ready, "false");
    let audit = mesh.ok(&["logs", "-n", "istio-system", "deploy/istiod", "--tail=-1"]);
    assert!(audit.lines().any(|line| line.contains("denied") && line.contains("token")), "{audit}");
}

#[test]
fn a_refused_object_leaves_the_old_one_in_force() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml"]);
    mesh.apply_text("gateway.yaml", HTTPBIN);
    let ask = Ask::get("/status/418").host("httpbin.example.com");
    eventually("the gateway forwards", || match mesh.ask(&ask) {
        reply if reply.status == 418 => Ok(()),
        reply => Err(reply),
    });
    // Right in form, wrong in meaning: the schema lets it pass.
    let wrong = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: httpbin}\nspec:\n  \
        hosts: [\"httpbin.example.com\"]\n  gateways: [httpbin-gateway]\n  http:\n  - match: [{uri: {regex: \"[\"}}]\n    \
        route: [{destination: {port: {number: 8000}, host: httpbin}}]\n";
    let file = mesh.file("wrong.yaml", wrong);
    let refused = mesh.meshctl(&["apply", "-f", &file]);
    assert!(!refused.success, "{refused}");
    for part in ["validation.istio.io", "spec.http[0].match[0].uri.regex"] {
        assert!(refused.stderr.contains(part), "the message says {part}: {refused}");
    }
    assert_eq!(mesh.ask(&ask).status, 418);
}
