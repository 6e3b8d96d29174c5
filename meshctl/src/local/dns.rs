//! The cluster's DNS: Services and pods by name, everything else from the host's resolver.
//!
//! In: questions on sockets of the node's network. Out: answers; names under `cluster.local` are answered from a
//! table that the reconciler replaces, others are passed to the resolvers of the host's `/etc/resolv.conf`.
//! Serves pods without a sidecar, and the proxies' own DNS as their upstream.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::RwLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::addresses::DNS;
use super::services::{Reach, ServiceView};
use super::wall::Node;

const DOMAIN: &str = "cluster.local";
const TTL: u32 = 5;
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const ANY: u16 = 255;
const NO_SUCH_NAME: u8 = 3;
const SERVER_FAILURE: u8 = 2;
/// How long one resolver of the host may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Addresses of both families.
    pub addresses: Vec<IpAddr>,
    /// Another name instead.
    pub alias: Option<String>,
}

/// All names of the mesh, in lower case without the last dot.
pub type Names = HashMap<String, Record>;

/// Names that the current Services give.
#[must_use]
pub fn names(services: &[ServiceView]) -> Names {
    let mut names = Names::new();
    for service in services {
        let name = format!("{}.{}.svc.{DOMAIN}", service.name, service.namespace);
        let mut record = Record::default();
        match &service.reach {
            Reach::Address(addresses) => record.addresses.clone_from(addresses),
            Reach::Name(alias) => record.alias = Some(alias.clone()),
            Reach::Headless => {
                for pod in service.pods.iter().filter(|pod| pod.ready && !pod.terminating) {
                    let mut addresses = vec![IpAddr::V4(pod.ip4)];
                    addresses.extend(pod.ip6.filter(|_| service.dual).map(IpAddr::V6));
                    if let Some((host, _)) =
                        pod.hostname.as_ref().filter(|(_, domain)| *domain == service.name)
                    {
                        let record = Record { addresses: addresses.clone(), alias: None };
                        names.insert(format!("{host}.{name}"), record);
                    }
                    record.addresses.extend(addresses);
                }
            }
        }
        names.insert(name, record);
    }
    names
}

/// The server.
pub struct Server {
    names: RwLock<Arc<Names>>,
    resolvers: Vec<SocketAddr>,
}

impl Server {
    /// Starts to serve on the node's DNS address.
    pub async fn start(node: &Node) -> Result<Arc<Self>> {
        let at = SocketAddr::new(DNS.into(), 53);
        let udp = Arc::new(node.udp(at).await?);
        let tcp = node.listen(at).await?;
        let server = Arc::new(Self { names: RwLock::default(), resolvers: resolvers() });
        tokio::spawn(Arc::clone(&server).serve_udp(udp));
        tokio::spawn(Arc::clone(&server).serve_tcp(tcp));
        Ok(server)
    }

    /// Replaces the table.
    pub fn set(&self, names: Names) {
        *self.names.write() = Arc::new(names);
    }

    async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; 4096];
        loop {
            // An error here is about an earlier answer that its asker did not wait for.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            let question = buffer[..length].to_vec();
            let (server, socket) = (Arc::clone(&self), Arc::clone(&socket));
            tokio::spawn(async move {
                if let Some(answer) = server.answer(&question, false).await {
                    socket.send_to(&answer, from).await.ok();
                }
            });
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            tokio::spawn(Arc::clone(&self).serve_stream(stream));
        }
    }

    async fn serve_stream(self: Arc<Self>, mut stream: TcpStream) {
        while let Ok(question) = read_framed(&mut stream).await {
            let Some(answer) = self.answer(&question, true).await else { return };
            if write_framed(&mut stream, &answer).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, message: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let question = Question::read(message)?;
        let names = Arc::clone(&self.names.read());
        let within = question.name == DOMAIN || question.name.ends_with(&format!(".{DOMAIN}"));
        if !within {
            return Some(
                self.forward(message, by_tcp)
                    .await
                    .unwrap_or_else(|| question.refuse(message, SERVER_FAILURE)),
            );
        }
        let Some(record) = names.get(&question.name) else {
            return Some(question.refuse(message, NO_SUCH_NAME));
        };
        let mut addresses = record.addresses.clone();
        if let Some(alias) = &record.alias {
            match names.get(alias) {
                Some(target) => addresses.clone_from(&target.addresses),
                None => addresses = self.look_up(alias, question.kind).await,
            }
        }
        Some(question.reply(message, record.alias.as_deref(), &addresses))
    }

    async fn forward(&self, message: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        for resolver in &self.resolvers {
            let asked = async {
                if by_tcp {
                    let mut stream = TcpStream::connect(resolver).await?;
                    write_framed(&mut stream, message).await?;
                    return read_framed(&mut stream).await;
                }
                let local: SocketAddr =
                    if resolver.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
                let socket = UdpSocket::bind(local).await?;
                socket.connect(resolver).await?;
                socket.send(message).await?;
                let mut buffer = vec![0; 4096];
                let length = socket.recv(&mut buffer).await?;
                buffer.truncate(length);
                Ok(buffer)
            };
            if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, asked).await {
                return Some(answer);
            }
        }
        None
    }

    /// Addresses of an outside name, for a Service that is only another name.
    async fn look_up(&self, name: &str, kind: u16) -> Vec<IpAddr> {
        let wanted = |address: &IpAddr| kind == ANY || (kind == A) == address.is_ipv4();
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await;
        let Ok(Ok(found)) = found else { return Vec::new() };
        found.map(|address| address.ip()).filter(wanted).collect()
    }
}

