//! Hosts of a test: network namespaces with a link between them, made and gone with the test.
//!
//! In: closures to run inside (a namespace is a thread that lives in it), as any user. Out: what they return; programs
//! started there. `Hosts` is a pod and the world around it, in both address families. Needs root: see `possible`.

use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use base::net::netlink::Requests;
use base::net::route::{self, End, LOOPBACK, Route};
use base::net::{Netlink, Protocol};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use socket2::{Domain, SockRef, Socket, Type};

use crate::client::{Ask, Reply};
use crate::process::Process;
use crate::programs::program;

/// User and group of the proxy.
pub const PROXY: u32 = 1337;
/// Nothing here takes longer, but on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace. It goes with this value, once the programs in it have ended.
pub struct Namespace {
    jobs: mpsc::Sender<Job>,
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Namespace {
    /// A fresh one with loopback, ports open to every user, and addresses that are usable at once.
    ///
    /// # Panics
    /// When this process may not make one.
    pub fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let this = Namespace { jobs };
        thread::spawn(move || inbox.into_iter().for_each(|job| job()));
        this.run(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
            setting("ipv4/ip_unprivileged_port_start", "0");
            setting("ipv4/ip_forward", "1");
            setting("ipv6/conf/all/forwarding", "1");
            for kind in ["all", "default"] {
                setting(&format!("ipv4/conf/{kind}/rp_filter"), "0");
                setting(&format!("ipv6/conf/{kind}/accept_dad"), "0");
            }
            send(|requests| route::up(requests, LOOPBACK));
        });
        this
    }

    /// Runs `work` inside.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let job: Job = Box::new(move || {
            // Nobody waits when the test has failed meanwhile.
            answer.send(work()).ok();
        });
        self.jobs.send(job).expect("the thread of a namespace lives as long as it");
        answered.recv().expect("no job panics")
    }

    /// Runs `work` inside, with sockets that belong to this user and group.
    pub fn as_user<T: Send + 'static>(
        &self,
        (user, group): (u32, u32),
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // On a thread of its own: it inherits the namespace, and its ids go with it.
        let job = move || {
            setfsgid(Gid::from_raw(group));
            setfsuid(Uid::from_raw(user));
            work()
        };
        self.run(move || thread::spawn(job).join()).expect("no job panics")
    }

    /// What a service in here answers to a connection: one line. `Err` says why there was none.
    pub fn call(&self, to: SocketAddr) -> Result<String, String> {
        self.run(move || call(to, None))
    }

    /// The same as this user and group.
    pub fn call_as(&self, who: (u32, u32), to: SocketAddr) -> Result<String, String> {
        self.as_user(who, move || call(to, None))
    }

    /// Runs the proxy's program to its end inside, as root; `files` stands for the pod's files.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn proxy(&self, files: &std::path::Path, words: &[&str]) -> Output {
        let mut command = Command::new(program("proxy"));
        command.args(words).env("POD_FILES", files);
        self.run(move || command.output().expect("the program can be started"))
    }

    /// Starts a service that answers each connection with a line: `name`, the address that was dialled, the caller's.
    /// It listens on a port of both families, as a user, and lives as long as the test program.
    pub fn serve(&self, name: &str, port: u16, who: (u32, u32)) {
        let name = name.to_owned();
        self.as_user(who, move || {
            for any in ["0.0.0.0", "::"] {
                let listener = listen(SocketAddr::new(any.parse().expect("an address"), port));
                let name = name.clone();
                thread::spawn(move || {
                    for stream in listener.incoming().flatten() {
                        // A client that goes away is no failure of the service.
                        say(&name, stream).ok();
                    }
                });
            }
        });
    }

    /// Starts an HTTP service that answers each request with its name and the caller's address, on both families.
    /// `/status/N` answers N, `/slow/MS` after that time. Returns the count of requests that have arrived.
    pub fn serve_http(&self, name: &str, port: u16, who: (u32, u32)) -> Arc<AtomicUsize> {
        let name = name.to_owned();
        let arrived = Arc::new(AtomicUsize::new(0));
        let count = arrived.clone();
        self.as_user(who, move || {
            for any in ["0.0.0.0", "::"] {
                let listener = listen(SocketAddr::new(any.parse().expect("an address"), port));
                let (name, count) = (name.clone(), count.clone());
                thread::spawn(move || {
                    for stream in listener.incoming().flatten() {
                        let (name, count) = (name.clone(), count.clone());
                        thread::spawn(move || answer(&name, &count, stream).ok());
                    }
                });
            }
        });
        arrived
    }

    /// `GET` of a path, from inside as this user and group.
    pub fn get_as(&self, who: (u32, u32), to: SocketAddr, path: &str, host: &str) -> Result<Reply, String> {
        let (path, host) = (path.to_owned(), host.to_owned());
        self.as_user(who, move || {
            Ask::get(&path).host(&host).send(to).map_err(|error| format!("{to}{path}: {error}"))
        })
    }

    /// Starts a program inside.
    #[track_caller]
    pub fn start(&self, name: &str, folder: &std::path::Path, mut command: Command) -> Process {
        let (name, folder) = (name.to_owned(), folder.to_owned());
        self.run(move || Process::start(&name, &folder, &mut command))
    }

    /// Starts a service over UDP that answers each datagram with its name and the caller's address.
    pub fn serve_udp(&self, name: &str, at: SocketAddr, who: (u32, u32)) {
        let name = name.to_owned();
        self.as_user(who, move || {
            let socket = UdpSocket::bind(at).expect("a free port");
            thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    socket.send_to(format!("{name} {peer}").as_bytes(), peer).ok();
                }
            });
        });
    }

    /// Asks a service over UDP from a port of ours (0: any).
    pub fn ask_as(&self, who: (u32, u32), from: u16, to: SocketAddr) -> Result<String, String> {
        self.as_user(who, move || ask(from, to).map_err(|error| error.to_string()))
    }

    /// A link to another namespace: ours and its end as (name, index, addresses).
    pub fn link(&self, other: &Namespace, near: (&str, u32, &[IpAddr]), far: (&str, u32, &[IpAddr])) {
        let inside = other.run(|| std::fs::File::open("/proc/thread-self/ns/net").expect("a namespace"));
        let (name, index, peer_name, peer_index) = (near.0.to_owned(), near.1, far.0.to_owned(), far.1);
        self.run(move || {
            let mac = |last| [2, 0, 0, 0, 9, last];
            let near = End { name: &name, index, mac: mac(1) };
            let far = End { name: &peer_name, index: peer_index, mac: mac(2) };
            send(|requests| route::veth(requests, &near, &far, inside.as_fd()));
        });
        other.run(move || send(|requests| route::up(requests, peer_index)));
        self.addresses(near, far.2);
        other.addresses(far, near.2);
    }

    fn addresses(&self, (_, index, own): (&str, u32, &[IpAddr]), others: &[IpAddr]) {
        let (own, others) = (own.to_vec(), others.to_vec());
        self.run(move || {
            send(|requests| {
                for address in &own {
                    route::address(requests, index, *address);
                }
                for address in &others {
                    route::route(requests, Route { to: (*address, full(*address)), via: None, index });
                }
            });
        });
    }

    /// Sends everything else by a link to `via`.
    pub fn default_route(&self, index: u32, via: IpAddr) {
        let any = if via.is_ipv4() { "0.0.0.0" } else { "::" }.parse().expect("an address");
        self.run(move || {
            send(|requests| route::route(requests, Route { to: (any, 0), via: Some(via), index }));
        });
    }

    /// More addresses of this host.
    pub fn also(&self, addresses: &[IpAddr]) {
        let addresses = addresses.to_vec();
        self.run(move || {
            send(|requests| addresses.iter().for_each(|one| route::address(requests, LOOPBACK, *one)));
        });
    }
}

