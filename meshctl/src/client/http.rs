//! One HTTP/1.1 request on a connection that somebody else made.

use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;

/// The methods that admin pages know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// Asks for a page and reads it whole.
///
/// # Errors
/// No answer, or a status that is not 200; the error holds the page's first line.
pub fn ask(stream: TcpStream, method: Method, path: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, body) = runtime.block_on(exchange(stream, method, path))?;
    let text = String::from_utf8_lossy(&body).into_owned();
    if status != ::http::StatusCode::OK {
        bail!("{path} answers {status}: {}", text.lines().next().unwrap_or_default());
    }
    Ok(text)
}

async fn exchange(stream: TcpStream, method: Method, path: &str) -> Result<(::http::StatusCode, Bytes)> {
    stream.set_nonblocking(true)?;
    let io = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.context("speak HTTP")?;
    let request = ::http::Request::builder()
        .method(if method == Method::Get { ::http::Method::GET } else { ::http::Method::POST })
        .uri(path)
        .header(::http::header::HOST, "localhost")
        .header(::http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await.with_context(|| format!("ask for {path}"))?;
        let status = response.status();
        let body = response.into_body().collect().await.with_context(|| format!("read {path}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    // The connection must be driven while the answer comes; how it ends afterwards does not matter.
    let (answer, _closed) = futures_util::future::join(answer, connection).await;
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn server(answer: &'static str) -> (TcpStream, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        (TcpStream::connect(address).unwrap(), serving)
    }

    #[test]
    fn a_chunked_page_is_read_whole() {
        let (stream, serving) =
            server("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
        assert_eq!(ask(stream, Method::Post, "/logging?level=debug").unwrap(), "hello!");
        assert!(serving.join().unwrap().starts_with("POST /logging?level=debug HTTP/1.1\r\n"));
    }

    #[test]
    fn another_status_is_an_error() {
        let (stream, serving) = server("HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno page");
        let error = ask(stream, Method::Get, "/x").unwrap_err().to_string();
        assert_eq!(error, "/x answers 404 Not Found: no page");
        serving.join().unwrap();
    }
}
