//! Namespaces for real: pods, processes, sockets, interception. Runs as root and as an ordinary user.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use base::net::Interception;
use meshctl::local::wall::{Mount, Node, Pod, PodNet, SocketKind, Source, Spawn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 1);

async fn node() -> Node {
    let program = Path::new(env!("CARGO_BIN_EXE_meshctl"));
    Node::start(program, GATEWAY, GATEWAY6, &[Ipv4Addr::new(10, 96, 0, 10)])
        .await
        .expect("namespaces are allowed here")
}

fn net(index: u16, node: &Node) -> PodNet {
    PodNet {
        index,
        ip4: Ipv4Addr::new(10, 244, 0, index as u8),
        ip6: node.ipv6().then(|| Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, index)),
        hostname: format!("pod-{index}"),
    }
}

async fn listen(pod: &Pod, at: SocketAddr) -> TcpListener {
    let fd = pod.socket(SocketKind::Tcp(at)).await.unwrap();
    let socket = TcpSocket::from_std_stream(fd.into());
    socket.set_reuseaddr(true).unwrap();
    socket.bind(at).unwrap();
    socket.listen(16).unwrap()
}

/// Runs a shell line in a pod to its end and returns what it printed.
async fn shell(
    pod: &Pod,
    exits: &mut tokio::sync::mpsc::UnboundedReceiver<meshctl::local::wall::Exit>,
    line: &str,
    mounts: Vec<Mount>,
) -> String {
    let (mut read, write) = std::io::pipe().unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let spawn = Spawn {
        argv: vec!["sh".into(), "-c".into(), line.into()],
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        cwd: "/".into(),
        mounts,
        ..Spawn::default()
    };
    let out: OwnedFd = write.into();
    let pid = pod.spawn(spawn, [null, out.try_clone().unwrap(), out]).await.unwrap();
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        text
    })
    .await
    .unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(20), exits.recv()).await.unwrap().unwrap();
    assert_eq!(exit.pid, pid);
    text
}

