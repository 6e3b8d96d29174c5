//! A whole mesh without proxies: manifests to processes, addresses, names, files, commands. Runs as root and as an
//! ordinary user. The applications are this very test program in another role.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Mesh {
    home: PathBuf,
}

/// The role of an application: answers every connection with its pod, its file and its environment.
#[test]
#[ignore = "a role of this program, not a test"]
fn serve() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut head = [0; 1024];
        let _read = stream.read(&mut head).unwrap();
        let file = std::fs::read_to_string("/etc/settings/greeting").unwrap_or_default();
        let env = |name: &str| std::env::var(name).unwrap_or_default();
        let body =
            format!("{}|{file}|{}|{}|{}", env("HOSTNAME"), env("FROM_MAP"), env("POD_IP"), env("EXPANDED"));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
}

/// The role of a client: prints what a name and port answer.
#[test]
#[ignore = "a role of this program, not a test"]
fn fetch() {
    let answer = TcpStream::connect(std::env::var("TARGET").unwrap()).and_then(|mut stream| {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    match answer {
        Ok(text) => println!("ANSWER {}", text.rsplit("\r\n").next().unwrap_or_default()),
        Err(error) => println!("ANSWER failed: {error}"),
    }
}

impl Mesh {
    fn up(extra: &[&str]) -> (Self, Output) {
        Self::up_at(extra, 8000)
    }

    fn up_at(extra: &[&str], port: u16) -> (Self, Output) {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("ml{}-{number}", std::process::id()));
        std::fs::create_dir_all(home.join("bin")).unwrap();
        // Only their presence is asked for: the manifests below put other programs in their place.
        for program in ["pilot", "proxy"] {
            let path = home.join("bin").join(program);
            std::fs::write(&path, "#!/bin/sh\n").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(path, mode).unwrap();
        }
        let exe = std::env::current_exe().unwrap().display().to_string();
        std::fs::write(
            home.join("m.yaml"),
            MANIFEST.replace("@EXE@", &exe).replace("8000", &port.to_string()),
        )
        .unwrap();
        let mesh = Self { home };
        let file = mesh.home.join("m.yaml").display().to_string();
        let mut args = vec!["up", "-d", file.as_str()];
        args.extend(if extra.is_empty() { &["--publish", "front:80=0"] } else { extra });
        let output = mesh.run(&args, "");
        (mesh, output)
    }

    fn run(&self, args: &[&str], input: &str) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.home.join("bin").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        command.args(args).env("PATH", path).env("HOME", &self.home).env("RUST_BACKTRACE", "0");
        command.env("XDG_STATE_HOME", self.home.join("state")).env("XDG_RUNTIME_DIR", &self.home);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args, "");
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a name and port answer to a client in a pod.
    #[track_caller]
    fn fetch(&self, target: &str) -> String {
        let exe = std::env::current_exe().unwrap().display().to_string();
        let target = format!("TARGET={target}");
        let command = ["env", &target, &exe, "fetch", "--exact", "--ignored", "--nocapture"];
        let out = self.ok(&[&["exec", "deploy/client", "--"], &command[..]].concat());
        let line = out.lines().find_map(|line| line.split_once("ANSWER ")).expect("the client answers").1;
        line.to_owned()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let down = self.run(&["down"], "");
        if !std::thread::panicking() {
            assert!(down.status.success(), "{}", text(&down));
        }
        std::fs::remove_dir_all(&self.home).ok();
    }
}

