//! An origin that speaks HTTP/2 without TLS and answers as gRPC servers do, independent of the code under test. The method
//! decides: `Say` answers what it was sent, `Stream` each piece at once, `Fail` with the status of `x-status` and no
//! body, `Late` with that status after a body, `Slow` after `x-ms`, `Reset`, `Refuse` and `Cut` break off, `Flaky` is
//! unavailable as often as `x-times` says. What was asked comes back in the header `x-saw`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

type Failures = Rc<RefCell<HashMap<String, u32>>>;

/// Starts one; it lives as long as the test program.
///
/// # Panics
/// When there is no free port.
pub fn start() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    listener.set_nonblocking(true).expect("a socket can be asked not to block");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
            let failures = Failures::default();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(connection(stream, failures.clone()));
            }
        });
    });
    address
}

async fn connection(stream: tokio::net::TcpStream, failures: Failures) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let failures = failures.clone();
        // A client that goes away is no failure of the origin.
        tokio::task::spawn_local(async move { answer(request, respond, &failures).await.ok() });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    failures: &Failures,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let of = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    head.headers_mut().insert("x-saw", saw(&parts));
    let method = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let status = HeaderValue::from_str(of("x-status")).unwrap_or(HeaderValue::from_static("0"));
    match method {
        "Fail" => return fail(head, respond, status),
        "Flaky" => {
            let key = format!("{} {}", of("x-key"), of("x-plane"));
            let failed = *failures.borrow_mut().entry(key).and_modify(|n| *n += 1).or_insert(1);
            if failed <= of("x-times").parse().unwrap_or(0) {
                return fail(head, respond, HeaderValue::from_static("14"));
            }
        }
        "Reset" => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        "Refuse" => {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        "Slow" => tokio::time::sleep(Duration::from_millis(of("x-ms").parse().unwrap_or(0))).await,
        _ => {}
    }
    if method == "Stream" {
        let mut send = respond.send_response(head, false)?;
        while let Some(piece) = next(&mut body).await? {
            send.send_data(piece, false)?;
        }
        return end(&mut send, &mut body, status).await;
    }
    let mut all = Vec::new();
    while let Some(piece) = next(&mut body).await? {
        all.extend_from_slice(&piece);
    }
    let mut send = respond.send_response(head, false)?;
    send.send_data(all.into(), false)?;
    if method == "Cut" {
        // The data has to be on its way before the end of the stream.
        tokio::time::sleep(Duration::from_millis(20)).await;
        send.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    end(&mut send, &mut body, status).await
}

/// Status in the only head: trailers without a body.
fn fail(
    mut head: Response<()>,
    mut respond: SendResponse<Bytes>,
    status: HeaderValue,
) -> Result<(), h2::Error> {
    head.headers_mut().insert("grpc-status", status);
    head.headers_mut().insert("grpc-message", HeaderValue::from_static("as asked"));
    respond.send_response(head, true).map(drop)
}

async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(piece) = body.data().await else { return Ok(None) };
    let piece = piece?;
    body.flow_control().release_capacity(piece.len())?;
    Ok(Some(piece))
}

/// Trailers: the status, and those of the request.
async fn end(
    send: &mut SendStream<Bytes>,
    body: &mut RecvStream,
    status: HeaderValue,
) -> Result<(), h2::Error> {
    let mut trailers = HeaderMap::new();
    for (name, value) in body.trailers().await?.unwrap_or_default() {
        let name = name.and_then(|name| HeaderName::try_from(format!("x-saw-{name}")).ok());
        if let Some(name) = name {
            trailers.insert(name, value);
        }
    }
    trailers.insert("grpc-status", status);
    send.send_trailers(trailers)
}

/// Method, target and headers as JSON.
fn saw(parts: &http::request::Parts) -> HeaderValue {
    let headers: Vec<(&str, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let seen = serde_json::json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path_and_query().map(|path| path.as_str()),
        "authority": parts.uri.authority().map(|authority| authority.as_str()),
        "scheme": parts.uri.scheme_str(),
        "headers": headers,
    });
    HeaderValue::from_str(&seen.to_string()).unwrap_or(HeaderValue::from_static("{}"))
}
