//! The DNS server: UDP and TCP on one address.
//!
//! In: questions from the application, the live name table. Out: answers. A name of the mesh is answered here, with an
//! empty answer where it has no address of the asked family; everything else is forwarded. A message that does not
//! parse is forwarded too: the resolver knows better what it is.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use wire::nds::NameTable;

use super::table::{Found, Table};
use super::{Counters, Settings, forward};

/// Seconds that an answer of ours may be remembered.
const TTL: u32 = 30;
/// An idle TCP client is let go.
const IDLE: Duration = Duration::from_secs(10);
/// What fits without EDNS.
const PLAIN_UDP: usize = 512;

struct Server {
    settings: Settings,
    table: base::Reader<NameTable>,
    built: std::cell::RefCell<(Option<Arc<NameTable>>, Arc<Table>)>,
    counters: Arc<Counters>,
    turn: std::cell::Cell<usize>,
}

/// Starts serving on the current thread's runtime.
pub fn start(settings: Settings, names: base::Live<NameTable>, counters: Arc<Counters>) {
    let server = Rc::new(Server {
        settings,
        table: names.reader(),
        built: std::cell::RefCell::default(),
        counters,
        turn: std::cell::Cell::new(0),
    });
    let address = server.settings.listen;
    let udp = server.clone();
    tokio::task::spawn_local(async move { ended(address, "UDP", udp.udp().await) });
    tokio::task::spawn_local(async move { ended(address, "TCP", server.tcp().await) });
}

fn ended(address: std::net::SocketAddr, protocol: &str, outcome: io::Result<()>) {
    let Err(error) = outcome else { return };
    // A pod without IPv6 has no use for the other one.
    let absent = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::Unsupported].contains(&error.kind());
    if address.is_ipv6() && (absent || error.raw_os_error() == Some(libc::EAFNOSUPPORT)) {
        tracing::debug!(%address, %error, protocol, "no DNS here");
    } else {
        tracing::error!(%address, %error, protocol, "no DNS here");
    }
}

impl Server {
    async fn udp(self: Rc<Self>) -> io::Result<()> {
        let socket = Rc::new(UdpSocket::bind(self.settings.listen).await?);
        tracing::info!(address = %self.settings.listen, "serving DNS");
        let mut buffer = vec![0; 4096];
        loop {
            // Errors here are ICMP answers to earlier sends.
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
            let question = buffer.get(..length).unwrap_or_default().to_vec();
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            if let Some(answer) = self.answer(&question, true) {
                drop(socket.send_to(&answer, peer).await);
                continue;
            }
            let (server, socket) = (self.clone(), socket.clone());
            tokio::task::spawn_local(async move {
                if let Some(answer) = server.forward(&question, true).await {
                    drop(socket.send_to(&answer, peer).await);
                }
            });
        }
    }

    async fn tcp(self: Rc<Self>) -> io::Result<()> {
        let listener = TcpListener::bind(self.settings.listen).await?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    // A client that leaves in the middle is its own affair.
                    tokio::task::spawn_local(async move { drop(server.connection(stream).await) });
                }
                Err(error) => {
                    tracing::debug!(%error, "DNS over TCP: accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let length = match tokio::time::timeout(IDLE, stream.read_u16()).await {
                Ok(length) => length?,
                Err(_) => return Ok(()),
            };
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await?;
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            let answer = match self.answer(&question, false) {
                Some(answer) => Some(answer),
                None => self.forward(&question, false).await,
            };
            let Some(answer) = answer else { return Ok(()) };
            let length = u16::try_from(answer.len()).map_err(|_| io::Error::other("answer too long"))?;
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&answer).await?;
        }
    }

    /// The table in force, expanded when it changed.
    fn table(&self) -> Arc<Table> {
        let now = self.table.load();
        let mut built = self.built.borrow_mut();
        if built.0.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &now)) {
            let settings = &self.settings;
            let table = Arc::new(Table::new(&now, &settings.namespace, &settings.domain, &settings.search));
            *self.counters.table.lock() = Some(table.clone());
            *built = (Some(now), table);
        }
        built.1.clone()
    }

    fn answer(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        reply(&self.table(), question, udp, turn)
    }

    async fn forward(&self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        let settings = &self.settings;
        for resolver in &settings.resolvers {
            self.counters.upstream_requests.fetch_add(1, Ordering::Relaxed);
            let work = async {
                if udp {
                    forward::udp(*resolver, settings.mark, question).await
                } else {
                    forward::tcp(*resolver, settings.mark, question).await
                }
            };
            match tokio::time::timeout(settings.timeout, work).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%resolver, %error, "resolver failed"),
                Err(_) => tracing::debug!(%resolver, "resolver did not answer in time"),
            }
            self.counters.upstream_failures.fetch_add(1, Ordering::Relaxed);
        }
        let message = Message::from_vec(question).ok()?;
        let mut failure = Message::response(message.metadata.id, message.metadata.op_code);
        failure.metadata.response_code = ResponseCode::ServFail;
        failure.metadata.recursion_desired = message.metadata.recursion_desired;
        failure.queries = message.queries;
        failure.to_vec().ok()
    }
}

