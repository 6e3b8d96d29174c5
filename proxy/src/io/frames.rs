//! The frames of an HTTP/2 connection as they pass, by their heads alone: what costs the other side little and us much.
//!
//! In: bytes in the order of the wire, both ways. Out: a [`Flood`] once there were too many of a kind. No payload is
//! looked at and nothing is kept but counts, so a frame costs a few nanoseconds. Called by `guarded`. Rules and names
//! are Envoy's where it has them (`Http2ProtocolOptions`); the codec has rules of its own, which are named here too.

use tokio::time::Instant;

use crate::config::FrameLimits;

/// Frames that carry no work, which a connection may send at once.
const BURST: u32 = 10_000;
/// How many of them come back each second.
const PER_SECOND: u128 = 1_000;
/// And with each frame that carries work: peers measure the way with a ping now and then while data flows.
const EARNED: u32 = 2;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The client's side of a connection begins with this many bytes that are no frame.
const PREFACE: usize = 24;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// DATA, HEADERS or CONTINUATION without a payload, in a row.
    EmptyFrames,
    /// PRIORITY, by the number of streams.
    Priority,
    /// WINDOW_UPDATE, by the number of streams and of DATA frames sent.
    WindowUpdates,
    /// Answers to PING and SETTINGS that the other side does not read.
    OutboundControl,
    /// Frames of any kind that it does not read.
    Outbound,
    /// PING, SETTINGS, RST_STREAM and unknown frames, by time and by work.
    Idle,
    /// Streams that were reset before anybody looked at them (codec).
    Resets,
    /// Streams that had to be reset for what was wrong with them, and refused ones (codec).
    Errors,
    /// A head in too many CONTINUATION frames (codec).
    Continuations,
    /// DATA frames of a few bytes (codec).
    SmallFrames,
    /// Requests that their client took back before there was an answer.
    PrematureResets,
}

impl Flood {
    /// All of them, as [`Flood::index`] counts.
    pub const ALL: [Flood; 11] = [
        Flood::EmptyFrames,
        Flood::Priority,
        Flood::WindowUpdates,
        Flood::OutboundControl,
        Flood::Outbound,
        Flood::Idle,
        Flood::Resets,
        Flood::Errors,
        Flood::Continuations,
        Flood::SmallFrames,
        Flood::PrematureResets,
    ];

    /// Place in [`Flood::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Name of the counter, and of its family. Where Envoy has one, its.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Flood::EmptyFrames => {
                ("http2.inbound_empty_frames_flood", "envoy_http2_inbound_empty_frames_flood")
            }
            Flood::Priority => {
                ("http2.inbound_priority_frames_flood", "envoy_http2_inbound_priority_frames_flood")
            }
            Flood::WindowUpdates => {
                ("http2.inbound_window_update_frames_flood", "envoy_http2_inbound_window_update_frames_flood")
            }
            Flood::OutboundControl => ("http2.outbound_control_flood", "envoy_http2_outbound_control_flood"),
            Flood::Outbound => ("http2.outbound_flood", "envoy_http2_outbound_flood"),
            Flood::Idle => ("http2.inbound_control_flood", "mesh_http2_inbound_control_flood"),
            Flood::Resets => ("http2.inbound_resets_flood", "mesh_http2_inbound_resets_flood"),
            Flood::Errors => ("http2.stream_errors_flood", "mesh_http2_stream_errors_flood"),
            Flood::Continuations => ("http2.continuation_flood", "mesh_http2_continuation_flood"),
            Flood::SmallFrames => ("http2.small_data_frames_flood", "mesh_http2_small_data_frames_flood"),
            Flood::PrematureResets => {
                ("http2.too_many_premature_resets", "envoy_http_downstream_rq_too_many_premature_resets")
            }
        }
    }

    /// What the codec closes a connection for, by the debug data of its GOAWAY: the only place where it says so.
    fn of_codec(told: &[u8]) -> Option<Self> {
        let rules = [
            (&b"too_many_resets"[..], Flood::Resets),
            (b"too_many_internal_resets", Flood::Errors),
            (b"too_many_continuations", Flood::Continuations),
            (b"too_many_data_frames", Flood::SmallFrames),
        ];
        rules.into_iter().find(|(word, _)| told.starts_with(word)).map(|(_, flood)| flood)
    }
}

