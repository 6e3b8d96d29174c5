//! The threads of the data path.
//!
//! In: the shared [`Process`] and each thread's own end of its channels. Out: workers that serve connections, and the
//! accept thread with listening sockets and DNS. Each is a current-thread runtime and ends with its drain.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use base::drain;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc;

use crate::dice::Dice;
use crate::dns;
use crate::listen::{Admit, Fresh};
use crate::observe::{self, Ends, Shard};
use crate::process::Process;
use crate::settings::Source;
use crate::upstream::TcpDialer;
use crate::worker::{Parts, Worker};

/// Listening starts after this even if configuration is incomplete.
const WARM_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).with_context(|| format!("thread {name}"))
}

/// A runtime for one thread. Failing here means that the machine has no descriptors or memory left.
pub(super) fn runtime() -> std::io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())
}

/// What a worker thread takes with it.
pub(super) struct WorkerStart {
    pub(super) index: usize,
    pub(super) inbox: mpsc::UnboundedReceiver<Fresh>,
    pub(super) process: Arc<Process>,
    pub(super) introduction: Arc<crate::worker::Node>,
    pub(super) spans: mpsc::Sender<observe::Exported>,
    pub(super) dialer: TcpDialer,
    pub(super) drain: drain::Watch,
    /// A lone worker accepts its connections itself: handing them over would be two changes of thread for each.
    pub(super) acceptor: Option<Acceptor>,
}

/// Listening sockets and DNS, with what they need.
pub(super) struct Acceptor {
    pub(super) process: Arc<Process>,
    pub(super) names: base::Live<wire::nds::NameTable>,
    pub(super) dialer: TcpDialer,
    pub(super) watch: drain::Watch,
}

/// The life of a worker thread.
pub(super) fn work(start: WorkerStart) {
    let WorkerStart { index, mut inbox, process, introduction, spans, dialer, drain, acceptor } = start;
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, index, "a worker could not start"),
    };
    let mut end = drain.clone();
    runtime.block_on(async {
        let ends = Ends { own: process.own.clone(), sinks: process.sinks.clone(), spans };
        let shard = Shard::new(ends, process.registry.store());
        let worker = Worker::new(Parts {
            index,
            config: process.config.reader(),
            dialer: Rc::new(dialer),
            secrets: process.secrets.clone(),
            observer: shard.clone(),
            drain,
            overload: process.overload.clone(),
            node: introduction,
            dice: Dice::random(),
        });
        let admit = Admit::new(worker, process.listener_stats.clone(), shard.clone());
        tokio::task::spawn_local(shard.clone().flush_for_ever());
        if let Some(acceptor) = acceptor {
            tokio::task::spawn_local(acceptor.run());
        }
        loop {
            tokio::select! {
                fresh = inbox.recv() => match fresh {
                    Some(fresh) => drop(tokio::task::spawn_local(admit.clone().run(fresh))),
                    None => break,
                },
                () = end.immediate() => break,
            }
        }
        // Connections that heard the end write their last lines within this.
        tokio::time::sleep(Duration::from_millis(50)).await;
        shard.flush();
    });
}

impl Acceptor {
    /// A thread of its own, for several workers.
    pub(super) fn start(self) -> anyhow::Result<JoinHandle<()>> {
        thread("accept", move || match runtime() {
            Ok(runtime) => runtime.block_on(self.run()),
            Err(error) => tracing::error!(%error, "the acceptor could not start"),
        })
    }

    async fn run(self) {
        let Acceptor { process, names, dialer, watch: mut end } = self;
        if let Source::Agent(agent) = &process.settings.source {
            for address in &agent.ports.dns {
                let settings = dns::Settings::of(agent, *address, dialer.mark);
                dns::start(settings, names.clone(), process.dns.clone());
            }
        }
        let listeners = process.listeners.clone();
        let follow = async {
            warm(&process).await;
            listeners.follow(process.config.clone(), process.places.clone()).await;
        };
        tokio::select! {
            () = follow => {}
            () = end.immediate() => {}
        }
    }
}

/// Listening before routes have come would answer 404 to the first requests.
async fn warm(process: &Process) {
    let Some(session) = &process.session else { return };
    let mut reader = session.reader();
    let work = async {
        while !reader.load().warm {
            reader.changed().await;
        }
    };
    if tokio::time::timeout(WARM_LIMIT, work).await.is_err() {
        tracing::warn!("configuration is incomplete; listening on what there is");
    }
}
