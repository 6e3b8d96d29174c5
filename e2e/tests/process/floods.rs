//! Clients that mean harm over HTTP/2: each kind of flood ends its connection with ENHANCE_YOUR_CALM and is counted by
//! its name, costs a bounded amount of memory and processor time, and leaves other connections alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use e2e::bootstrapped::{Parts, Plane};
use e2e::client::Ask;
use e2e::frames::*;
use e2e::process::{Folder, Process};
use e2e::until::eventually;

const CALM: u32 = 11;
/// More than any of this may cost: an unoptimised build with its allocator's slack.
const MEMORY: u64 = 24 << 20;
/// Processor time in hundredths of a second: what is let in of a flood takes a fraction of it.
const TICKS: u64 = 400;

/// A proxy, and an origin that answers with bytes without end, or not at all.
struct Stage {
    process: Process,
    _folder: Folder,
    listen: SocketAddr,
    admin: SocketAddr,
    /// Bytes that the origin got rid of.
    poured: Arc<AtomicU64>,
}

const MANAGER: &str = r#"http2_protocol_options: {max_concurrent_streams: 100}
          request_headers_timeout: 1s"#;
const ROUTES: &str = r#"{match: {path: /ok}, direct_response: {status: 204}},
            {match: {path: /slow}, route: {cluster: origin, timeout: 0s}, typed_per_filter_config: {envoy.filters.http.fault: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, delay: {fixed_delay: 600s, percentage: {numerator: 100}}}}},
            {match: {prefix: /}, route: {cluster: origin, timeout: 0s}}"#;
/// What makes `/slow` wait before it takes anything of a body.
const FAULT: &str = r#"- name: envoy.filters.http.fault
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}"#;

/// `/big` answers without end; everything else is never answered.
fn origin(poured: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let poured = poured.clone();
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let n = stream.read(&mut head).unwrap_or(0);
                if !head[..n].starts_with(b"GET /big") {
                    // Until the proxy goes.
                    while stream.read(&mut head).is_ok_and(|n| n > 0) {}
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").ok();
                while let Ok(n) = stream.write(&[b'x'; 16 * 1024]) {
                    poured.fetch_add(n as u64, Ordering::Relaxed);
                }
            });
        }
    });
    address
}

impl Stage {
    fn start() -> Self {
        let poured = Arc::new(AtomicU64::new(0));
        let origin = origin(poured.clone());
        let parts = Parts { manager: MANAGER, routes: ROUTES, filters: FAULT, ..Parts::default() };
        let Plane { process, listen, admin, folder, .. } = Plane::start("ours", origin, parts);
        Stage { process, _folder: folder, listen, admin, poured }
    }

    fn counter(&self, name: &str) -> u64 {
        let page = Ask::get("/stats").send(self.admin).unwrap().body;
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no counter {name} in\n{page}")).trim().parse().unwrap()
    }

