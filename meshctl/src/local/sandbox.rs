//! A pod that runs: its namespaces, and who waits for which of its processes.
//!
//! In: processes to start. Out: a handle per process that resolves when it ends. Exit events may overtake the one
//! who wants to wait for them, so both are kept until they meet.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::ground::{Ground, Inside};
use super::wall::{Exit, PodNet, Spawn};

/// Exits nobody has asked for yet; adopted grandchildren end here too.
const UNCLAIMED: usize = 256;

#[derive(Default)]
struct Exits {
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    unclaimed: VecDeque<Exit>,
    gone: bool,
}

/// A running pod.
pub struct Sandbox {
    inside: Inside,
    exits: Arc<Mutex<Exits>>,
}

/// A running process.
pub struct Process {
    /// Its number in the pod.
    pub pid: i32,
    end: oneshot::Receiver<Exit>,
}

impl Process {
    /// Waits for its end, once; `None` if the whole pod has gone.
    pub async fn wait(&mut self) -> Option<Exit> {
        (&mut self.end).await.ok()
    }
}

impl Sandbox {
    /// Makes the pod.
    pub async fn start(ground: &Ground, net: PodNet) -> Result<Self> {
        let (inside, events) = ground.pod(net).await?;
        let exits = Arc::new(Mutex::new(Exits::default()));
        tokio::spawn(distribute(events, Arc::clone(&exits)));
        Ok(Self { inside, exits })
    }

    /// Starts a process.
    pub async fn spawn(&self, spawn: Spawn, streams: [OwnedFd; 3]) -> Result<Process> {
        let pid = self.inside.spawn(spawn, streams).await?;
        let (sender, end) = oneshot::channel();
        let mut exits = self.exits.lock();
        match exits.unclaimed.iter().position(|exit| exit.pid == pid) {
            Some(at) => {
                if let Some(exit) = exits.unclaimed.remove(at) {
                    // The receiver is in our hands.
                    sender.send(exit).ok();
                }
            }
            None if exits.gone => {}
            None => drop(exits.waiting.insert(pid, sender)),
        }
        Ok(Process { pid, end })
    }

    /// Signals a process and its children; one that has ended is no error.
    pub async fn signal(&self, pid: i32, signal: i32) {
        self.inside.signal(pid, signal).await.ok();
    }

    /// Connects from inside.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        self.inside.connect(to).await
    }

    /// The namespaces, or what stands for them.
    #[must_use]
    pub fn inside(&self) -> &Inside {
        &self.inside
    }
}

async fn distribute(mut events: mpsc::UnboundedReceiver<Exit>, exits: Arc<Mutex<Exits>>) {
    while let Some(exit) = events.recv().await {
        let mut exits = exits.lock();
        match exits.waiting.remove(&exit.pid) {
            // Who no longer waits does not want to know.
            Some(waiter) => drop(waiter.send(exit)),
            None => {
                if exits.unclaimed.len() == UNCLAIMED {
                    exits.unclaimed.pop_front();
                }
                exits.unclaimed.push_back(exit);
            }
        }
    }
    let mut exits = exits.lock();
    exits.gone = true;
    exits.waiting.clear();
}
