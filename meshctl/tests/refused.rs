//! What `install` says of clusters that no test can have: too old, without rights, with Istio in them. A few lines of
//! HTTP stand for the API server; it writes down whoever asks for a change.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What the cluster is like.
#[derive(Clone, Debug)]
struct Cluster {
    minor: &'static str,
    allowed: bool,
    readable: bool,
    istiod: Option<&'static str>,
}

const GOOD: Cluster = Cluster { minor: "34", allowed: true, readable: true, istiod: None };

struct Server {
    port: u16,
    changes: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(cluster: Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let changes: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = changes.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (cluster, noted) = (cluster.clone(), noted.clone());
                std::thread::spawn(move || serve(stream, &cluster, &noted));
            }
        });
        Self { port, changes }
    }

    /// Standard error and exit code of a command on it, and what it asked to change.
    fn run(&self, words: &[&str]) -> (String, i32, Vec<String>) {
        let folder =
            std::env::temp_dir().join(format!("meshctl-refused-{}-{}", std::process::id(), self.port));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config");
        let port = self.port;
        std::fs::write(
            &file,
            format!(
                "current-context: c\nclusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
                 contexts: [{{name: c, context: {{cluster: c}}}}]\n"
            ),
        )
        .unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
            .args(words)
            .env("KUBECONFIG", &file)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (text, output.status.code().unwrap(), self.changes.lock().unwrap().clone())
    }
}

/// Answers requests of one connection until it ends.
fn serve(stream: TcpStream, cluster: &Cluster, changes: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        reader.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let path = path.split('?').next().unwrap();
        let (status, body) = answer(cluster, method, path);
        if method != "GET" && !path.ends_with("/selfsubjectaccessreviews") {
            changes.lock().unwrap().push(format!("{method} {path}"));
        }
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

fn answer(cluster: &Cluster, method: &str, path: &str) -> (u16, Value) {
    let list = |items: Vec<Value>| {
        (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
    };
    let plurals = [
        "deployments",
        "daemonsets",
        "services",
        "configmaps",
        "roles",
        "rolebindings",
        "clusterroles",
        "pods",
        "clusterrolebindings",
        "serviceaccounts",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
        "endpointslices",
        "networkpolicies",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ];
    let last = path.rsplit('/').next().unwrap();
    if method == "GET" && last != "version" && !cluster.readable {
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": format!("{last} is forbidden")});
        return (403, status);
    }
    match (method, last) {
        (_, "version") => (200, json!({"major": "1", "minor": cluster.minor, "gitVersion": format!("v1.{}.1", cluster.minor),
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})),
        ("POST", "selfsubjectaccessreviews") => (
            201,
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {}, "spec": {},
                "status": {"allowed": cluster.allowed}}),
        ),
        ("GET", "deployments") => list(cluster.istiod.into_iter().map(|image| json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"istio.io/rev": "default"}},
            "spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": image}]}}},
        })).collect()),
        ("GET", plural) if plurals.contains(&plural) => list(Vec::new()),
        _ => (404, json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"})),
    }
}

const INSTALL: [&str; 4] = ["install", "--set", "profile=demo", "-y"];

#[test]
fn a_cluster_that_is_too_old() {
    let server = Server::start(Cluster { minor: "24", ..GOOD });
    let (text, code, changes) = server.run(&INSTALL);
    assert!(
        text.contains("[IST0142] the cluster runs Kubernetes v1.24.1, and this version needs 1.29 or newer"),
        "{text}"
    );
    assert_eq!((code, changes), (1, Vec::<String>::new()));
    let (text, code, _) = server.run(&["x", "precheck"]);
    assert!(text.contains("Istio may not be safe to install or upgrade") && code == 1, "{text}");
}

#[test]
fn somebody_without_rights() {
    let server = Server::start(Cluster { allowed: false, ..GOOD });
    let (text, code, changes) = server.run(&INSTALL);
    for told in [
        "[IST0141] you may not get, list, create, patch, delete customresourcedefinitions.apiextensions.k8s.io in the whole cluster",
        "deployments.apps in namespace istio-system",
        "you may not create namespaces in the whole cluster",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!((code, changes), (1, Vec::<String>::new()));
}

#[test]
fn somebody_who_may_not_even_look() {
    let server = Server::start(Cluster { allowed: false, readable: false, ..GOOD });
    for words in [&INSTALL[..], &["upgrade", "-y"], &["x", "precheck"]] {
        let (text, code, changes) = server.run(words);
        let told = "[IST0141] you may not get, list, create, patch, delete";
        let printed = words[0] == "x";
        assert!(text.contains(told) || printed, "{words:?}: {text}");
        assert_eq!((code, changes), (1, Vec::<String>::new()), "{words:?}: {text}");
    }
    let (text, code, changes) = server.run(&["uninstall", "--purge", "-y"]);
    assert!(text.contains("forbidden") && code == 1 && changes.is_empty(), "{text}");
    // Beside the version of the program itself.
    let (text, code, _) = server.run(&["version"]);
    assert!(text.contains("pods is forbidden") && code == 1, "{text}");
}

#[test]
fn a_cluster_with_istio() {
    let server = Server::start(Cluster { istiod: Some("docker.io/istio/pilot:1.29.0"), ..GOOD });
    for words in [&INSTALL[..], &["install", "--revision", "canary", "-y"], &["uninstall", "--purge", "-y"]] {
        let (text, code, changes) = server.run(words);
        assert!(
            text.contains("Istio 1.29.0 is installed here") && text.contains("istioctl uninstall"),
            "{text}"
        );
        assert_eq!((code, changes), (1, Vec::<String>::new()), "{words:?}");
    }
}

#[test]
fn nothing_to_upgrade_and_nobody_to_ask() {
    let server = Server::start(GOOD);
    let (text, code, changes) = server.run(&["upgrade", "-y"]);
    assert!(
        text.contains("there is no control plane of revision default to upgrade (none at all)"),
        "{text}"
    );
    assert_eq!((code, changes.len()), (1, 0));
    let (text, code, changes) = server.run(&["install"]);
    assert!(text.contains("no terminal to ask") && text.contains("-y"), "{text}");
    assert_eq!((code, changes.len()), (64, 0));
}
