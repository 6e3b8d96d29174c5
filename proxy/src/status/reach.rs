//! The application on the same machine, reached as interception lets it through.
//!
//! In: a port, a request. Out: a connection, the answer. Called by the probes, which take the pod's own address as
//! kubelets do, and by the metrics merger, which takes loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::{BindSource, EndpointAddress};
use crate::upstream::{DialPlan, TcpDialer};

/// Our calls to the application come from here: rules of interception know it, and leave them alone.
const DELIVERY: BindSource =
    BindSource { v4: Some(Ipv4Addr::new(127, 0, 0, 6)), v6: Some(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6)) };
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Knows the way.
#[derive(Clone)]
pub(super) struct Reach {
    dialer: TcpDialer,
    /// Where probes find the application.
    pod: Vec<IpAddr>,
}

impl Reach {
    /// `pod`: its address; none: loopback.
    pub(super) fn new(dialer: TcpDialer, pod: Option<IpAddr>) -> Self {
        Reach { dialer, pod: pod.map_or_else(|| LOOPBACK.to_vec(), |pod| vec![pod]) }
    }

    /// A connection for a probe, and the address that it is to.
    pub(super) async fn pod(&self, port: u16) -> Result<(TcpStream, SocketAddr), String> {
        self.first(&self.pod, port).await
    }

    /// A connection to what listens on loopback.
    pub(super) async fn local(&self, port: u16) -> Result<(TcpStream, SocketAddr), String> {
        self.first(&LOOPBACK, port).await
    }

    async fn first(&self, at: &[IpAddr], port: u16) -> Result<(TcpStream, SocketAddr), String> {
        let mut last = String::new();
        for address in at.iter().map(|ip| SocketAddr::new(*ip, port)) {
            // To loopback nothing is intercepted, and the application may ask who it is.
            let bind = if address.ip().is_loopback() { BindSource::default() } else { DELIVERY };
            match self.dial(address, bind).await {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(last)
    }

    async fn dial(&self, address: SocketAddr, bind: BindSource) -> io::Result<TcpStream> {
        let target = EndpointAddress::Ip(address);
        let plan = |bind| DialPlan { address: target.clone(), bind, borrowed: None, keepalive: None };
        match self.dialer.connect(address, &plan(bind)) {
            Ok(connecting) => connecting.await,
            // ::6 comes with interception. Without it nothing stands between us and the application.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                self.dialer.connect(address, &plan(BindSource::default()))?.await
            }
            Err(error) => Err(error),
        }
    }
}

/// One request over a connection; the answer with at most `limit` bytes of its body.
pub(super) async fn exchange<I>(
    io: I,
    host: &str,
    mut request: http::Request<Full<Bytes>>,
    limit: usize,
) -> Result<http::Response<Bytes>, String>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = HeaderValue::from_str(host).map_err(|e| e.to_string())?;
    request.headers_mut().entry(http::header::HOST).or_insert(host);
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = connected.map_err(|e| e.to_string())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.map_err(|e| e.to_string())?.into_parts();
        Ok(http::Response::from_parts(head, most(body, limit).await?))
    };
    tokio::pin!(exchange);
    tokio::select! {
        done = &mut exchange => done,
        _ = connection => exchange.await,
    }
}

async fn most(mut body: Incoming, limit: usize) -> Result<Bytes, String> {
    let mut all = BytesMut::new();
    while all.len() < limit {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame.map_err(|e| e.to_string())?.into_data() {
            all.extend_from_slice(&data);
        }
    }
    all.truncate(limit);
    Ok(all.freeze())
}