/// The answer to a question as it came, if it is about a name of ours. `turn` says which address comes first. Pure.
pub fn reply(table: &Table, question: &[u8], udp: bool, turn: usize) -> Option<Vec<u8>> {
    let message = Message::from_vec(question).ok()?;
    let limit = if udp { usize::from(message.max_payload()).max(PLAIN_UDP) } else { usize::from(u16::MAX) };
    let response = respond(table, &message, turn)?;
    match response.to_vec() {
        Ok(bytes) if bytes.len() <= limit => Some(bytes),
        Ok(_) => response.truncate().to_vec().ok(),
        Err(_) => None,
    }
}

/// The answer to a question about a name of ours; `None`: not ours. Pure.
fn respond(table: &Table, message: &Message, turn: usize) -> Option<Message> {
    let [query] = message.queries.as_slice() else { return None };
    let meta = &message.metadata;
    if meta.message_type != MessageType::Query || query.query_class() != DNSClass::IN {
        return None;
    }
    let asked = query.name().to_ascii();
    let Found { alias, addresses } = table.lookup(&asked)?;
    let mut response = Message::response(meta.id, meta.op_code);
    response.metadata.authoritative = true;
    response.metadata.recursion_desired = meta.recursion_desired;
    response.metadata.recursion_available = true;
    response.queries = message.queries.clone();
    let mut owner = query.name().clone();
    if let Some(alias) = alias {
        let target = Name::from_ascii(format!("{alias}.")).ok()?;
        response.add_answer(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(target.clone()))));
        owner = target;
    }
    let kind = query.query_type();
    let mut records: Vec<Record> = addresses
        .iter()
        .filter_map(|ip| match (ip, kind) {
            (IpAddr::V4(ip), RecordType::A | RecordType::ANY) => Some(RData::A(A(*ip))),
            (IpAddr::V6(ip), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(*ip))),
            _ => None,
        })
        .map(|data| Record::from_rdata(owner.clone(), TTL, data))
        .collect();
    if !records.is_empty() {
        // Clients take the first: each gets another one first.
        let by = turn % records.len();
        records.rotate_left(by);
    }
    response.add_answers(records);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;
    use wire::nds::NameInfo;

    fn names() -> NameTable {
        let entry = NameInfo {
            ips: vec!["10.96.0.1".into(), "10.96.0.2".into(), "fd00::1".into()],
            registry: "Kubernetes".into(),
            shortname: "web".into(),
            namespace: "default".into(),
            alt_hosts: Vec::new(),
        };
        NameTable { table: [("web.default.svc.cluster.local".to_owned(), entry)].into() }
    }

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn settings(resolver: std::net::SocketAddr, listen: std::net::SocketAddr) -> Settings {
        Settings {
            listen,
            resolvers: vec![resolver],
            search: vec!["default.svc.cluster.local".into()],
            timeout: Duration::from_secs(5),
            mark: None,
            namespace: "default".into(),
            domain: "default.svc.cluster.local".into(),
        }
    }

    #[test]
    fn answers_by_family_and_in_turn() {
        let table = Table::new(&names(), "default", "default.svc.cluster.local", &[]);
        let ask = |kind, turn| respond(&table, &question("web.", kind), turn).unwrap().answers;
        let first = |answers: &[Record]| answers[0].data.clone();
        assert_eq!(ask(RecordType::A, 0).len(), 2);
        assert_ne!(first(&ask(RecordType::A, 0)), first(&ask(RecordType::A, 1)));
        assert_eq!(ask(RecordType::AAAA, 0).len(), 1);
        assert_eq!(ask(RecordType::TXT, 0).len(), 0);
        assert!(respond(&table, &question("example.org.", RecordType::A), 0).is_none());
    }

    #[tokio::test]
    async fn serves_ours_and_forwards_the_rest() {
        // A resolver that answers every question with a refusal.
        let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let upstream = resolver.local_addr().unwrap();
        let answering = async {
            let mut buffer = [0; 512];
            let (length, peer) = resolver.recv_from(&mut buffer).await.unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
            answer.metadata.response_code = ResponseCode::Refused;
            resolver.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        };
        let spare = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let counters = Arc::new(Counters::default());
                start(settings(upstream, spare), base::Live::new(names()), counters.clone());
                let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                client.connect(spare).await.unwrap();
                let mut buffer = [0; 512];
                let asked = question("web.default.svc.cluster.local.", RecordType::A).to_vec().unwrap();
                // The server's socket may not be bound yet.
                let length = loop {
                    drop(client.send(&asked).await);
                    let wait = tokio::time::timeout(Duration::from_millis(100), client.recv(&mut buffer));
                    if let Ok(Ok(length)) = wait.await {
                        break length;
                    }
                };
                assert_eq!(Message::from_vec(&buffer[..length]).unwrap().answers.len(), 2);
                let mut asked = question("example.org.", RecordType::A);
                asked.metadata.id = 8;
                client.send(&asked.to_vec().unwrap()).await.unwrap();
                let receive = async {
                    // Answers to repeated questions above may still come.
                    loop {
                        let length = client.recv(&mut buffer).await.unwrap();
                        let answer = Message::from_vec(&buffer[..length]).unwrap();
                        if answer.metadata.id == 8 {
                            return answer;
                        }
                    }
                };
                let (answer, ()) = tokio::join!(receive, answering);
                assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
                assert_eq!(counters.upstream_requests.load(Ordering::Relaxed), 1);
            })
            .await;
    }
}
