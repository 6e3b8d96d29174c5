//! Two directions of bytes between two streams, with half-close.
//!
//! A direction reads into a scratch area of its thread and writes on at once, so connections hold memory only for
//! what the other side has not taken yet. A direction that keeps filling the scratch area goes over to splice
//! where both sides are plain sockets.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::splice::Pipe;
use crate::io::Stream;

const SCRATCH: usize = 256 * 1024;
/// Reads of at least this size are busy; so many in a row begin to splice.
const BUSY: usize = 32 * 1024;
const BUSY_READS: u32 = 4;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides were done.
    Complete,
    Idle,
    /// The client broke off.
    Client,
    /// The upstream broke off.
    Upstream,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Read and not yet written.
    held: Bytes,
    pipe: Option<Pipe>,
    busy: u32,
    /// The source broke behind what was read last.
    broken: bool,
    pub(super) bytes: u64,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Stage {
    #[default]
    Open,
    /// The source ended; what is held goes out, then the end.
    Ending,
    Done,
}

/// Which side an error belongs to.
enum Side {
    Source,
    Sink,
}

impl Flow {
    /// A direction that begins with bytes that were read before.
    pub(super) fn after(ahead: Bytes) -> Self {
        Flow { bytes: ahead.len() as u64, held: ahead, ..Flow::default() }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<Result<(), Side>> {
        loop {
            while !self.held.is_empty() {
                let n = ready!(Pin::new(&mut *to).poll_write(cx, &self.held)).map_err(|_| Side::Sink)?;
                self.held.advance(n);
            }
            match self.stage {
                Stage::Done => return Poll::Ready(Ok(())),
                Stage::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| Side::Sink)?;
                    self.stage = Stage::Done;
                }
                Stage::Open => {
                    let n = match (&self.pipe, tcp_of(from), tcp_of(to)) {
                        (Some(_), Some(from), Some(to)) => ready!(self.poll_splice(cx, from, to))?,
                        _ => match self.poll_copy(cx, from, to)? {
                            Poll::Ready(n) => n,
                            Poll::Pending => {
                                // TLS holds records back until it is told to let go.
                                if let Poll::Ready(Err(_)) = Pin::new(&mut *to).poll_flush(cx) {
                                    return Poll::Ready(Err(Side::Sink));
                                }
                                return Poll::Pending;
                            }
                        },
                    };
                    self.bytes += n as u64;
                    if n == 0 {
                        self.stage = Stage::Ending;
                    }
                }
            }
        }
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Result<Poll<usize>, Side> {
        let n = BUFFER.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            match self.poll_fill(cx, from, &mut buf)? {
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(Poll::Pending),
            }
            let mut rest = buf.filled();
            while !rest.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) => rest = &rest[n..],
                    Poll::Ready(Err(_)) => return Err(Side::Sink),
                    Poll::Pending => {
                        self.held = Bytes::copy_from_slice(rest);
                        break;
                    }
                }
            }
            Ok(Poll::Ready(buf.filled().len()))
        })?;
        if let Poll::Ready(n) = n {
            self.busy = if n >= BUSY { self.busy + 1 } else { 0 };
            let plain = tcp_of(from).is_some() && tcp_of(to).is_some();
            if self.busy >= BUSY_READS && plain && self.pipe.is_none() {
                // Without descriptors to spare we go on copying.
                self.pipe = Pipe::new().ok();
                self.busy = 0;
            }
        }
        Ok(n)
    }

    /// Reads all that is there and fits: TLS gives a record at a time, and a write for each would be many.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        buf: &mut ReadBuf<'_>,
    ) -> Result<Poll<()>, Side> {
        while !self.broken && buf.remaining() > 0 {
            let before = buf.filled().len();
            match Pin::new(&mut *from).poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() > before => {}
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending if before == 0 => return Ok(Poll::Pending),
                Poll::Pending => break,
            }
        }
        match self.broken && buf.filled().is_empty() {
            true => Err(Side::Source),
            false => Ok(Poll::Ready(())),
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
    ) -> Poll<Result<usize, Side>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        if !pipe.is_empty() {
            ready!(pipe.poll_drain(cx, to)).map_err(|_| Side::Sink)?;
        }
        let n = ready!(pipe.poll_fill(cx, from)).map_err(|_| Side::Source)?;
        // What does not fit now goes out first at the next turn; it counts as read.
        if let Poll::Ready(Err(_)) = pipe.poll_drain(cx, to) {
            return Poll::Ready(Err(Side::Sink));
        }
        Poll::Ready(Ok(n))
    }

    fn is_done(&self) -> bool {
        self.stage == Stage::Done && self.held.is_empty()
    }
}