/// True if this process can make namespaces and act as any user in them.
pub fn possible() -> bool {
    Uid::effective().is_root()
        && thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET).is_ok()).join().unwrap_or(false)
}

fn setting(name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn send(fill: impl FnOnce(&mut Requests)) {
    let mut requests = Requests::default();
    fill(&mut requests);
    let socket = Netlink::open(Protocol::Route).expect("a netlink socket");
    socket.send(requests).unwrap_or_else(|refused| panic!("{refused}"));
}

fn full(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn listen(at: SocketAddr) -> TcpListener {
    let open = || {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(64)?;
        Ok::<_, io::Error>(socket.into())
    };
    open().unwrap_or_else(|error| panic!("listen at {at}: {error}"))
}

fn say(name: &str, mut stream: TcpStream) -> io::Result<()> {
    let local = stream.local_addr()?;
    let socket = SockRef::from(&stream);
    let original = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let dialled = original.ok().and_then(|address| address.as_socket()).unwrap_or(local);
    let peer = stream.peer_addr()?.ip();
    stream.write_all(format!("{name} {dialled} {peer}\n").as_bytes())
}

/// One connection: what is sent is `first`, what comes until the end is returned.
pub fn call(to: SocketAddr, first: Option<&str>) -> Result<String, String> {
    let work = || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if let Some(first) = first {
            stream.write_all(first.as_bytes())?;
        }
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok::<_, io::Error>(text.trim_end().to_owned())
    };
    work().map_err(|error| format!("{to}: {error}"))
}

fn answer(name: &str, arrived: &AtomicUsize, mut stream: TcpStream) -> io::Result<()> {
    let peer = stream.peer_addr()?.ip().to_canonical();
    let mut reader = io::BufReader::new(stream.try_clone()?);
    loop {
        let (mut lines, mut line) = (Vec::new(), String::new());
        while reader.read_line(&mut line)? > 0 && !line.trim().is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        let Some(path) = lines.first().and_then(|first| first.split(' ').nth(1)) else { return Ok(()) };
        arrived.fetch_add(1, Ordering::Relaxed);
        let path = path.split('?').next().unwrap_or_default();
        let word = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
        if let Some(pause) = word("/slow/") {
            thread::sleep(Duration::from_millis(pause));
        }
        let status = word("/status/").unwrap_or(200);
        let body = format!("{name} {peer}");
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
}

fn ask(from: u16, to: SocketAddr) -> io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().expect("an address");
    let socket = UdpSocket::bind((any, from))?;
    socket.connect(to)?;
    // A datagram may be lost; an answer that never comes is a failure all the same.
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"?")?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Index of the pod's link, and of its second one.
const ETH0: u32 = 10;
const ETH1: u32 = 11;

/// A pod and what is around it.
pub struct Hosts {
    pub pod: Namespace,
    /// Everything else: other pods, services, resolvers, the internet.
    pub world: Namespace,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new()
    }
}

