//! One HTTP/1.1 request on a connection that somebody else made.
//!
//! In: a connection into a pod, method and path. Out: the page, or what the pod's end of the connection says. Called by
//! `mesh`; a page that does not come in time is an error, so no command hangs on a proxy that does.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;

use super::reach::Connection;

/// A page must be there after this time. The config dump of a large proxy takes seconds through an API server.
const LONGEST: Duration = Duration::from_secs(60);
/// The largest page that is read.
const LARGEST: usize = 512 << 20;
/// How long to wait for the reason after a connection has failed.
const REASON: Duration = Duration::from_millis(500);

/// The methods that admin pages know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
}

impl Method {
    fn name(self) -> ::http::Method {
        match self {
            Method::Get => ::http::Method::GET,
            Method::Post => ::http::Method::POST,
            Method::Put => ::http::Method::PUT,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: Method,
    pub path: &'a str,
    /// JSON, for `Put`; else empty.
    pub body: &'a str,
}

/// Asks for a page and reads it whole.
///
/// # Errors
/// No answer, or a status that is no success; the error holds the page's first line.
pub(super) async fn ask(connection: Connection, asked: Asked<'_>) -> Result<String> {
    let Connection { stream, problem } = connection;
    let path = asked.path;
    let answer = tokio::time::timeout(LONGEST, exchange(TokioIo::new(stream), asked)).await;
    let (status, body) = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => match tokio::time::timeout(REASON, problem).await {
            Ok(Some(reason)) => bail!("{}", reason.trim()),
            _ => return Err(error),
        },
        Err(_) => bail!("{path} is not there after {} s", LONGEST.as_secs()),
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    if !status.is_success() {
        bail!("{path} answers {status}: {}", text.lines().next().unwrap_or_default());
    }
    Ok(text)
}

async fn exchange<IO>(io: IO, asked: Asked<'_>) -> Result<(::http::StatusCode, Bytes)>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let path = asked.path;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.context("speak HTTP")?;
    let request = ::http::Request::builder()
        .method(asked.method.name())
        .uri(path)
        .header(::http::header::HOST, "localhost")
        .header(::http::header::CONNECTION, "close");
    let request = match asked.body {
        "" => request.body(Empty::<Bytes>::new().boxed())?,
        body => request
            .header(::http::header::CONTENT_TYPE, "application/json")
            .body(http_body_util::Full::new(Bytes::copy_from_slice(body.as_bytes())).boxed())?,
    };
    let answer = async {
        let response = sender.send_request(request).await.with_context(|| format!("ask for {path}"))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("read {path}: {error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    // The connection must be driven while the answer comes; how it ends afterwards does not matter.
    let (answer, _closed) = futures_util::future::join(answer, connection).await;
    answer
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What one request gets of a server that answers with this text, and what the server has read.
    async fn asked(asked: Asked<'_>, answer: &str, reason: Option<String>) -> (Result<String>, String) {
        let (stream, mut server) = tokio::io::duplex(4096);
        let problem = futures_util::future::ready(reason).boxed();
        let serving = async {
            let mut head = vec![0; 1024];
            let length = server.read(&mut head).await.unwrap();
            server.write_all(answer.as_bytes()).await.unwrap();
            drop(server);
            String::from_utf8_lossy(&head[..length]).into_owned()
        };
        futures_util::future::join(ask(Connection { stream: Box::new(stream), problem }, asked), serving)
            .await
    }

    fn get(path: &str) -> Asked<'_> {
        Asked { method: Method::Get, path, body: "" }
    }

    #[tokio::test]
    async fn a_chunked_page_is_read_whole() {
        let page = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        let post = Asked { method: Method::Post, path: "/logging?level=debug", body: "" };
        let (answer, seen) = asked(post, page, None).await;
        assert_eq!(answer.unwrap(), "hello!");
        assert!(seen.starts_with("POST /logging?level=debug HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn another_status_is_an_error() {
        let page = "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno page";
        let (answer, _) = asked(get("/x"), page, None).await;
        assert_eq!(answer.unwrap_err().to_string(), "/x answers 404 Not Found: no page");
    }

    #[tokio::test]
    async fn the_other_end_says_why_it_gave_up() {
        let reason = "failed to connect to localhost:15000: connection refused";
        let (answer, _) = asked(get("/x"), "", Some(reason.to_owned())).await;
        assert_eq!(answer.unwrap_err().to_string(), reason);
    }
}