fn text(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match check() {
            Ok(value) => return value,
            Err(last) if begin.elapsed() > Duration::from_secs(30) => panic!("{what}: {last}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

const MANIFEST: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: discovery, image: x, command: [sleep, "100000"]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {replicas: 0, selector: {matchLabels: {app: none}}, template: {metadata: {labels: {app: none}}, spec: {containers: [{name: a, image: x, command: [sleep]}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello, word: from-the-map}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: front}
spec:
  replicas: 2
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec:
      volumes: [{name: settings, configMap: {name: settings}}]
      containers:
      - name: front
        image: example.com/front:1
        command: ["@EXE@"]
        args: [serve, --exact, --ignored, --nocapture]
        ports: [{name: web, containerPort: 8000}]
        readinessProbe: {httpGet: {path: /, port: web}}
        volumeMounts: [{name: settings, mountPath: /etc/settings}]
        env:
        - {name: PORT, value: "8000"}
        - {name: FROM_MAP, valueFrom: {configMapKeyRef: {name: settings, key: word}}}
        - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: EXPANDED, value: "port-$(PORT)"}
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec:
  type: LoadBalancer
  selector: {app: front}
  ports: [{name: http, port: 80, targetPort: web}]
---
apiVersion: v1
kind: Service
metadata: {name: front-pods}
spec: {clusterIP: None, selector: {app: front}, ports: [{port: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec: {containers: [{name: client, image: x, command: [sleep, "100000"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
"#;

#[test]
fn services_names_files_and_published_ports() {
    let (mesh, output) = Mesh::up(&[]);
    assert!(output.status.success(), "{}", text(&output));
    let answer = mesh.fetch("front:80");
    let parts: Vec<&str> = answer.split('|').collect();
    assert!(parts[0].starts_with("front-") && parts[3].starts_with("10.244."), "{answer}");
    assert_eq!((parts[1], parts[2], parts[4]), ("hello", "from-the-map", "port-8000"));
    for name in
        ["front.default:80", "front.default.svc:80", "front.default.svc.cluster.local:80", "front-pods:8000"]
    {
        assert!(mesh.fetch(name).contains("hello"), "{name}");
    }
    let both = || (0..10).map(|_| mesh.fetch("front:80")).collect::<std::collections::BTreeSet<_>>();
    eventually("connections are spread over both pods", || match both().len() {
        2 => Ok(()),
        n => Err(n.to_string()),
    });
    assert!(mesh.fetch("nobody:80").contains("refused"), "a Service without pods refuses at once");
    assert!(mesh.fetch("no-such-name:80").contains("failed"));

    // The way in, from this very host.
    let port = mesh.ok(&["get", "svc", "front", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("|hello|"), "{page}");

    // The way out: to a port of this host, by an address that is not the pod's own loopback.
    let outside = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| s.connect("192.0.2.1:9").map(|()| s));
    if let Ok(address) = outside.and_then(|socket| socket.local_addr()) {
        let listener = TcpListener::bind((address.ip(), 0)).unwrap();
        let target = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _read = stream.read(&mut [0; 256]).unwrap();
            stream.write_all(b"\r\noutside").unwrap();
        });
        assert_eq!(mesh.fetch(&target.to_string()), "outside");
        server.join().unwrap();
    }
}

#[test]
fn commands_change_what_runs() {
    let (mesh, output) = Mesh::up(&[]);
    assert!(output.status.success(), "{}", text(&output));
    let names = || mesh.ok(&["get", "pods", "-l", "app=front", "-o", "name"]).lines().count();
    mesh.ok(&["scale", "deploy/front", "--replicas", "3"]);
    mesh.ok(&["rollout", "status", "deploy/front"]);
    assert_eq!(names(), 3);
    mesh.ok(&["rollout", "restart", "deploy", "front"]);
    mesh.ok(&["rollout", "status", "deploy/front"]);

    // New content of a mounted map reaches the running pods.
    let text_of = |word: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{greeting: {word}, word: w}}\n"
        )
    };
    let output = mesh.run(&["apply", "-f", "-"], &text_of("changed"));
    assert!(text(&output).contains("configmap/settings configured"), "{}", text(&output));
    eventually("the file changes", || match mesh.fetch("front:80") {
        answer if answer.contains("|changed|") => Ok(()),
        answer => Err(answer),
    });
    assert!(text(&mesh.run(&["apply", "-f", "-"], &text_of("changed"))).contains("unchanged"));

    // A bad object is named with its place, the good one beside it is taken.
    let two = format!(
        "{}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: bad}}\nspec:\n  template:\n    spec:\n      \
         containers:\n      - {{name: a, image: nobody/knows}}\n",
        text_of("again")
    );
    let output = mesh.run(&["apply", "-f", "-"], &two);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("configmap/settings configured") && told.contains("-:13: error"), "{told}");
    assert!(told.contains("docker.io/nobody/knows:\n    command:"), "{told}");

    // A process that dies is started again.
    mesh.run(&["exec", "deploy/client", "--", "sh", "-c", "kill 2"], "");
    eventually("the container was restarted", || {
        let out = mesh.ok(&["get", "pods", "-l", "app=client"]);
        if out.contains("1/1") && out.lines().any(|line| line.split_whitespace().nth(3) == Some("1")) {
            Ok(())
        } else {
            Err(out)
        }
    });
    let code = mesh.run(&["exec", "deploy/client", "--", "sh", "-c", "exit 7"], "").status.code();
    assert_eq!(code, Some(7));
    let echoed = mesh.run(&["exec", "-i", "deploy/client", "--", "cat"], "through");
    assert_eq!(String::from_utf8_lossy(&echoed.stdout), "through");

    let again = mesh.run(&["up", "-d", "/dev/null"], "");
    assert!(text(&again).contains("running already"), "{}", text(&again));
    mesh.ok(&["delete", "deployment", "front"]);
    eventually("its pods are gone", || match names() {
        0 => Ok(()),
        n => Err(n.to_string()),
    });
    mesh.ok(&["down"]);
    assert!(!mesh.home.join("meshctl/default").exists(), "nothing is left of the run");
}

#[test]
fn without_namespaces_a_shared_port_is_named() {
    let port = TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port();
    let (mesh, output) = Mesh::up_at(&["--publish", "front:80=0", "--loopback"], port);
    // Both replicas bind this port of all addresses; one of them gets it.
    assert!(text(&output).contains("running without namespaces (as asked for)"), "{}", text(&output));
    let pods = mesh.ok(&["get", "pods", "-l", "app=front", "-o", "name"]);
    eventually("the other one is told who has it", || {
        let told: Vec<String> = pods.lines().map(|pod| mesh.ok(&["logs", pod, "-c", "mesh"])).collect();
        let named = |text: &String| {
            text.contains(&format!("port {port} is taken on all addresses by")) && text.contains("BIND_IP")
        };
        if told.iter().any(named) { Ok(()) } else { Err(told.join("|")) }
    });
    let address = mesh.ok(&["get", "pods", "-l", "app=client", "-o", "jsonpath={.items[0].status.podIP}"]);
    assert!(address.starts_with("127."), "{address}");
    assert!(mesh.fetch(&format!("{address}:{port}")).starts_with("front-"), "the one that has it answers");
}

#[test]
fn a_chosen_port_that_is_taken_is_named_with_its_owner() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let wish = format!("front:80={}", taken.local_addr().unwrap().port());
    let (_mesh, output) = Mesh::up(&["--publish", &wish]);
    let told = text(&output);
    assert!(
        !output.status.success() && told.contains(&format!("(process {})", std::process::id())),
        "{told}"
    );
}