    /// All of HTTP/2, for messages.
    fn counters(&self) -> String {
        let page = Ask::get("/stats").send(self.admin).unwrap().body;
        let lines = page.lines().filter(|line| line.starts_with("http2.") && !line.ends_with(": 0"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Resident bytes, and processor time in hundredths of a second.
    fn cost(&self) -> (u64, u64) {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.process.pid())).unwrap();
        let status = read("status");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = kib.split_whitespace().next().unwrap().parse().unwrap();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (kib * 1024, fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
    }

    fn serves(&self) {
        let reply = Ask::get("/ok").send(self.listen).unwrap();
        assert_eq!(reply.status, 204, "another connection is served");
    }

    /// Runs `attack`, and checks what it cost.
    #[track_caller]
    fn under(&mut self, name: &str, attack: impl FnOnce(&Stage)) {
        let before = self.cost();
        attack(self);
        self.serves();
        if let Err(ended) = self.process.alive() {
            panic!("{name}: {ended}");
        }
        let after = self.cost();
        let (memory, ticks) = (after.0.saturating_sub(before.0), after.1 - before.1);
        println!("{name}: {} KiB, {ticks}0 ms of processor", memory / 1024);
        assert!(memory < MEMORY, "{name}: {} KiB more", memory / 1024);
        assert!(ticks < TICKS, "{name}: {ticks}0 ms of processor");
    }

    /// Sends `begin`, then `each` of a number again and again while the connection takes it; it ends with
    /// ENHANCE_YOUR_CALM, and `counter` has one more. Or the one for answers that nobody reads: a reader that gets no
    /// processor for a while cannot be told from one that does not read.
    #[track_caller]
    fn flood(&mut self, counter: &str, begin: &[u8], each: impl Fn(u32) -> Vec<u8> + Sync) {
        let count = |stage: &Stage| stage.counter(counter) + stage.counter("http2.outbound_control_flood");
        let before = count(self);
        self.under(counter, |stage| {
            let mut connection = Connection::open(stage.listen, &[]);
            connection.send(begin).unwrap();
            let mut writer = Connection { stream: connection.stream.try_clone().unwrap() };
            let reason = std::thread::scope(|scope| {
                let writing = scope.spawn(|| {
                    let mut number = 0;
                    loop {
                        let batch: Vec<u8> = (number..number + 100).flat_map(&each).collect();
                        if writer.send(&batch).is_err() {
                            return;
                        }
                        number += 100;
                        // A flood of two million frames that nobody stops is a failure.
                        assert!(number < 2_000_000, "{counter}: never stopped");
                    }
                });
                let reason = connection.reason();
                stage.serves();
                connection.stream.shutdown(std::net::Shutdown::Both).ok();
                writing.join().unwrap();
                reason
            });
            // A client that writes without reading may lose the last words to a reset; that it was sent away is counted.
            assert!(reason.is_none_or(|reason| reason == CALM), "{counter}: reason {reason:?}");
        });
        eventually("it is counted", || match count(self) - before {
            1 => Ok(()),
            n => Err(format!("{counter} has {n} more; of all:\n{}", self.counters())),
        });
    }
}

/// Stream identifiers of clients are odd.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[test]
fn floods_of_frames() {
    let mut stage = Stage::start();
    let open = frame(HEADERS, END_HEADERS, 1, &get("/hang", "a"));
    stage.flood("http2.inbound_empty_frames_flood", &open, |_| frame(DATA, 0, 1, &[]));
    stage.flood("http2.inbound_empty_frames_flood", &[], |_| frame(HEADERS, 0, 1, &[]));
    stage.flood("http2.inbound_priority_frames_flood", &open, |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]));
    stage.flood("http2.inbound_window_update_frames_flood", &open, |_| {
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])
    });
    stage.flood("http2.inbound_control_flood", &[], |_| frame(PING, 0, 0, b"12345678"));
    stage.flood("http2.inbound_control_flood", &[], |_| frame(PING, END, 0, b"12345678"));
    stage.flood("http2.inbound_control_flood", &[], |_| frame(SETTINGS, 0, 0, &[]));
    stage.flood("http2.inbound_control_flood", &[], |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]));
    stage.flood("http2.inbound_control_flood", &[], |_| frame(200, 0, 0, b"who knows"));
    stage.flood("http2.continuation_flood", &frame(HEADERS, 0, 1, &get("/ok", "a")), |number| {
        frame(CONTINUATION, 0, 1, &literal(&format!("x-{number}"), &"v".repeat(100)))
    });
}

/// Data that nobody takes, of which each byte costs a frame: it fills neither window, and yet it ends.
#[test]
fn floods_of_small_data() {
    let mut stage = Stage::start();
    let open = frame(HEADERS, END_HEADERS, 1, &get("/slow", "a"));
    stage.flood("http2.small_data_frames_flood", &open, |_| frame(DATA, 0, 1, b"x"));
}

#[test]
fn floods_of_resets() {
    let mut stage = Stage::start();
    let open = |number| frame(HEADERS, END_HEADERS | END, stream(number), &get("/hang", "a"));
    let cancel = |number| frame(RST_STREAM, 0, stream(number), &8u32.to_be_bytes());
    stage.flood("http2.inbound_resets_flood", &[], |number| [open(number), cancel(number)].concat());
    // One at a time, each after the proxy has seen it: half of them taken back is too many.
    let counter = "http2.too_many_premature_resets";
    stage.under(counter, |stage| {
        let mut connection = Connection::open(stage.listen, &[]);
        let sent = (0..1000).find(|number| {
            let round = |connection: &mut Connection| {
                connection.send(&open(*number))?;
                connection.settle()?;
                connection.send(&cancel(*number))?;
                connection.settle()
            };
            round(&mut connection).is_err()
        });
        assert!(sent.is_some_and(|sent| (249..=260).contains(&sent)), "{sent:?}");
    });
    assert_eq!(stage.counter(counter), 1);
    // A client that makes the proxy reset its streams, by adding more to a window than fits.
    let broken = |number| frame(WINDOW_UPDATE, 0, stream(number), &(i32::MAX as u32).to_be_bytes());
    let before: u64 = ["http2.stream_errors_flood", counter].iter().map(|name| stage.counter(name)).sum();
    stage.under("resets by the proxy", |stage| {
        let mut connection = Connection::open(stage.listen, &[]);
        let sent = (0..5000).find(|number| {
            connection.send(&[open(*number), broken(*number)].concat()).is_err()
                || connection.settle().is_err()
        });
        assert!(sent.is_some(), "never sent away");
    });
    eventually("it is counted", || {
        let now: u64 = ["http2.stream_errors_flood", counter].iter().map(|name| stage.counter(name)).sum();
        if now == before + 1 { Ok(()) } else { Err(format!("{now}, before {before}")) }
    });
    // More streams than were agreed on: refused, and who goes on is sent away.
    stage.flood("http2.stream_errors_flood", &[], open);
}

