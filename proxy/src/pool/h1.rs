//! HTTP/1.1 connections: one request at a time, idle ones kept newest first.
//!
//! In: connections that `checkout` opened or that come back. Out: a [`Single`] lease, which returns its connection
//! only when that is still in order.

use std::rc::Rc;

use tokio::time::Instant;

use super::checkout::Slot;
use crate::h1::Conn;
use crate::upstream::Opened;

/// A checked-out connection. Dropped without [`Single::give_back`] it is closed.
pub struct Single {
    pub conn: Box<Conn>,
    pub opened: Rc<Opened>,
    /// It served a request before: its end without an answer may be the race with an idle timeout.
    pub reused: bool,
    pub(super) slot: Rc<Slot>,
}

/// An idle connection.
pub(super) struct Idle {
    pub(super) conn: Box<Conn>,
    pub(super) opened: Rc<Opened>,
    pub(super) since: Instant,
}

impl Single {
    /// Returns the connection after an exchange; it is kept, as idle since `now`, if another request may use it.
    pub fn give_back(mut self, now: Instant) {
        let fresh = self.slot.allows_more(&self.opened);
        if self.conn.is_reusable() && fresh {
            self.conn.release();
            let idle = Idle { conn: self.conn, opened: self.opened, since: now };
            self.slot.idle.borrow_mut().push(idle);
            self.slot.home.freed.notify_one();
        }
    }
}

impl Slot {
    /// The newest idle connection that still lives.
    pub(super) fn pop_idle(self: &Rc<Self>) -> Option<Single> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if !idle.conn.is_stale() && self.allows_more(&idle.opened) {
                idle.opened.served.set(idle.opened.served.get() + 1);
                return Some(Single {
                    conn: idle.conn,
                    opened: idle.opened,
                    reused: true,
                    slot: self.clone(),
                });
            }
        }
    }
}
