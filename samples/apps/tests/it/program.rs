//! The program as a process: it starts, answers, says a line per request, and ends when told to; its clients
//! print and exit as curl does.

use super::nobody;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mesh-samples");

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    for proxy in ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(proxy);
    }
    command
}

/// A server process, killed when dropped.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// Starts `args` with `{port}` replaced, and waits until it accepts.
    fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        // Another process may take the port in between: then try another one.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let args: Vec<String> = args.iter().map(|arg| arg.replace("{port}", &port.to_string())).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = program(&args);
            let mut child = command.env("BIND_IP", "127.0.0.1").envs(env.iter().copied()).spawn().unwrap();
            loop {
                if TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok() {
                    return Self { child, port };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        panic!("no port for {args:?}");
    }

    /// SIGTERM; everything it had written to its standard output.
    fn end(mut self) -> String {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "ends with 0 on SIGTERM");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn client(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn httpbin_and_the_http_client() {
    let server = Running::start(&["httpbin", "{port}"], &[]);
    let base = format!("http://127.0.0.1:{}", server.port);
    let url = |path: &str| format!("{base}{path}");

    let (code, out, _) = client(&["http", "-s", "-H", "x-a: 1", &url("/headers")]);
    assert!(code == 0 && out.contains("\"X-A\""), "{out}");
    let (code, out, _) =
        client(&["http", "-sS", "-o", "/dev/null", "-w", "%{http_code}\\n", &url("/status/503")]);
    assert_eq!((code, out.as_str()), (0, "503\n"));
    let (code, _, err) = client(&["http", "-sSf", &url("/status/404")]);
    assert!(code == 22 && err.contains("(22)"), "{err}");
    let (code, out, _) = client(&["http", "-i", &url("/response-headers?x-b=2")]);
    assert!(code == 0 && out.starts_with("HTTP/1.1 200 OK\r\n") && out.contains("x-b: 2"), "{out}");
    let (_, out, _) = client(&["http", "-sI", "--http2-prior-knowledge", &url("/get")]);
    assert!(out.starts_with("HTTP/2 200"), "{out}");
    let (_, out, err) = client(&["http", "-v", "-d", "a=1", "-d", "b=2", &url("/post")]);
    assert!(
        out.contains("\"b\"") && err.contains("> POST /post HTTP/1.1") && err.contains("< HTTP/1.1 200 OK")
    );
    let (_, out, _) = client(&["http", "-sL", &url("/redirect/3")]);
    assert!(out.contains("/get\""), "{out}");
    let (code, out, _) = client(&["http", "-s", "-m", "50ms", "-w", "%{http_code}", &url("/delay/30")]);
    assert_eq!((code, out.as_str()), (28, "000"));
    let (_, out, _) = client(&["fetch", "-n", "6", "-p", "2", "--json", &url("/status/418")]);
    assert_eq!(out.trim(), r#"{"418":6}"#);

    let said = server.end();
    assert!(said.contains("\"GET /headers HTTP/1.1\" 200 "), "{said}");
    assert!(said.contains("\"HEAD /get HTTP/2.0\" 200 "), "{said}");
}

#[tokio::test]
async fn failures_have_curls_exit_statuses() {
    let at = nobody().await.to_string();
    let (code, _, err) = client(&["http", "-sS", &at]);
    assert!(code == 7 && err.contains("Failed to connect"), "{err}");
    let (code, out, _) = client(&[
        "http",
        "-s",
        "-w",
        "%{http_code}",
        "--resolve",
        "a.example:1:127.0.0.1",
        "http://a.example:1/",
    ]);
    assert_eq!((code, out.as_str()), (7, "000"));
    let (code, _, err) = client(&["http", "-sS", "http://no-such-name.invalid/"]);
    assert!(code == 6 && err.contains("Could not resolve host"), "{err}");
    let (code, _, err) = client(&["http", "--what-is-this", "http://x/"]);
    assert!(code == 2 && err.contains("--what-is-this"), "{err}");

    // A server that accepts and resets, as a strict proxy does to plain text.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // Closing with unread bytes makes the kernel send a reset.
        while stream.peek(&mut [0; 1]).unwrap() == 0 {}
    });
    let (code, _, err) = client(&["http", "-sS", &at]);
    server.join().unwrap();
    assert!(code == 56 && err.contains("curl: (56) Recv failure: Connection reset by peer"), "{code} {err}");
}

#[test]
fn load_measures() {
    let server = Running::start(&["httpbin", "{port}"], &[]);
    let url = format!("http://127.0.0.1:{}/status/200:1,503:1", server.port);
    let (code, out, _) =
        client(&["load", "-n", "60", "-c", "3", "--json", "--fail", "--progress", "0", &url]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["requests"], &report["errors"]), (1, &60.into(), &0.into()));
    let statuses = &report["statuses"];
    assert_eq!(statuses["200"].as_u64().unwrap() + statuses["503"].as_u64().unwrap(), 60);
    assert_eq!(report["connections"], 3);
    let url = format!("http://127.0.0.1:{}/get", server.port);
    let (code, out, _) =
        client(&["load", "-n", "20", "--qps", "1000", "--http2", "--no-keepalive", "-f", &url]);
    assert!(code == 0 && out.contains("status 200: 20") && out.contains("20 connections"), "{out}");
}

