//! Requests that go on while a test changes something, and must all be answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::client::Ask;
use crate::until::eventually;

/// Requests through the gateway until told to stop; counts answers, keeps the first failure.
pub struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    workers: Vec<thread::JoinHandle<Option<String>>>,
}

impl Load {
    /// Two callers, each with a connection per request.
    pub fn start(to: SocketAddr, host: &'static str, path: &'static str) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let workers = (0..2)
            .map(|_| {
                let (stop, answers) = (stop.clone(), answers.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        match Ask::get(path).host(host).send(to) {
                            Ok(reply) if reply.status == 200 => answers.fetch_add(1, Ordering::Relaxed),
                            Ok(reply) => return Some(reply.to_string()),
                            Err(error) => return Some(error.to_string()),
                        };
                    }
                    None
                })
            })
            .collect();
        Load { stop, answers, workers }
    }

    /// Waits until `count` more requests were answered, or one failed.
    #[track_caller]
    pub fn more(&self, count: usize) {
        let target = self.answers.load(Ordering::Relaxed) + count;
        eventually("the load goes on", || {
            let now = self.answers.load(Ordering::Relaxed);
            if now >= target || self.workers.iter().any(thread::JoinHandle::is_finished) {
                Ok(())
            } else {
                Err(format!("{now} of {target} answers"))
            }
        });
    }

    /// Ends it; gives how many were answered.
    ///
    /// # Panics
    /// A request failed.
    #[track_caller]
    pub fn finish(self) -> usize {
        self.ended().unwrap_or_else(|failure| panic!("a request failed: {failure}"))
    }

    /// Ends it; gives how many were answered.
    ///
    /// # Errors
    /// The first failure of a caller, which asked no more.
    pub fn ended(self) -> Result<usize, String> {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().expect("a worker does not panic").map_or(Ok(()), Err)?;
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }
}
