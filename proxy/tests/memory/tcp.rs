//! TCP connections.

use std::sync::Arc;
use std::time::Duration;

use proxy::config::*;
use proxy::fail::Failure;
use proxy::worker::Moment;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::support::*;

fn tcp(slot: u32) -> Arc<TcpChain> {
    Arc::new(TcpChain {
        stat_prefix: "test".into(),
        targets: vec![(ClusterSlot(slot), 1)],
        idle_timeout: Duration::from_secs(100),
        access_logs: Vec::new(),
        stats: true,
        sni_cluster: false,
        hash_source_ip: false,
    })
}

fn connect(mesh: &Mesh, chain: Arc<TcpChain>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(PIPE);
    let served = served(far, App::Tcp(chain.clone()), mesh.drain.watch());
    tokio::task::spawn_local(proxy::tcp::serve(mesh.worker.clone(), served, chain));
    near
}

#[test]
fn bytes_go_both_ways_and_each_side_may_end_first() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            let mut all = Vec::new();
            io.read_to_end(&mut all).await.unwrap();
            io.write_all(format!("got {}", all.len()).as_bytes()).await.unwrap();
        });
        let mut io = connect(&mesh, tcp(0));
        io.write_all(&vec![b'x'; 300_000]).await.unwrap();
        io.shutdown().await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "got 300000");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = mesh.told.connections.borrow();
        assert_eq!(told[0], (Moment::Opened, 0, 0, vec![]));
        assert_eq!(*told.last().unwrap(), (Moment::Closed, 300_000, 10, vec![]));
    });
}

#[test]
fn busy_connections_report_and_idle_ones_end() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            let mut buf = [0; 1024];
            while let Ok(n @ 1..) = io.read(&mut buf).await {
                io.write_all(&buf[..n]).await.unwrap();
            }
        });
        let mut io = connect(&mesh, tcp(0));
        let begun = tokio::time::Instant::now();
        for _ in 0..12 {
            io.write_all(b"ping").await.unwrap();
            io.read_exact(&mut [0; 4]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let progress = |told: &[(Moment, u64, u64, Vec<Failure>)]| {
            told.iter().filter(|told| told.0 == Moment::Progress).count()
        };
        assert_eq!(progress(&mesh.told.connections.borrow()), 2);
        assert_eq!(io.read(&mut [0; 4]).await.unwrap(), 0);
        assert!((100..130).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!(mesh.told.connections.borrow().last().unwrap().0, Moment::Closed);
    });
}

#[test]
fn failures_close_the_connection() {
    run(async {
        let mesh = mesh(Setup::default());
        for (slot, failure) in
            [(0, Failure::ConnectFailure), (1, Failure::NoHealthyUpstream), (2, Failure::NoCluster)]
        {
            let mut io = connect(&mesh, tcp(slot));
            assert_eq!(io.read(&mut [0; 4]).await.unwrap(), 0);
            tokio::task::yield_now().await;
            assert_eq!(mesh.told.connections.borrow().last().unwrap().3, [failure]);
        }
    });
}