#[test]
fn load_ends_when_told_and_reports() {
    let server = Running::start(&["httpbin", "{port}"], &[]);
    let url = format!("http://127.0.0.1:{}/get", server.port);
    let mut child = program(&["load", "-c", "1", "--qps", "200", "-t", "0", "--json", &url]).spawn().unwrap();
    // The first line of progress says that answers came.
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("answers"), "{line}");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(out.status.success() && report["answers"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn tcp_echo_and_the_tcp_client() {
    let server = Running::start(&["tcp-echo", "{port}", "two"], &[]);
    let port = server.port.to_string();
    let (code, out, _) = client(&["tcp", "127.0.0.1", &port, "hello", "world"]);
    assert_eq!((code, out.as_str()), (0, "two hello\ntwo world\n"));
    let (code, out, _) = client(&["tcp", "-n", "5", "--count", "127.0.0.1", &port, "x"]);
    assert_eq!((code, out.trim()), (0, "5  two x"));
}

#[test]
fn grpc_echo_and_its_client() {
    let server = Running::start(
        &["grpc-echo", "--port", "{port}"],
        &[("SERVICE_VERSION", "v2"), ("HOSTNAME", "pod-1")],
    );
    let at = format!("127.0.0.1:{}", server.port);
    let (code, out, err) = client(&["grpc-call", &at, "--text", "hi", "-n", "2"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "status=0 text=\"hi\" version=v2 instance=pod-1\n".repeat(2).as_str()),
        "{err}"
    );
    let (code, out, _) = client(&["grpc-call", &at, "-H", "x-echo-status: 14"]);
    assert!(code == 14 && out.contains("asked for"), "{out}");
    let (code, _, _) = client(&["grpc-call", &at, "--method", "echo.Echo/Nothing"]);
    assert_eq!(code, 12);
}

#[test]
fn bookinfo_as_processes() {
    let ratings = Running::start(&["ratings", "{port}"], &[]);
    let port = ratings.port.to_string();
    let env = [
        ("ENABLE_RATINGS", "true"),
        ("STAR_COLOR", "red"),
        ("RATINGS_HOSTNAME", "127.0.0.1"),
        ("RATINGS_SERVICE_PORT", port.as_str()),
        ("HOSTNAME", "reviews-v3-xyz"),
    ];
    let reviews = Running::start(&["reviews", "{port}"], &env);
    let details = Running::start(&["details", "{port}"], &[]);
    let (reviews_port, details_port) = (reviews.port.to_string(), details.port.to_string());
    let env = [
        ("DETAILS_HOSTNAME", "127.0.0.1"),
        ("DETAILS_SERVICE_PORT", details_port.as_str()),
        ("REVIEWS_HOSTNAME", "127.0.0.1"),
        ("REVIEWS_SERVICE_PORT", reviews_port.as_str()),
    ];
    let page = Running::start(&["productpage", "{port}"], &env);
    let base = format!("http://127.0.0.1:{}", page.port);
    let (_, out, _) = client(&["http", "-s", &format!("{base}/productpage")]);
    assert!(out.contains("text-red-500") && out.contains("<code>reviews-v3-xyz</code>"), "{out}");

    let jar = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("jar-{}", std::process::id()));
    let jar = jar.to_str().unwrap();
    let login = format!("{base}/login");
    let (code, out, _) =
        client(&["http", "-sL", "-c", jar, "-b", jar, "-d", "username=jason&passwd=x", &login]);
    assert!(code == 0 && out.contains(">jason<"), "{out}");
    let (_, out, _) = client(&["http", "-s", "-b", jar, &format!("{base}/productpage")]);
    assert!(out.contains(">jason<"));
}
