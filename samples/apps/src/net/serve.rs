//! The server under every HTTP application. In: a listener, an application, and a future that says when to
//! end. Out: answered requests, HTTP/1.1 and HTTP/2 on the same port, and a line per request. Promises: once
//! told to end it accepts nothing more, lets answers under way finish for at most five seconds, and returns.

use super::access::{self, Seen};
use super::reply::{Reply, full};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::{conn::auto, graceful::GracefulShutdown};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

/// How long answers under way may take after the signal to end.
const GRACE: Duration = Duration::from_secs(5);

/// Where a server listens.
#[derive(Args, Clone, Debug, Default)]
pub struct Listen {
    /// Address to listen on [default: all, IPv4 and IPv6]
    #[arg(long, env = "BIND_IP", value_name = "IP")]
    bind: Option<IpAddr>,
    /// Port to listen on, as a flag instead of an argument
    #[arg(long = "port", id = "port_flag", value_name = "PORT")]
    pub port: Option<u16>,
    /// Whether to write a line per request
    #[arg(long, env = "ACCESS_LOG", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    access_log: bool,
}

impl Listen {
    /// Binds `port`: to the chosen address, else to all addresses of both families, or of IPv4 where
    /// this machine has no IPv6.
    pub async fn on(&self, port: u16) -> anyhow::Result<TcpListener> {
        access::turn(self.access_log);
        let port = self.port.unwrap_or(port);
        let bound = match self.bind {
            Some(ip) => TcpListener::bind((ip, port)).await,
            None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                Err(cause) if cause.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
                }
                bound => bound,
            },
        };
        bound.map_err(|cause| {
            let ip = self.bind.map_or_else(|| "*".to_owned(), |ip| ip.to_string());
            anyhow::anyhow!("cannot listen on {ip}:{port}: {cause}")
        })
    }
}

/// One request as an application sees it.
pub struct Call {
    /// Method, path, headers, body.
    pub request: Request<Incoming>,
    /// Who asks, an IPv4 address as such even on an IPv6 socket.
    pub peer: SocketAddr,
    /// What the TLS handshake said, if there was one.
    pub tls: Option<Arc<TlsFacts>>,
}

/// What a TLS handshake said.
#[derive(Debug, Default)]
pub struct TlsFacts {
    /// Server name the client asked for.
    pub sni: Option<String>,
    /// Application protocol agreed on.
    pub alpn: Option<String>,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// Number of certificates the client showed.
    pub client_certificates: usize,
}

/// An HTTP application.
pub trait App: Send + Sync + 'static {
    /// Answers one request. Errors are answers too.
    fn answer(self: Arc<Self>, call: Call) -> impl Future<Output = Reply> + Send;
}

/// Serves `app` on `listener` until `end`.
pub async fn serve<A: App>(
    listener: TcpListener,
    app: A,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    accept(listener, Arc::new(app), None, end).await;
    Ok(())
}

/// Serves `app` over TLS on `listener` until `end`.
pub async fn serve_tls<A: App>(
    listener: TcpListener,
    app: A,
    config: Arc<rustls::ServerConfig>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    accept(listener, Arc::new(app), Some(TlsAcceptor::from(config)), end).await;
    Ok(())
}

async fn accept<A: App>(
    listener: TcpListener,
    app: Arc<A>,
    tls: Option<TlsAcceptor>,
    end: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut end = std::pin::pin!(end);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    // Out of descriptors, or a peer gone already: neither ends the server.
                    eprintln!("accept: {cause}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        let (app, tls, watcher) = (app.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            match tls {
                None => answer_all(stream, Origin { peer, tls: None }, app, watcher).await,
                Some(acceptor) => match handshake(stream, &acceptor).await {
                    Ok((stream, facts)) => {
                        answer_all(stream, Origin { peer, tls: Some(Arc::new(facts)) }, app, watcher).await;
                    }
                    Err(cause) => eprintln!("{peer} tls handshake: {cause}"),
                },
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        eprintln!("ended with answers under way, after {} s", GRACE.as_secs());
    }
}

#[derive(Clone)]
struct Origin {
    peer: SocketAddr,
    tls: Option<Arc<TlsFacts>>,
}

async fn answer_all<A: App>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    origin: Origin,
    app: Arc<A>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let peer = SocketAddr::new(origin.peer.ip().to_canonical(), origin.peer.port());
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, tls) = (app.clone(), origin.tls.clone());
        async move {
            let seen = Seen::new(&request, peer.ip());
            let head = request.method() == Method::HEAD;
            let reply = app.answer(Call { request, peer, tls }).await;
            let reply = if head { without_body(reply) } else { reply };
            seen.write(&reply);
            Ok::<_, Infallible>(reply)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(cause) = watcher.watch(connection).await {
        // Peers that just go away are everyday life; what they broke is worth a line.
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            eprintln!("{peer} {cause}");
        }
    }
}

/// The answer to HEAD: the length, not the body. hyper sees to it in HTTP/1.1 only.
fn without_body(mut reply: Reply) -> Reply {
    if let Some(length) = reply.body().size_hint().exact() {
        reply.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    reply.map(|_| full(Bytes::new()))
}

async fn handshake(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> io::Result<(tokio_rustls::server::TlsStream<TcpStream>, TlsFacts)> {
    let stream = acceptor.accept(stream).await?;
    let (_, session) = stream.get_ref();
    let facts = TlsFacts {
        sni: session.server_name().map(str::to_owned),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        version: session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
        client_certificates: session.peer_certificates().map_or(0, <[_]>::len),
    };
    Ok((stream, facts))
}

/// Resolves when the process is asked to end: SIGTERM or SIGINT.
pub async fn ended() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// The name of the pod: HOSTNAME as Kubernetes sets it, else the machine's.
pub fn pod_name() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