/// The resolvers of the host.
fn resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|rest| rest.trim().parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, 53)).collect()
}

async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// The first question of a message.
struct Question {
    name: String,
    kind: u16,
    /// Where it ends in the message.
    end: usize,
}

impl Question {
    fn read(message: &[u8]) -> Option<Self> {
        let questions = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
        let is_answer = message.get(2)? & 0x80 != 0;
        if questions != 1 || is_answer {
            return None;
        }
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // A question's name is never compressed.
            let label = message.get(at..at + length).filter(|_| length < 64)?;
            labels.push(String::from_utf8_lossy(label).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
        let end = at + 4;
        message.get(..end)?;
        Some(Self { name: labels.join("."), kind, end })
    }

    /// The head of an answer: same id and question.
    fn head(&self, message: &[u8], code: u8, answers: u16) -> Vec<u8> {
        let mut out = message[..self.end].to_vec();
        // An authoritative answer that keeps the wish for recursion, which is available.
        out[2] = 0x84 | (message[2] & 0x79);
        out[3] = 0x80 | code;
        out[6..8].copy_from_slice(&answers.to_be_bytes());
        out[8..12].fill(0);
        out
    }

    fn refuse(&self, message: &[u8], code: u8) -> Vec<u8> {
        self.head(message, code, 0)
    }

    fn reply(&self, message: &[u8], alias: Option<&str>, addresses: &[IpAddr]) -> Vec<u8> {
        let wanted = |address: &&IpAddr| match self.kind {
            A => address.is_ipv4(),
            AAAA => address.is_ipv6(),
            ANY => true,
            _ => false,
        };
        let addresses: Vec<&IpAddr> = addresses.iter().filter(wanted).collect();
        let count = addresses.len() + usize::from(alias.is_some());
        let mut out = self.head(message, 0, u16::try_from(count).unwrap_or(u16::MAX));
        // Addresses belong to the name asked for (offset 12), or to the alias behind it.
        let mut owner = vec![0xc0, 12];
        if let Some(alias) = alias {
            let mut target = Vec::new();
            for label in alias.split('.') {
                target.push(u8::try_from(label.len().min(63)).unwrap_or(63));
                target.extend(label.bytes().take(63));
            }
            target.push(0);
            record(&mut out, &owner, CNAME, &target);
            owner = target;
        }
        for address in addresses {
            match address {
                IpAddr::V4(v4) => record(&mut out, &owner, A, &v4.octets()),
                IpAddr::V6(v6) => record(&mut out, &owner, AAAA, &v6.octets()),
            }
        }
        out
    }
}

fn record(out: &mut Vec<u8>, owner: &[u8], kind: u16, data: &[u8]) {
    out.extend_from_slice(owner);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&TTL.to_be_bytes());
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message
    }

    async fn answer(names: Names, name: &str, kind: u16) -> (u8, u16, Vec<u8>) {
        let server = Server { names: RwLock::new(Arc::new(names)), resolvers: Vec::new() };
        let answer = server.answer(&ask(name, kind), false).await.unwrap();
        assert_eq!(answer[..2], [0x12, 0x34]);
        (answer[3] & 15, u16::from_be_bytes([answer[6], answer[7]]), answer)
    }

    #[tokio::test]
    async fn answers_by_family_and_denies_unknown_names() {
        let addresses: Vec<IpAddr> = vec!["10.96.1.0".parse().unwrap(), "fd00::1".parse().unwrap()];
        let record = Record { addresses, alias: None };
        let names = Names::from([("a.default.svc.cluster.local".to_owned(), record)]);
        let (code, count, message) = answer(names.clone(), "A.default.svc.cluster.local", A).await;
        assert_eq!((code, count, &message[message.len() - 4..]), (0, 1, &[10, 96, 1, 0][..]));
        assert_eq!(answer(names.clone(), "a.default.svc.cluster.local", AAAA).await.1, 1);
        assert_eq!(answer(names.clone(), "b.default.svc.cluster.local", A).await.0, NO_SUCH_NAME);
        assert_eq!(answer(names, "example.com", A).await.0, SERVER_FAILURE);
    }

    #[tokio::test]
    async fn an_alias_brings_the_addresses_of_its_target() {
        let target = Record { addresses: vec!["10.96.1.0".parse().unwrap()], alias: None };
        let alias = Record { addresses: Vec::new(), alias: Some("b.default.svc.cluster.local".into()) };
        let names = Names::from([
            ("b.default.svc.cluster.local".to_owned(), target),
            ("a.default.svc.cluster.local".to_owned(), alias),
        ]);
        assert_eq!(answer(names, "a.default.svc.cluster.local", A).await.1, 2);
    }
}