/// Which end of the connection is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Server,
    Client,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds the heads of frames in bytes that come in any pieces.
#[derive(Debug, Default)]
struct Scanner {
    part: [u8; 9],
    have: usize,
    /// Bytes of the current payload that are still to come.
    skip: usize,
}

impl Scanner {
    /// The next head, and `bytes` moved behind it; `None`: all were used.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        if self.skip > 0 {
            let skip = self.skip.min(bytes.len());
            self.skip -= skip;
            *bytes = &bytes[skip..];
        }
        if self.have == 0
            && let Some((head, rest)) = bytes.split_first_chunk::<9>()
        {
            *bytes = rest;
            return Some(self.found(*head));
        }
        let n = (self.part.len() - self.have).min(bytes.len());
        self.part[self.have..self.have + n].copy_from_slice(&bytes[..n]);
        self.have += n;
        *bytes = &bytes[n..];
        if self.have < self.part.len() {
            return None;
        }
        self.have = 0;
        Some(self.found(self.part))
    }

    fn found(&mut self, [a, b, c, kind, flags, s, t, u, v]: [u8; 9]) -> Head {
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        Head { length: self.skip, kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]) }
    }
}

/// The counts of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    limits: FrameLimits,
    end: End,
    inbound: Scanner,
    outbound: Scanner,
    /// Frames that came in since somebody set this to 0.
    pub(super) turn: u32,
    /// A head began to arrive and is not complete.
    pub(super) in_head: bool,
    /// Why the codec leaves.
    pub(super) told: Option<Flood>,
    streams: u64,
    last_stream: u32,
    empty: u32,
    priorities: u64,
    window_updates: u64,
    data_sent: u64,
    /// Frames that were written before and after `mark`, of those that may not have left; and of them, answers.
    waiting: [u32; 2],
    waiting_control: [u32; 2],
    /// A place in what the stream was given to send.
    mark: u64,
    credit: u32,
    credited: Instant,
}

impl Frames {
    pub(super) fn new(limits: FrameLimits, end: End) -> Self {
        let preface = |is: bool| Scanner { skip: if is { PREFACE } else { 0 }, ..Scanner::default() };
        Frames {
            limits,
            end,
            inbound: preface(end == End::Server),
            outbound: preface(end == End::Client),
            turn: 0,
            in_head: false,
            told: None,
            streams: 0,
            last_stream: 0,
            empty: 0,
            priorities: 0,
            window_updates: 0,
            data_sent: 0,
            waiting: [0; 2],
            waiting_control: [0; 2],
            mark: 0,
            credit: BURST,
            credited: Instant::now(),
        }
    }