/// The socket of a plain stream whose first bytes are all read.
fn tcp_of(stream: &Stream) -> Option<&TcpStream> {
    match stream {
        Stream::Plain(wire) => wire.bare_tcp(),
        _ => None,
    }
}

/// Both directions, with their clocks.
pub(super) struct Relay {
    pub(super) client: Stream,
    pub(super) upstream: Stream,
    pub(super) up: Flow,
    pub(super) down: Flow,
    /// Zero: none.
    pub(super) idle: Duration,
    pub(super) report: Duration,
}

/// A step of a relay.
pub(super) enum Step {
    /// Time to tell the totals.
    Report,
    End(End),
}

impl Relay {
    /// Moves bytes until there is something to tell. Timers are kept by the caller between steps.
    pub(super) async fn step(&mut self, clocks: &mut Clocks) -> Step {
        std::future::poll_fn(|cx| {
            let before = self.up.bytes + self.down.bytes;
            let up = self.up.poll(cx, &mut self.client, &mut self.upstream);
            let down = self.down.poll(cx, &mut self.upstream, &mut self.client);
            match (up, down) {
                (Poll::Ready(Err(Side::Source)), _) | (_, Poll::Ready(Err(Side::Sink))) => {
                    return Poll::Ready(Step::End(End::Client));
                }
                (Poll::Ready(Err(Side::Sink)), _) | (_, Poll::Ready(Err(Side::Source))) => {
                    return Poll::Ready(Step::End(End::Upstream));
                }
                _ if self.up.is_done() && self.down.is_done() => {
                    return Poll::Ready(Step::End(End::Complete));
                }
                _ => {}
            }
            if self.up.bytes + self.down.bytes != before {
                clocks.moved = Instant::now();
            }
            clocks.poll(cx, self.idle, self.report)
        })
        .await
    }
}

/// When bytes last moved and when totals are due.
pub(super) struct Clocks {
    moved: Instant,
    sleep: Pin<Box<Sleep>>,
    reported: Instant,
}

impl Clocks {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Clocks { moved: now, sleep: Box::pin(sleep_until(now)), reported: now }
    }

    fn poll(&mut self, cx: &mut Context<'_>, idle: Duration, report: Duration) -> Poll<Step> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            if !idle.is_zero() && now >= self.moved + idle {
                return Poll::Ready(Step::End(End::Idle));
            }
            if self.moved > self.reported && now >= self.reported + report {
                self.reported = now;
                return Poll::Ready(Step::Report);
            }
            // Silence needs no report, only the look at whether it lasted too long.
            let next = if idle.is_zero() { report } else { report.min(idle) };
            self.sleep.as_mut().reset(now + next.max(Duration::from_millis(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn busy_sockets_are_spliced_and_nothing_is_lost() {
        let (mut client, near) = pair().await;
        let (far, mut server) = pair().await;
        let mut relay = Relay {
            client: Stream::tcp(near),
            upstream: Stream::tcp(far),
            up: Flow::default(),
            down: Flow::default(),
            idle: Duration::ZERO,
            report: Duration::from_secs(3600),
        };
        let sent: Vec<u8> = (0..16u32 << 20).map(|n| (n % 251) as u8).collect();
        let (copy, mut back) = (sent.clone(), Vec::new());
        let work = async {
            let mut got = Vec::new();
            let write = async {
                client.write_all(&sent).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let read = async {
                // A slow start: the pipe fills, and the relay waits.
                tokio::task::yield_now().await;
                server.read_to_end(&mut got).await.unwrap();
                server.write_all(b"all").await.unwrap();
                drop(server);
            };
            tokio::join!(write, read);
            client.read_to_end(&mut back).await.unwrap();
            (got, back)
        };
        let mut clocks = Clocks::new();
        let ((got, back), step) = tokio::join!(work, relay.step(&mut clocks));
        assert!(matches!(step, Step::End(End::Complete)));
        assert!(got == copy, "{} of {} bytes, or other ones", got.len(), copy.len());
        assert_eq!(back, b"all");
        assert_eq!((relay.up.bytes, relay.down.bytes), (16 << 20, 3));
        assert!(relay.up.pipe.is_some(), "it went over to splice");
    }
}
