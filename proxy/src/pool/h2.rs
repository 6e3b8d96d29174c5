//! HTTP/2 connections: one for each worker and endpoint; another only when streams run out or a window stalls,
//! so that one unread upload does not stop its neighbours.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::Instant;

use super::checkout::Slot;
use crate::config::H2Options;
use crate::fail::Failure;
use crate::io::{Guarded, Stream};
use crate::upstream::{NotOpen, Opened};

/// More connections than this to one endpoint do not help against stalled windows.
const MAX_SPLIT: usize = 8;

/// Every stream waits a moment for its first window; only who waits longer than this holds up others.
const STALL: Duration = Duration::from_millis(50);

/// A place on a shared connection.
pub struct Shared {
    pub send: SendRequest<Bytes>,
    pub opened: Rc<Opened>,
    pub(super) line: Rc<Line>,
}

/// One HTTP/2 connection.
pub(super) struct Line {
    send: RefCell<SendRequest<Bytes>>,
    pub(super) opened: Rc<Opened>,
    pub(super) streams: Cell<usize>,
    /// Uploads that wait for a window, and since when there are any.
    stalled: Cell<usize>,
    stalled_since: Cell<Instant>,
    /// No new requests: ended, told to go away, or too old.
    pub(super) closed: Cell<bool>,
    pub(super) idle_since: Cell<Instant>,
    max_streams: usize,
}

impl Shared {
    /// The connection takes no more requests.
    pub fn retire(&self) {
        self.line.closed.set(true);
    }

    /// An upload began or ceased to wait for its window.
    pub fn stalled(&self, waits: bool) {
        let before = self.line.stalled.get();
        if waits && before == 0 {
            self.line.stalled_since.set(Instant::now());
        }
        self.line.stalled.set(if waits { before + 1 } else { before.saturating_sub(1) });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let streams = self.line.streams.get() - 1;
        self.line.streams.set(streams);
        if streams == 0 {
            self.line.idle_since.set(Instant::now());
        }
    }
}

impl Line {
    fn room(&self) -> usize {
        let peer = self.send.borrow().current_max_send_streams();
        peer.min(self.max_streams).saturating_sub(self.streams.get())
    }

    fn is_stalled(&self) -> bool {
        self.stalled.get() > 0 && self.stalled_since.get().elapsed() >= STALL
    }

    fn lease(self: &Rc<Self>) -> Shared {
        self.streams.set(self.streams.get() + 1);
        self.opened.served.set(self.opened.served.get() + 1);
        Shared { send: self.send.borrow().clone(), opened: self.opened.clone(), line: self.clone() }
    }
}

impl Slot {
    /// A place on a connection that has room.
    pub(super) fn join(&self) -> Option<Shared> {
        let mut lines = self.lines.borrow_mut();
        lines.retain(|line| !line.closed.get());
        for line in lines.iter().filter(|line| !self.allows_more(&line.opened)) {
            line.closed.set(true);
        }
        let crowded = lines.len() >= MAX_SPLIT;
        let fits =
            |line: &&Rc<Line>| !line.closed.get() && line.room() > 0 && (crowded || !line.is_stalled());
        lines.iter().find(fits).map(Line::lease)
    }

    /// Starts HTTP/2 on a new connection and keeps it. The first place is the caller's, whatever the peer allows.
    pub(super) async fn start(
        &self,
        stream: Stream,
        opened: Rc<Opened>,
        options: H2Options,
    ) -> Result<Shared, NotOpen> {
        let handshake = h2::client::Builder::new()
            .initial_window_size(options.stream_window)
            // One unread download must not stop the others of its connection.
            .initial_connection_window_size(options.connection())
            .enable_push(false)
            .max_header_list_size(1 << 18)
            .header_table_size(options.header_table)
            .handshake(Guarded::client(stream, options.frames))
            .await;
        let (send, mut connection) = handshake.map_err(|error| NotOpen {
            failure: Failure::ConnectFailure,
            reason: Some(error.to_string().into()),
        })?;
        let line = Rc::new(Line {
            send: RefCell::new(send),
            opened,
            streams: Cell::new(0),
            stalled: Cell::new(0),
            stalled_since: Cell::new(Instant::now()),
            closed: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            max_streams: options.max_concurrent_streams as usize,
        });
        self.lines.borrow_mut().push(line.clone());
        let lease = line.lease();
        let pings = options.ping.zip(connection.ping_pong());
        tokio::task::spawn_local(async move {
            let end = tokio::select! {
                end = connection => end,
                // Dropping the connection resets its streams.
                () = answered(pings) => Ok(()),
            };
            line.closed.set(true);
            if let Err(error) = end {
                tracing::debug!(%error, peer = ?line.opened.peer, "upstream connection ended");
            }
        });
        Ok(lease)
    }
}

/// Pings for ever, or until an answer does not come in time.
async fn answered(pings: Option<((std::time::Duration, std::time::Duration), h2::PingPong)>) {
    let Some(((interval, timeout), mut pings)) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(interval).await;
        match tokio::time::timeout(timeout, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}
