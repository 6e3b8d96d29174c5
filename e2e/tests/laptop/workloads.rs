//! What Kubernetes manifests say about pods, as a kubelet would do it: probes of every kind, Jobs, StatefulSets with
//! names and volumes of their own, numbers of resources, images known from manifests beside.

use e2e::driven::Driven as _;
use e2e::laptop::Laptop;
use e2e::until::eventually;

/// A Deployment of one container with a probe.
fn probed(name: &str, command: &str, probe: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      containers:\n      - name: {name}\n        image: none\n        command: {command}\n        \
         {probe}\n---\n"
    )
}

fn ready(mesh: &Laptop, name: &str) -> bool {
    let path = "jsonpath={.status.availableReplicas}";
    mesh.ok(&["get", "deployment", name, "-o", path]) == "1"
}

#[test]
fn probes_over_tls_and_grpc() {
    let mesh = Laptop::up(&["curl"]);
    let https = "{httpGet: {scheme: HTTPS, path: /, port: 8443}, periodSeconds: 1}";
    let text = probed("tls", "[mesh-samples, tls-echo]", &format!("readinessProbe: {https}"))
        + &probed("grpc", "[mesh-samples, grpc-echo]", "livenessProbe: {grpc: {port: 7070}}")
        // Plain HTTP is no TLS, and not gRPC either: an open port alone is not enough.
        + &probed("plain", "[mesh-samples, helloworld, \"8443\"]", &format!("readinessProbe: {https}"))
        + &probed(
            "mute",
            "[mesh-samples, helloworld, \"8443\"]",
            "readinessProbe: {grpc: {port: 8443}, periodSeconds: 1}",
        )
        // Ends again and again: the server knows no such path.
        + &probed(
            "sick",
            "[mesh-samples, helloworld, \"8443\"]",
            "livenessProbe: {httpGet: {path: /nothing, port: 8443}, periodSeconds: 1, failureThreshold: 1}",
        );
    mesh.apply_text("probes.yaml", &text);
    for name in ["tls", "grpc"] {
        eventually("a healthy application is ready", || match ready(&mesh, name) {
            true => Ok(()),
            false => Err(mesh.ok(&["get", "pods"])),
        });
    }
    eventually("an unhealthy one is started again", || {
        let pods = mesh.ok(&["get", "pods", "-l", "app=sick", "-o", "json"]);
        let pods: serde_json::Value = serde_json::from_str(&pods).expect("JSON");
        let statuses =
            pods["items"][0]["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        match statuses.iter().any(|one| one["name"] == "sick" && one["restartCount"].as_u64() > Some(0)) {
            true => Ok(()),
            false => Err(pods.to_string()),
        }
    });
    let why = mesh.ok(&["logs", "deploy/sick", "-c", "mesh"]);
    assert!(why.contains("its liveness probe fails: GET /nothing: status 404"), "{why}");
    assert!(!ready(&mesh, "plain") && !ready(&mesh, "mute"), "{}", mesh.ok(&["get", "pods"]));
}

#[test]
fn jobs_and_stateful_sets() {
    let mesh = Laptop::up(&["curl"]);
    mesh.apply_text(
        "sets.yaml",
        r#"
apiVersion: batch/v1
kind: Job
metadata: {name: twice}
spec:
  completions: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: none, command: [sh, -c, "echo done"]}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: never}
spec:
  backoffLimit: 1
  template:
    metadata: {labels: {job: never}}
    spec:
      restartPolicy: Never
      containers: [{name: c, image: none, command: [sh, -c, "exit 3"]}]
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 8080, name: http, targetPort: web}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: c
        image: none
        command: [sh, -c, "echo $HOSTNAME $LIMIT > /data/own; exec mesh-samples helloworld 8080"]
        ports: [{containerPort: 8080, name: web}]
        resources: {limits: {memory: 64Mi}}
        env: [{name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce]}
"#,
    );
    // A container that ends before its proxy has begun must not keep the pod: 30 s of grace would be over the limit.
    mesh.ok(&["wait", "--for=condition=Complete", "job/twice", "--timeout=25s"]);
    eventually("the StatefulSet is ready", || {
        match mesh.ok(&["get", "statefulset", "db", "-o", "jsonpath={.status.readyReplicas}"]).as_str() {
            "2" => Ok(()),
            _ => Err(mesh.ok(&["get", "pods"])),
        }
    });
    for pod in ["db-0", "db-1"] {
        assert_eq!(mesh.ok(&["exec", pod, "--", "cat", "/data/own"]), format!("{pod} 64\n"));
        let url = format!("http://{pod}.db:8080/hello");
        eventually("a pod of a StatefulSet has a name", || {
            let said = mesh.exec("curl", "curl", &["mesh-samples", "http", &url]);
            if said.stdout.contains(pod) { Ok(()) } else { Err(said.to_string()) }
        });
    }
    eventually("a Job fails as often as it may, and no more", || {
        let pods = mesh.ok(&["get", "pods", "-l", "job=never"]);
        if pods.matches("Error").count() == 2 { Ok(()) } else { Err(pods) }
    });
    assert_eq!(mesh.pods("job=never").len(), 2);
}

#[test]
fn objects_from_standard_input_know_the_images_of_the_mesh() {
    use std::io::Write;
    use std::process::Stdio;
    let mesh = Laptop::up(&["helloworld/helloworld.yaml"]);
    let text = std::fs::read(e2e::programs::sample("httpbin/httpbin.yaml")).expect("the sample");
    let mut command = mesh.command(&["apply", "-f", "-"]);
    command.current_dir(mesh.home()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("meshctl can be started");
    child.stdin.take().expect("a pipe").write_all(&text).expect("meshctl reads");
    let output = child.wait_with_output().expect("meshctl ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    mesh.ok(&["rollout", "status", "deploy/httpbin", "--timeout", "30s"]);
}