#[tokio::test]
async fn pods_talk_by_both_families_and_with_the_node() {
    let node = node().await;
    let (a, _) = node.pod(net(2, &node)).await.unwrap();
    let (b, _) = node.pod(net(3, &node)).await.unwrap();
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 244, 0, 3))];
    if node.ipv6() {
        addresses.push(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 3).into());
    }
    for address in addresses {
        let at = SocketAddr::new(address, 80);
        let listener = listen(&b, at).await;
        for caller in ["pod", "node"] {
            let connect =
                async { if caller == "pod" { a.connect(at).await } else { node.connect(at).await } };
            let (stream, accepted) = tokio::join!(connect, listener.accept());
            let (mut stream, (mut inside, peer)) = (stream.unwrap(), accepted.unwrap());
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut got = String::new();
            inside.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, "hello");
            if caller == "pod" && address.is_ipv4() {
                assert_eq!(
                    peer.ip(),
                    IpAddr::V4(Ipv4Addr::new(10, 244, 0, 2)),
                    "the caller's own address is seen"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_process_sees_its_files_and_has_no_rights() {
    let node = node().await;
    let (pod, mut exits) = node.pod(net(2, &node)).await.unwrap();
    let host = std::env::temp_dir().join(format!("wall-{}", std::process::id()));
    std::fs::create_dir_all(host.join("token")).unwrap();
    std::fs::write(host.join("token/istio-token"), "secret").unwrap();
    std::fs::write(host.join("hosts"), "127.0.0.1 localhost\n").unwrap();
    let mounts = vec![
        Mount {
            source: Source::Host(host.join("token")),
            target: "/var/run/secrets/tokens".into(),
            read_only: true,
        },
        Mount { source: Source::Host(host.join("hosts")), target: "/etc/hosts".into(), read_only: true },
        Mount { source: Source::Memory, target: "/data".into(), read_only: false },
    ];
    let line = "cat /var/run/secrets/tokens/istio-token; echo; cat /etc/hosts; echo $$; hostname; \
        grep CapBnd /proc/self/status; grep CapEff /proc/self/status; \
        echo x > /data/x && cat /data/x; echo x > /tmp/y && cat /tmp/y; \
        touch /usr/forbidden 2>/dev/null && echo written; test -f /etc/passwd && echo passwd; ls /tmp";
    let text = shell(&pod, &mut exits, line, mounts).await;
    std::fs::remove_dir_all(&host).unwrap();
    let zero = "0000000000000000";
    assert_eq!(
        text,
        format!("secret\n127.0.0.1 localhost\n2\npod-2\nCapBnd:\t{zero}\nCapEff:\t{zero}\nx\nx\npasswd\ny\n")
    );
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let node = node().await;
    let (pod, _exits) = node.pod(net(2, &node)).await.unwrap();
    let null = || OwnedFd::from(std::fs::File::options().read(true).write(true).open("/dev/null").unwrap());
    let spawn = Spawn { argv: vec!["no-such-program".into()], cwd: "/".into(), ..Spawn::default() };
    let error = pod.spawn(spawn, [null(), null(), null()]).await.unwrap_err();
    assert_eq!(error.to_string(), "run no-such-program: No such file or directory");
}

#[tokio::test]
async fn traffic_goes_through_the_proxy_ports() {
    let node = node().await;
    let (client, mut exits) = node.pod(net(2, &node)).await.unwrap();
    let (server, _) = node.pod(net(3, &node)).await.unwrap();
    let rules = Interception {
        dns: Some(15053),
        resolvers: vec![Ipv4Addr::new(10, 96, 0, 10).into()],
        exclude_outbound: vec![9999],
        ..Interception::default()
    };
    rules.apply(&client.netfilter().await.unwrap()).unwrap();
    rules.apply(&server.netfilter().await.unwrap()).unwrap();
    let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let outbound = listen(&client, any(15001)).await;
    let inbound = listen(&server, any(15006)).await;
    let direct = listen(&server, any(15020)).await;

    // Any outside address and port: the proxy gets it and can ask what was meant.
    let meant: SocketAddr = "10.96.7.7:80".parse().unwrap();
    let (stream, accepted) = tokio::join!(client.connect(meant), outbound.accept());
    let (accepted, _) = accepted.unwrap();
    assert_eq!(socket2::SockRef::from(&accepted).original_dst_v4().unwrap().as_socket(), Some(meant));
    drop(stream.unwrap());

    // The proxy's own traffic carries the mark and goes out; it arrives at the other inbound port.
    let to: SocketAddr = "10.244.0.3:8080".parse().unwrap();
    let socket = TcpSocket::from_std_stream(client.socket(SocketKind::Tcp(to)).await.unwrap().into());
    socket2::SockRef::from(&socket).set_mark(1337).unwrap();
    let (stream, accepted) = tokio::join!(socket.connect(to), inbound.accept());
    assert_eq!(socket2::SockRef::from(&accepted.unwrap().0).original_dst_v4().unwrap().as_socket(), Some(to));
    drop(stream.unwrap());

    // Excluded ports are left alone, on both sides; nobody listens on 9999 of the other pod.
    let (stream, accepted) = tokio::join!(node.connect("10.244.0.3:15020".parse().unwrap()), direct.accept());
    assert!(stream.is_ok() && accepted.is_ok());
    let refused = listen(&server, any(9998)).await;
    drop(refused);
    let stream = client.connect("10.244.0.3:9999".parse().unwrap()).await;
    let (_, accepted) = (stream.unwrap(), inbound.accept().await);
    assert!(accepted.is_ok(), "left the client untouched and was taken by the server");

    // DNS questions of the application reach the proxy, the answer seems to come from the resolver.
    let fd = client.socket(SocketKind::Udp(any(0))).await.unwrap();
    let dns = socket2::Socket::from(fd);
    dns.bind(&"127.0.0.1:15053".parse::<SocketAddr>().unwrap().into()).unwrap();
    let dns = tokio::net::UdpSocket::from_std(dns.into()).unwrap();
    let answer = tokio::spawn(async move {
        let mut question = [0; 64];
        let (length, from) = dns.recv_from(&mut question).await.unwrap();
        dns.send_to(&question[..length], from).await.unwrap();
    });
    let asker = socket2::Socket::from(client.socket(SocketKind::Udp(any(0))).await.unwrap());
    let asker = tokio::net::UdpSocket::from_std(asker.into()).unwrap();
    let resolver: SocketAddr = "10.96.0.10:53".parse().unwrap();
    asker.connect(resolver).await.unwrap();
    asker.send(b"question").await.unwrap();
    let mut buffer = [0; 64];
    let length =
        tokio::time::timeout(Duration::from_secs(10), asker.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], b"question");
    answer.await.unwrap();

    // An application talks to itself without the proxy.
    let own = listen(&client, any(8000)).await;
    for address in ["127.0.0.1:8000", "10.244.0.2:8000"] {
        let (stream, accepted) = tokio::join!(client.connect(address.parse().unwrap()), own.accept());
        assert!(stream.is_ok() && accepted.is_ok());
    }
    let text = shell(&client, &mut exits, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", vec![]).await;
    assert_eq!(text, "0\n");
}

#[tokio::test]
async fn dropping_the_node_ends_everything() {
    let node = node().await;
    let (pod, _exits) = node.pod(net(2, &node)).await.unwrap();
    let (mut read, write) = std::io::pipe().unwrap();
    let null = || OwnedFd::from(std::fs::File::options().read(true).write(true).open("/dev/null").unwrap());
    let spawn = Spawn {
        argv: vec!["sleep".into(), "1000".into()],
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        cwd: "/".into(),
        ..Spawn::default()
    };
    pod.spawn(spawn, [null(), write.into(), null()]).await.unwrap();
    drop(node);
    let ended = tokio::task::spawn_blocking(move || read.read(&mut [0; 1]));
    let ended =
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the process ends with the mesh");
    assert_eq!(ended.unwrap().unwrap(), 0);
}