    /// Bytes that came in.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while let Some(head) = self.inbound.next(&mut bytes) {
            self.turn += 1;
            match head.kind {
                DATA | HEADERS | CONTINUATION => self.work(head)?,
                WINDOW_UPDATE => {
                    self.window_updates += 1;
                    let each = u64::from(self.limits.window_updates_per_data);
                    if self.window_updates > 5 + 2 * (self.streams + each * self.data_sent) {
                        return Err(Flood::WindowUpdates);
                    }
                }
                PRIORITY => {
                    self.priorities += 1;
                    if self.priorities > u64::from(self.limits.priority_per_stream) * (1 + self.streams) {
                        return Err(Flood::Priority);
                    }
                }
                // The codec writes a line to the log for each answer to a ping that nobody sent.
                PING if head.flags & END_STREAM != 0 => self.spend(BURST / 100)?,
                _ => self.spend(1)?,
            }
        }
        Ok(())
    }

    fn work(&mut self, head: Head) -> Result<(), Flood> {
        match head.kind {
            DATA => {}
            kind => {
                self.in_head = head.flags & END_HEADERS == 0;
                if kind == HEADERS && self.end == End::Server && head.stream > self.last_stream {
                    self.last_stream = head.stream;
                    self.streams += 1;
                }
            }
        }
        if head.length == 0 && head.flags & END_STREAM == 0 {
            self.empty += 1;
            return if self.empty > self.limits.empty { Err(Flood::EmptyFrames) } else { Ok(()) };
        }
        self.empty = 0;
        self.credit = (self.credit + EARNED).min(BURST);
        Ok(())
    }

    /// A frame without work. The clock is asked only when all credit is used up.
    fn spend(&mut self, cost: u32) -> Result<(), Flood> {
        if self.credit < cost {
            let now = Instant::now();
            let back = now.saturating_duration_since(self.credited).as_millis() * PER_SECOND / 1000;
            self.credit = u32::try_from(back).unwrap_or(BURST).saturating_add(self.credit).min(BURST);
            self.credited = now;
        }
        self.credit = self.credit.checked_sub(cost).ok_or(Flood::Idle)?;
        Ok(())
    }

    /// Bytes that are written.
    pub(super) fn send(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.outbound.next(&mut bytes) {
            self.waiting[1] += 1;
            match head.kind {
                DATA => {
                    self.data_sent += 1;
                    self.credit = (self.credit + EARNED).min(BURST);
                }
                HEADERS if self.end == End::Client && head.stream > self.last_stream => {
                    self.last_stream = head.stream;
                    self.streams += 1;
                }
                SETTINGS | PING => self.waiting_control[1] += 1,
                // The codec writes it in one piece: behind the head are stream, code, and what it has to say.
                GOAWAY => self.told = self.told.or(Flood::of_codec(bytes.get(8..).unwrap_or_default())),
                _ => {}
            }
        }
    }

    /// Too many wait for the other side to read, as far as [`Frames::left`] was told.
    pub(super) fn unread(&self) -> Result<(), Flood> {
        if self.waiting_control.iter().sum::<u32>() > self.limits.outbound_control {
            return Err(Flood::OutboundControl);
        }
        if self.waiting.iter().sum::<u32>() > self.limits.outbound {
            return Err(Flood::Outbound);
        }
        Ok(())
    }

    /// Whether anything was written that may not have left.
    pub(super) fn waits(&self) -> bool {
        self.waiting != [0; 2]
    }

    /// The stream was given `written` bytes, and `sent` of them have left. Whoever reads slowly but goes on is never
    /// without something that waits: so frames are let go in two halves, each when the bytes of its time are gone.
    pub(super) fn left(&mut self, written: u64, sent: u64) {
        if sent >= written {
            self.waiting = [0; 2];
            self.waiting_control = [0; 2];
        } else if sent >= self.mark {
            self.waiting = [self.waiting[1], 0];
            self.waiting_control = [self.waiting_control[1], 0];
            self.mark = written;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    fn frames(end: End) -> Frames {
        Frames::new(FrameLimits::default(), end)
    }

    /// How many of these frames are let in, after `first`.
    fn let_in(first: &[u8], one: &[u8]) -> (usize, Flood) {
        let mut frames = frames(End::Server);
        frames.receive(&[0; PREFACE]).unwrap();
        frames.receive(first).unwrap();
        for n in 0.. {
            if let Err(flood) = frames.receive(one) {
                return (n, flood);
            }
        }
        unreachable!("some limit holds")
    }

    #[test]
    fn heads_are_found_in_any_pieces() {
        let all = [
            &[0; PREFACE][..],
            &frame(SETTINGS, 0, 0, &[0; 12]),
            &frame(HEADERS, 5, 1, b"head"),
            &frame(DATA, 1, 1, &[]),
        ]
        .concat();
        for size in [1, 2, 7, 9, 10, 100] {
            let mut scanner = Scanner { skip: PREFACE, ..Scanner::default() };
            let mut found = Vec::new();
            for mut piece in all.chunks(size) {
                while let Some(head) = scanner.next(&mut piece) {
                    found.push((head.kind, head.stream, head.length));
                }
            }
            assert_eq!(found, [(SETTINGS, 0, 12), (HEADERS, 1, 4), (DATA, 1, 0)], "in pieces of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_has_its_limit() {
        let open = frame(HEADERS, END_HEADERS, 1, b"x");
        for (first, one, wanted) in [
            (&open, frame(DATA, 0, 1, &[]), (1, Flood::EmptyFrames)),
            (&open, frame(CONTINUATION, 0, 1, &[]), (1, Flood::EmptyFrames)),
            (&open, frame(PRIORITY, 0, 1, &[0; 5]), (200, Flood::Priority)),
            (&Vec::new(), frame(PRIORITY, 0, 1, &[0; 5]), (100, Flood::Priority)),
            (&open, frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), (7, Flood::WindowUpdates)),
            (&Vec::new(), frame(PING, 0, 0, &[0; 8]), (BURST as usize, Flood::Idle)),
            (&Vec::new(), frame(PING, 1, 0, &[0; 8]), (100, Flood::Idle)),
            (&Vec::new(), frame(SETTINGS, 0, 0, &[]), (BURST as usize, Flood::Idle)),
            (&Vec::new(), frame(77, 0, 0, b"unknown"), (BURST as usize, Flood::Idle)),
        ] {
            assert_eq!(let_in(first, &one), wanted, "{one:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_come_back_with_time_and_with_work() {
        let mut frames = frames(End::Server);
        frames.receive(&[0; PREFACE]).unwrap();
        let ping = frame(PING, 0, 0, &[0; 8]);
        for _ in 0..BURST {
            frames.receive(&ping).unwrap();
        }
        tokio::time::advance(std::time::Duration::from_millis(20)).await;
        for _ in 0..20 {
            frames.receive(&ping).unwrap();
        }
        assert_eq!(frames.receive(&ping), Err(Flood::Idle));
        for _ in 0..BURST {
            frames.receive(&frame(DATA, 0, 1, b"x")).unwrap();
            frames.receive(&ping).unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_not_read_is_counted_until_it_left() {
        let mut frames = frames(End::Server);
        let ping = frame(PING, 1, 0, &[0; 8]);
        for _ in 0..1000 {
            frames.send(&ping);
        }
        assert!(frames.waits());
        frames.left(17_000, 17_000);
        assert!(!frames.waits());
        for _ in 0..1000 {
            frames.send(&ping);
        }
        assert_eq!(frames.unread(), Ok(()));
        frames.send(&ping);
        assert_eq!(frames.unread(), Err(Flood::OutboundControl));
        frames.left(34_017, 34_017);
        let data = frame(DATA, 0, 1, b"x");
        for _ in 0..10_000 {
            frames.send(&data);
        }
        assert_eq!(frames.unread(), Ok(()));
        frames.send(&data);
        assert_eq!(frames.unread(), Err(Flood::Outbound));
    }

    /// Something waits at any time, and yet all of it leaves.
    #[tokio::test]
    async fn a_slow_reader_is_no_flood() {
        let mut frames = frames(End::Server);
        let data = frame(DATA, 0, 1, b"x");
        let mut written = 0;
        for _ in 0..100_000 {
            frames.send(&data);
            written += data.len() as u64;
            frames.left(written, written.saturating_sub(3000 * data.len() as u64));
            assert_eq!(frames.unread(), Ok(()));
        }
        assert!(frames.waits());
        // It stops.
        let (at, sent) = (written, written - 1000);
        let more = (0..10_000).find(|_| {
            frames.send(&data);
            written += data.len() as u64;
            frames.left(written, sent);
            frames.unread().is_err()
        });
        assert!(more.is_some(), "of {} bytes none left", written - at);
    }

    #[tokio::test]
    async fn the_codec_says_why_it_leaves() {
        let mut frames = frames(End::Server);
        frames.send(&frame(GOAWAY, 0, 0, &[0; 8]));
        assert_eq!(frames.told, None);
        frames.send(&frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x0btoo_many_continuations"));
        assert_eq!(frames.told, Some(Flood::Continuations));
    }

    #[test]
    fn names_are_in_order() {
        for (index, flood) in Flood::ALL.into_iter().enumerate() {
            assert_eq!(flood.index(), index);
        }
    }
}