impl Hosts {
    /// With a link that all traffic takes, and a second one (`eth1`).
    pub fn new() -> Self {
        let (pod, world) = (Namespace::new(), Namespace::new());
        let both = |place: Place| FAMILIES.map(|family| at(family, place));
        world.link(&pod, ("pod0", 20, &both(Place::World)), ("eth0", ETH0, &both(Place::Pod)));
        world.link(&pod, ("pod1", 21, &both(Place::Side)), ("eth1", ETH1, &both(Place::PodSide)));
        for family in FAMILIES {
            pod.default_route(ETH0, at(family, Place::World));
            let more = [Place::Service, Place::Internet, Place::Resolver, Place::OtherResolver];
            world.also(&more.map(|place| at(family, place)));
        }
        Hosts { pod, world }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    V4,
    V6,
}

/// Both: every check has its twin.
pub const FAMILIES: [Ip; 2] = [Ip::V4, Ip::V6];

/// Whose address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Pod,
    /// The pod at its second link.
    PodSide,
    World,
    /// The world at the pod's second link.
    Side,
    Service,
    Internet,
    Resolver,
    OtherResolver,
    Loopback,
    /// From where the proxy delivers to the application.
    Delivery,
}

/// The address of a place.
pub fn at(family: Ip, place: Place) -> IpAddr {
    let (four, six) = match place {
        Place::Pod => ("10.77.0.2", "fd77::2"),
        Place::World => ("10.77.0.1", "fd77::1"),
        Place::PodSide => ("10.78.0.2", "fd78::2"),
        Place::Side => ("10.78.0.1", "fd78::1"),
        Place::Service => ("10.96.0.10", "fd96::10"),
        Place::Internet => ("203.0.113.7", "2001:db8:1::7"),
        Place::Resolver => ("10.96.0.53", "fd96::53"),
        Place::OtherResolver => ("10.96.0.54", "fd96::54"),
        Place::Loopback => ("127.0.0.1", "::1"),
        Place::Delivery => ("127.0.0.6", "::6"),
    };
    let text = if family == Ip::V4 { four } else { six };
    text.parse().expect("an address")
}