#[test]
fn heads_that_unpack_to_more_than_they_are() {
    let mut stage = Stage::start();
    stage.under("HPACK", |stage| {
        for _ in 0..20 {
            let mut connection = Connection::open(stage.listen, &[]);
            // A field of 4000 bytes that the table remembers, then referred to 16,000 times: 64 MB in 16 KB.
            let value = [&[0x7f][..], &[0xa1, 0x1e], &[b'v'; 4000]].concat();
            let first =
                [vec![0x82, 0x86, 0x40, 1, b'x'], value, literal(":path", "/ok"), literal(":authority", "a")];
            connection.send(&frame(HEADERS, END_HEADERS | END, 1, &first.concat())).unwrap();
            let bomb = [get("/ok", "a"), vec![0xbe; 16_000]].concat();
            connection.send(&frame(HEADERS, END_HEADERS | END, 3, &bomb)).unwrap();
            // Refused with 431, reset, or the whole connection closed.
            let answered = connection.until(|frame| frame.stream == 3 || frame.kind == GOAWAY);
            if let Ok(frames) = answered {
                let last = frames.last().unwrap();
                // 204 would be the answer to a head that was taken.
                assert_ne!((last.kind, last.payload.first()), (HEADERS, Some(&0x89)), "{last:?}");
            }
        }
    });
}

#[test]
fn a_head_that_never_ends() {
    let stage = Stage::start();
    let mut connection = Connection::open(stage.listen, &[]);
    connection.send(&frame(HEADERS, 0, 1, &get("/ok", "a"))).unwrap();
    assert_eq!(connection.reason(), Some(CALM));
    assert_eq!(stage.counter("http.downstream_rq_header_timeout"), 1);
    // Not even the whole preface.
    let mut stream = TcpStream::connect(stage.listen).unwrap();
    stream.set_read_timeout(Some(e2e::until::LIMIT)).unwrap();
    stream.write_all(&PREFACE[..10]).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    stage.serves();
}

/// Opens streams that the origin answers without end, under these windows.
fn pour(stage: &Stage, streams: u32, window: u32) -> Connection {
    let mut connection = Connection::open(stage.listen, &[(4, window)]);
    if window > 65_535 {
        connection.send(&frame(WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes())).unwrap();
    }
    for number in 0..streams {
        connection.send(&frame(HEADERS, END_HEADERS | END, stream(number), &get("/big", "a"))).unwrap();
    }
    connection
}

/// Waits until the origin cannot get rid of more.
fn stuck(stage: &Stage) -> u64 {
    let mut before = u64::MAX;
    eventually("the origin has to wait", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = stage.poured.load(Ordering::Relaxed);
        let stands = now > 0 && now == before;
        before = now;
        if stands { Ok(now) } else { Err(format!("{now} bytes so far")) }
    })
}

#[test]
fn clients_that_do_not_read() {
    let mut stage = Stage::start();
    stage.under("slow readers", |stage| {
        let mut connection = pour(stage, 100, i32::MAX as u32);
        stuck(stage);
        stage.serves();
        // What comes meanwhile is not even read: its answers would have to wait as well.
        for _ in 0..1000 {
            connection.send(&frame(PING, 0, 0, b"12345678")).unwrap();
        }
        stage.serves();
    });
}

#[test]
fn windows_of_a_byte() {
    let mut stage = Stage::start();
    stage.under("tiny windows", |stage| {
        let mut connection = pour(stage, 100, 1);
        let poured = stuck(stage);
        for round in 0..20 {
            for number in 0..100 {
                let more = frame(WINDOW_UPDATE, 0, stream(number), &[0, 0, 0, 1]);
                connection.send(&more).unwrap();
            }
            if round == 10 {
                stage.serves();
            }
        }
        let frames = connection.settle().unwrap();
        let bytes: usize =
            frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum();
        assert!((1000..=100 * 21).contains(&bytes), "{bytes}");
        // The origin stands where it stood.
        assert!(stage.poured.load(Ordering::Relaxed) < poured + (1 << 20));
    });
}
