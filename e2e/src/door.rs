//! A door in front of a server: what connects to it gets through, until it is closed. Closing cuts what is open.
//!
//! For tests of what happens while a server is away, where the server itself must serve everybody else.

use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The door. It is there as long as the test program lives.
pub struct Door {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    closed: bool,
    streams: Vec<TcpStream>,
}

impl Door {
    /// An open door to `server`, `HOST:PORT`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, server) = (state.clone(), server.to_owned());
        std::thread::spawn(move || {
            for inner in listener.incoming().flatten() {
                // Who finds it closed, or nobody behind it, is cut off: that is what a test wants to see.
                pass(&inner, &server, &shared).ok();
            }
        });
        Door { address, state }
    }

    /// Cuts everything that is open and lets nobody in.
    ///
    /// # Panics
    /// Never: nothing panics while it has the lock.
    pub fn close(&self) {
        let mut state = self.state.lock().expect("nothing panics with it");
        state.closed = true;
        for stream in state.streams.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Lets everybody in again.
    ///
    /// # Panics
    /// Never: nothing panics while it has the lock.
    pub fn open(&self) {
        self.state.lock().expect("nothing panics with it").closed = false;
    }
}

fn pass(inner: &TcpStream, server: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut state = state.lock().expect("nothing panics with it");
    if state.closed {
        return inner.shutdown(Shutdown::Both);
    }
    let outer = TcpStream::connect(server)?;
    state.streams.extend([inner.try_clone()?, outer.try_clone()?]);
    for (from, to) in [(inner, &outer), (&outer, inner)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        std::thread::spawn(move || {
            copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
    }
    Ok(())
}
