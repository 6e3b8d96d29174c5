//! Where TCP connections go under the rules of `istio-iptables`. What stands for the proxy says which port it was.

use std::net::SocketAddr;
use std::process::Output;

use e2e::netns::{FAMILIES, Hosts, Ip, PROXY, Place, at};
use e2e::process::Folder;

/// Any application.
const APP: (u32, u32) = (1000, 1000);
const OWN: (u32, u32) = (PROXY, PROXY);
const USUAL: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020";

/// A pod with an application on 8080 and 9090, a probe port, what stands for the proxy on 15001 and 15006, and a world
/// that answers on 80 and 3306.
pub(crate) struct Stage {
    pub(crate) hosts: Hosts,
    pub(crate) files: Folder,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let hosts = Hosts::new();
        for (name, port, who) in [
            ("app", 8080, APP),
            ("app", 9090, APP),
            ("probe", 15021, OWN),
            ("tunnel", 15008, OWN),
            ("outbound", 15001, OWN),
            ("inbound", 15006, OWN),
        ] {
            hosts.pod.serve(name, port, who);
        }
        for port in [80, 3306] {
            hosts.world.serve("world", port, APP);
        }
        Stage { hosts, files: Folder::new("netns") }
    }

    pub(crate) fn program(&self, line: &str) -> Output {
        // Two blanks are an empty word.
        let words: Vec<&str> = line.split(' ').collect();
        self.hosts.pod.proxy(self.files.path(), &words)
    }

    pub(crate) fn rules(&self, flags: &str) {
        let output = self.program(&format!("istio-iptables {flags}"));
        assert!(output.status.success(), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn clean(&self) {
        let output = self.program("istio-clean-iptables");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// An application of the pod calls.
    #[track_caller]
    pub(crate) fn out(&self, family: Ip, to: Place, port: u16, who: (u32, u32)) -> String {
        self.hosts.pod.call_as(who, SocketAddr::new(at(family, to), port)).unwrap()
    }

    /// Somebody calls the pod.
    #[track_caller]
    pub(crate) fn arrives(&self, family: Ip, to: Place, port: u16) -> String {
        self.hosts.world.call(SocketAddr::new(at(family, to), port)).unwrap()
    }
}

/// What a service says of a call to `to`, by whom.
pub(crate) fn said(name: &str, family: Ip, to: Place, port: u16, from: Place) -> String {
    format!("{name} {} {}", SocketAddr::new(at(family, to), port), at(family, from))
}

/// The checks of the usual rules.
fn usual(stage: &Stage) {
    for family in FAMILIES {
        let of = |name, to, port, from| said(name, family, to, port, from);
        // Out: by the proxy, which learns where it goes; its own calls are left alone.
        assert_eq!(
            stage.out(family, Place::Service, 80, APP),
            of("outbound", Place::Service, 80, Place::Pod)
        );
        assert_eq!(
            stage.out(family, Place::Service, 80, (0, 0)),
            of("outbound", Place::Service, 80, Place::Pod)
        );
        for own in [OWN, (0, PROXY), (PROXY, 0)] {
            assert_eq!(
                stage.out(family, Place::Service, 80, own),
                of("world", Place::Service, 80, Place::Pod)
            );
        }
        // In: but for the ports of the proxy itself.
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("inbound", Place::Pod, 8080, Place::World));
        assert_eq!(stage.arrives(family, Place::Pod, 7777), of("inbound", Place::Pod, 7777, Place::World));
        assert_eq!(stage.arrives(family, Place::Pod, 15021), of("probe", Place::Pod, 15021, Place::World));
        assert_eq!(stage.arrives(family, Place::Pod, 15008), of("tunnel", Place::Pod, 15008, Place::World));
        // The application calls itself.
        let own = of("app", Place::Loopback, 8080, Place::Loopback);
        assert_eq!(stage.out(family, Place::Loopback, 8080, APP), own);
        assert_eq!(stage.out(family, Place::Pod, 8080, APP), of("app", Place::Pod, 8080, Place::Pod));
        // The proxy calls this pod: at its address from the inbound side, at loopback directly.
        assert_eq!(stage.out(family, Place::Pod, 8080, OWN), of("inbound", Place::Pod, 8080, Place::Pod));
        assert_eq!(stage.out(family, Place::Loopback, 8080, OWN), own);
        // And delivers to the application, without any privilege.
        let delivered = stage.hosts.pod.as_user(OWN, move || deliver(family, 8080)).unwrap();
        assert_eq!(delivered, of("app", Place::Pod, 8080, Place::Delivery));
    }
}

/// Calls the pod from the address of delivery.
fn deliver(family: Ip, port: u16) -> std::io::Result<String> {
    use std::io::Read;
    let to = SocketAddr::new(at(family, Place::Pod), port);
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(at(family, Place::Delivery), 0).into())?;
    socket.connect(&to.into())?;
    let mut text = String::new();
    std::net::TcpStream::from(socket).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// Nothing is intercepted.
fn untouched(stage: &Stage) {
    for family in FAMILIES {
        let of = |name, to, port, from| said(name, family, to, port, from);
        assert_eq!(stage.out(family, Place::Service, 80, APP), of("world", Place::Service, 80, Place::Pod));
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("app", Place::Pod, 8080, Place::World));
    }
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn the_usual_rules_twice_and_gone() {
    let stage = Stage::new();
    let before = addresses(&stage);
    untouched(&stage);
    stage.rules(USUAL);
    usual(&stage);
    let once = addresses(&stage);
    stage.rules(USUAL);
    assert_eq!(addresses(&stage), once);
    usual(&stage);
    stage.clean();
    untouched(&stage);
    assert_eq!(addresses(&stage), before);
    stage.clean();
    // Rules of another kind replace these; a dry run does not.
    stage.rules(USUAL);
    stage.rules("-n -i * -b ");
    usual(&stage);
    stage.rules("-i  -b ");
    untouched(&stage);
    stage.rules(&format!("{USUAL} --cleanup-only"));
    untouched(&stage);
}

/// The IPv6 addresses of the pod, one of which the rules bring.
fn addresses(stage: &Stage) -> Vec<String> {
    stage.hosts.pod.run(|| {
        let list = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        // The links' own come and go in their own time.
        let lasting = list.lines().filter(|line| !line.starts_with("fe80"));
        let mut list: Vec<String> = lasting.map(str::to_owned).collect();
        list.sort();
        list
    })
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn excluded_and_included_on_the_way_out() {
    let stage = Stage::new();
    for family in FAMILIES {
        let of = |name, to, port| said(name, family, to, port, Place::Pod);
        let out = |to, port| stage.out(family, to, port, APP);
        stage.rules("-i * -b * -o 3306 -x 203.0.113.0/24,2001:db8:1::/48");
        assert_eq!(out(Place::Service, 80), of("outbound", Place::Service, 80));
        assert_eq!(out(Place::Service, 3306), of("world", Place::Service, 3306));
        assert_eq!(out(Place::Internet, 80), of("world", Place::Internet, 80));
        stage.rules("-i 10.96.0.0/16,fd96::/16 -q 3306 -b *");
        assert_eq!(out(Place::Service, 80), of("outbound", Place::Service, 80));
        assert_eq!(out(Place::Internet, 80), of("world", Place::Internet, 80));
        assert_eq!(out(Place::Internet, 3306), of("outbound", Place::Internet, 3306));
        stage.rules("-i * -b * -c eth1");
        assert_eq!(out(Place::Service, 80), of("outbound", Place::Service, 80));
        let side = said("world", family, Place::Side, 80, Place::PodSide);
        assert_eq!(out(Place::Side, 80), side);
        // Loopback that is asked for is taken, but for the address that every application uses.
        stage.rules("-i 127.0.0.0/8,::/0 -b *");
        if family == Ip::V4 {
            let odd: SocketAddr = "127.0.0.9:8080".parse().unwrap();
            let got = stage.hosts.pod.call_as(APP, odd).unwrap();
            assert_eq!(got, "outbound 127.0.0.9:8080 127.0.0.1");
        }
        assert_eq!(out(Place::Loopback, 8080), said("app", family, Place::Loopback, 8080, Place::Loopback));
    }
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn excluded_and_included_on_the_way_in() {
    let stage = Stage::new();
    for family in FAMILIES {
        let of = |name, to, port| said(name, family, to, port, Place::World);
        stage.rules("-i * -b * -d 9090,15021");
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("inbound", Place::Pod, 8080));
        assert_eq!(stage.arrives(family, Place::Pod, 9090), of("app", Place::Pod, 9090));
        stage.rules("-i * -b 8080");
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("inbound", Place::Pod, 8080));
        assert_eq!(stage.arrives(family, Place::Pod, 9090), of("app", Place::Pod, 9090));
        stage.rules("-i * -b ");
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("app", Place::Pod, 8080));
        stage.rules("-i * -b * -c eth1");
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("inbound", Place::Pod, 8080));
        let side = said("app", family, Place::PodSide, 8080, Place::Side);
        assert_eq!(stage.arrives(family, Place::PodSide, 8080), side);
        // A virtual machine behind eth1: what it sends is outbound.
        stage.rules("-i * -b * -k eth1 -o 9090");
        assert_eq!(stage.arrives(family, Place::Pod, 8080), of("inbound", Place::Pod, 8080));
        let machine = said("outbound", family, Place::PodSide, 8080, Place::Side);
        assert_eq!(stage.arrives(family, Place::PodSide, 8080), machine);
        let left = said("app", family, Place::PodSide, 9090, Place::Side);
        assert_eq!(stage.arrives(family, Place::PodSide, 9090), left);
    }
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn users_and_groups() {
    let stage = Stage::new();
    for family in FAMILIES {
        let of = |name| said(name, family, Place::Service, 80, Place::Pod);
        let out = |who| stage.out(family, Place::Service, 80, who);
        stage.rules("-u 2000 -g 2001 -i * -b *");
        assert_eq!(out(OWN), of("outbound"));
        assert_eq!(out((2000, 1)), of("world"));
        assert_eq!(out((1, 2001)), of("world"));
        let with = |variable: &str, groups: &str| {
            let mut command = std::process::Command::new(e2e::programs::program("proxy"));
            command.args(["istio-iptables", "-i", "*", "-b", "*"]).env(variable, groups);
            let output = stage.hosts.pod.run(move || command.output().unwrap());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        with("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "3000,3001");
        assert_eq!(out((5, 3001)), of("world"));
        assert_eq!(out(APP), of("outbound"));
        with("ISTIO_OUTBOUND_OWNER_GROUPS", "3000,3001");
        assert_eq!(out((5, 3001)), of("outbound"));
        assert_eq!(out(APP), of("world"));
    }
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn what_is_impossible_is_said() {
    let stage = Stage::new();
    let output = as_proxy(&stage.hosts, "istio-iptables -i * -b *");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("NET_ADMIN"), "{error}");
    untouched(&stage);
    let output = stage.program("istio-iptables -i * -m SOMEHOW");
    assert_eq!(output.status.code(), Some(2));
    untouched(&stage);
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn rules_that_do_not_work_are_found() {
    // Without what stands for the proxy: its ports are those of the test of the rules.
    let hosts = Hosts::new();
    let files = Folder::new("netns");
    let test = "istio-iptables -u 1337 -i * -b * --skip-rule-apply --run-validation --probe-timeout 300ms";
    let words: Vec<&str> = test.split(' ').collect();
    assert_eq!(as_proxy(&hosts, test).status.code(), Some(126));
    assert_eq!(hosts.pod.proxy(files.path(), &words).status.code(), Some(126));
    let usual: Vec<&str> = std::iter::once("istio-iptables").chain(USUAL.split(' ')).collect();
    assert!(hosts.pod.proxy(files.path(), &usual).status.success());
    let output = as_proxy(&hosts, test);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = hosts.pod.proxy(files.path(), &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The program as the proxy's user, from a folder that this user can look into.
fn as_proxy(hosts: &Hosts, words: &str) -> Output {
    use std::os::unix::process::CommandExt;
    let folder = Folder::new("program");
    let program = folder.path().join("proxy");
    std::fs::copy(e2e::programs::program("proxy"), &program).unwrap();
    let mut command = std::process::Command::new(program);
    command.args(words.split(' ')).uid(PROXY).gid(PROXY);
    hosts.pod.run(move || command.output().unwrap())
}
