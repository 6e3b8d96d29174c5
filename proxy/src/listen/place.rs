//! Which worker gets a connection: the one with the fewest.
//!
//! In: accepted sockets that no runtime knows yet. Out: each in the inbox of one worker. Left to the kernel's hash, a
//! few long HTTP/2 connections would fall on the same core. Called by `accept`; the worker side is `admit`.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct Fresh {
    /// Non-blocking, not registered with any runtime.
    pub socket: TcpStream,
    /// Name of the listener that accepted it.
    pub listener: Arc<str>,
    pub peer: SocketAddr,
    /// Our address as the socket says.
    pub local: SocketAddr,
    /// Counts for the worker until dropped.
    pub seat: Occupied,
}

/// One connection's place at a worker.
#[derive(Debug)]
pub struct Occupied(Arc<AtomicUsize>);

impl Occupied {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Occupied(load.clone())
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Worker {
    inbox: mpsc::UnboundedSender<Fresh>,
    load: Arc<AtomicUsize>,
}

/// The workers as seen from the acceptors.
#[derive(Default)]
pub struct Places {
    workers: Vec<Worker>,
    next: AtomicUsize,
    paused: AtomicBool,
}

impl Places {
    /// Inboxes of `count` workers, and the sending side of them all.
    pub fn new(count: usize) -> (Arc<Self>, Vec<mpsc::UnboundedReceiver<Fresh>>) {
        let (workers, inboxes) = (0..count.max(1))
            .map(|_| {
                let (inbox, receiver) = mpsc::unbounded_channel();
                (Worker { inbox, load: Arc::default() }, receiver)
            })
            .unzip();
        (Arc::new(Places { workers, ..Places::default() }), inboxes)
    }

    /// Hands a connection to the least loaded worker; equals take turns. False if that worker is gone.
    pub fn place(&self, socket: TcpStream, listener: Arc<str>, peer: SocketAddr, local: SocketAddr) -> bool {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.workers.len();
        let turn = (0..count).filter_map(|i| self.workers.get((start + i) % count));
        let Some(worker) = turn.min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else {
            return false;
        };
        let seat = Occupied::new(&worker.load);
        worker.inbox.send(Fresh { socket, listener, peer, local, seat }).is_ok()
    }

    /// Whether new connections wait in the kernel.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// See [`Places::pause`].
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Connections that are open, all workers together.
    pub fn active(&self) -> usize {
        self.workers.iter().map(|worker| worker.load.load(Ordering::Relaxed)).sum()
    }

    /// Number of workers.
    pub fn count(&self) -> usize {
        self.workers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_worker_gets_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (places, mut inboxes) = Places::new(3);
        let place = || {
            let socket = TcpStream::connect(address).unwrap();
            assert!(places.place(socket, "l".into(), address, address));
        };
        let mut held: Vec<Vec<Fresh>> = vec![Vec::new(), Vec::new(), Vec::new()];
        let mut collect = |held: &mut Vec<Vec<Fresh>>| {
            for (inbox, held) in inboxes.iter_mut().zip(held) {
                while let Ok(fresh) = inbox.try_recv() {
                    held.push(fresh);
                }
            }
        };
        (0..6).for_each(|_| place());
        collect(&mut held);
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        held[1].clear();
        (0..2).for_each(|_| place());
        collect(&mut held);
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(places.active(), 6);
    }
}
