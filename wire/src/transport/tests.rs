//! Both doors over one connection in memory, and encodings against prost's own.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::io::DuplexStream;

use super::*;
use crate::pb::envoy::config::cluster::v3::Cluster;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use crate::{Kind, Node, Reject, Resource, delta, sotw};

fn node() -> Node {
    Node::new("sidecar~10.0.0.1~a.default~default.svc.cluster.local".parse().unwrap())
}

fn cluster(name: &str, size: usize) -> Arc<Resource> {
    let message = Cluster { name: name.into(), alt_stat_name: "x".repeat(size), ..Cluster::default() };
    Arc::new(Resource::of(Kind::Cluster, name, &message, size as u128))
}

/// An ADS server with these clusters; hands every session's reports to the test.
async fn serve(
    io: DuplexStream,
    set: Vec<Arc<Resource>>,
    reports: tokio::sync::mpsc::UnboundedSender<delta::Report>,
) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (set, reports) = (set.clone(), reports.clone());
        async move {
            let (session, response) = match accept(request, &"test".into()) {
                Ok(opened) => opened,
                Err(response) => return Ok::<_, std::convert::Infallible>(*response),
            };
            tokio::spawn(async move {
                match session {
                    Session::Delta(mut inbound, responder) => {
                        let mut server = delta::Server::new();
                        server.offer(Kind::Cluster, &set);
                        let mut introduced = false;
                        while let Some(message) = inbound.next().await {
                            let message = message.unwrap();
                            introduced |= message.node.is_some();
                            assert!(introduced);
                            for report in server.received(&message.request) {
                                reports.send(report).unwrap();
                            }
                            server.drain().iter().for_each(|response| assert!(responder.send(response)));
                        }
                        responder.finish(tonic::Status::permission_denied("that is all"));
                    }
                    Session::Sotw(mut inbound, responder) => {
                        let mut server = sotw::Server::new();
                        server.offer(Kind::Cluster, &set);
                        while let Some(Ok(message)) = inbound.next().await {
                            server.received(&message.request);
                            server.drain().iter().for_each(|response| assert!(responder.send(response)));
                        }
                    }
                }
            });
            Ok(response)
        }
    });
    drop(http2().serve_connection(TokioIo::new(io), service).await);
}

async fn pair(set: Vec<Arc<Resource>>) -> (Channel, tokio::sync::mpsc::UnboundedReceiver<delta::Report>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (sender, reports) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(serve(far, set, sender));
    let channel = Channel::connect(near, &http::Uri::from_static("http://istiod:15010")).await.unwrap();
    (channel, reports)
}

#[tokio::test]
async fn delta_end_to_end_with_large_and_small_resources() {
    // The large one is far above the initial windows and gRPC's 4 MiB.
    let (channel, mut reports) = pair(vec![cluster("big", 9 << 20), cluster("small", 3)]).await;
    let node = node().to_proto();
    let mut client = delta::Client::new();
    client.subscribe_all(Kind::Cluster);
    client.connected();
    let mut stream = channel.delta(http::HeaderMap::new());
    stream.flush(&mut client, &node);
    let accepted = client.received(stream.next().await.unwrap());
    let sizes: Vec<usize> =
        accepted.resources.iter().map(|r| r.decode::<Cluster>().unwrap().alt_stat_name.len()).collect();
    assert_eq!(sizes, [9 << 20, 3]);
    client.nack(&accepted, &[Reject::new(Kind::Cluster, "small", "name", "too small")]);
    stream.flush(&mut client, &node);
    assert_eq!(reports.recv().await.unwrap(), delta::Report::Asked { kind: Kind::Cluster, held: 0 });
    let delta::Report::Nack { error, .. } = reports.recv().await.unwrap() else { panic!("not a NACK") };
    assert_eq!(error.message, "cds small: name: too small");
    assert_eq!(client.held(Kind::Cluster).count(), 1);
}

#[tokio::test]
async fn state_of_the_world_end_to_end() {
    let (channel, _reports) = pair(vec![cluster("a", 1), cluster("b", 5000)]).await;
    let mut client = sotw::Client::new();
    client.subscribe_all(Kind::Cluster);
    client.connected();
    let mut stream = channel.sotw(http::HeaderMap::new());
    stream.flush(&mut client, &node().to_proto());
    let accepted = client.received(stream.next().await.unwrap());
    let names: Vec<&str> = accepted.resources.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["a", "b"]);
    client.ack(&accepted);
}

#[tokio::test]
async fn the_end_of_a_stream_is_told() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = service_fn(|request: http::Request<Incoming>| async move {
        let (session, response) = accept(request, &"".into()).map_err(|_| "refused")?;
        let Session::Delta(_, responder) = session else { return Err("sotw") };
        responder.finish(tonic::Status::unauthenticated("who are you? 100%"));
        Ok(response)
    });
    tokio::spawn(async move { drop(http2().serve_connection(TokioIo::new(far), service).await) });
    let channel = Channel::connect(near, &http::Uri::from_static("http://istiod")).await.unwrap();
    let mut stream = channel.delta(http::HeaderMap::new());
    let status = stream.next().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::Unauthenticated, "who are you? 100%"));
    assert!(stream.next().await.is_err());
}

#[test]
fn hand_written_responses_are_what_prost_reads() {
    let mut aliased = Resource::clone(&cluster("b", 6000));
    aliased.aliases = vec!["other".into()];
    let response = delta::Response {
        kind: Kind::Cluster,
        resources: vec![cluster("a", 1), Arc::new(aliased)],
        removed: vec!["gone".into()],
        nonce: "n1".into(),
    };
    let pieces = encode::delta_response(&response, "pilot-1");
    assert!(pieces.len() > 2, "large resources are shared, not copied");
    let bytes: Bytes = pieces.concat().into();
    let read = DeltaDiscoveryResponse::decode(&bytes[5..]).unwrap();
    assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
    assert_eq!(read.control_plane.as_ref().unwrap().identifier, "pilot-1");
    assert_eq!(read.nonce, "n1");
    assert_eq!(
        (read.type_url.as_str(), &read.removed_resources[..]),
        (Kind::Cluster.type_url(), &["gone".into()][..])
    );
    assert_eq!(read.resources[1].aliases, ["other"]);
    assert_eq!(read.resources[1].resource.as_ref().unwrap().value, response.resources[1].bytes);
    let back = encode::read_delta_response(&bytes.slice(5..)).unwrap().unwrap();
    assert_eq!(back.resources[1].version, response.resources[1].version);
    assert_eq!(back.removed, response.removed);

    let response = sotw::Response {
        kind: Kind::Cluster,
        resources: response.resources,
        version: "v".into(),
        nonce: "n".into(),
    };
    let bytes: Bytes = encode::sotw_response(&response, "p").concat().into();
    let read = DiscoveryResponse::decode(&bytes[5..]).unwrap();
    assert_eq!((read.version_info.as_str(), read.nonce.as_str(), read.resources.len()), ("v", "n", 2));
    let back = encode::read_sotw_response(&bytes.slice(5..)).unwrap().unwrap();
    assert_eq!(&*back.resources[1].name, "b");
}

#[test]
fn hostile_bytes_are_errors() {
    for bytes in [&[0x12, 0xff][..], &[0xff; 12], &[0x22, 0x01, 0xff], &[0x12, 0x02, 0x12, 0x7f]] {
        let bytes = Bytes::copy_from_slice(bytes);
        if let Ok(Some(response)) = encode::read_delta_response(&bytes) {
            panic!("{response:?}");
        }
        drop(encode::read_sotw_response(&bytes));
    }
}
