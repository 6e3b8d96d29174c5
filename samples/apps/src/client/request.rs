//! `http`: one request with the flags, output and exit statuses of curl, for pods of machines that have none.
//! In: the command line. Out: the body on standard output, what went wrong on standard error.
//! Flags beyond the common ones are refused by name.

use super::args::{Outcome, RequestArgs, url};
use super::cookies::Jar;
use crate::net::{CallError, Dialing};
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Flags of `http`.
#[derive(Args)]
pub struct HttpArgs {
    /// URL; http:// may be left out
    #[arg(value_parser = url)]
    url: Uri,
    #[command(flatten)]
    request: RequestArgs,
    /// Say what is sent and received on standard error
    #[arg(short, long)]
    verbose: bool,
    /// Say nothing but the body
    #[arg(short, long)]
    silent: bool,
    /// Say errors even if silent
    #[arg(short = 'S', long)]
    show_error: bool,
    /// Print the headers of the answer too
    #[arg(short, long, aliases = ["show-headers"])]
    include: bool,
    /// HEAD, and print the headers
    #[arg(short = 'I', long)]
    head: bool,
    /// Write the body to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print this afterwards: %{http_code}, %{http_version}, %{time_total}, %{size_download}, %{remote_ip},
    /// %{content_type}, %{redirect_url}, %{num_connects}, %{exitcode}, \n
    #[arg(short = 'w', long, value_name = "FORMAT")]
    write_out: Option<String>,
    /// End with status 22 and no body if the answer is 400 or more
    #[arg(short, long)]
    fail: bool,
    /// Follow redirects
    #[arg(short = 'L', long)]
    location: bool,
    /// Cookies to send: 'name=value; …' or a file
    #[arg(short = 'b', long, value_name = "COOKIES")]
    cookie: Option<String>,
    /// File for the cookies that the server set
    #[arg(short = 'c', long, value_name = "FILE")]
    cookie_jar: Option<PathBuf>,
    /// Do not buffer (it never does)
    #[arg(short = 'N', long)]
    no_buffer: bool,
    /// Accepted: URLs are never expanded here
    #[arg(short = 'g', long)]
    globoff: bool,
}

/// An answer with its body.
struct Got {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
    body: Bytes,
    remote: SocketAddr,
}

/// Sends the request and ends with curl's exit status.
pub async fn run(args: HttpArgs) -> ExitCode {
    let started = Instant::now();
    let (dialing, body) = match args.request.dialing().and_then(|d| Ok((d, args.request.body()?))) {
        Ok(ready) => ready,
        Err(cause) => return Outcome::refused(&format!("{cause:#}")),
    };
    let work = exchange(&args, &dialing, body);
    let got = match args.request.limit() {
        None => work.await,
        Some(limit) => {
            let late = || CallError::Timeout(limit).into();
            tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
        }
    };
    let (got, mut code, why) = match got {
        Ok(got) => (Some(got), 0, None),
        Err(cause) => {
            let code = cause.downcast_ref::<CallError>().map_or(2, CallError::exit_code);
            (None, code, Some(format!("{cause:#}")))
        }
    };
    let mut why = why;
    if let Some(got) = &got {
        if args.fail && got.status.as_u16() >= 400 {
            code = 22;
            why = Some(format!("The requested URL returned error: {}", got.status.as_u16()));
        } else if let Err(cause) = print(&args, got) {
            code = 23;
            why = Some(format!("Failed writing the answer: {cause}"));
        }
    }
    if let Some(why) = why.filter(|_| !args.silent || args.show_error) {
        eprintln!("curl: ({code}) {why}");
    }
    if let Some(format) = &args.write_out {
        let text = expand(format, got.as_ref(), started.elapsed().as_secs_f64(), code);
        drop(std::io::stdout().lock().write_all(text.as_bytes()));
    }
    ExitCode::from(code)
}

async fn exchange(args: &HttpArgs, dialing: &Dialing, body: Option<Bytes>) -> anyhow::Result<Got> {
    let mut jar = Jar::read(args.cookie.as_deref());
    let mut request = args.request.request(&args.url, body)?;
    if args.head {
        *request.method_mut() = Method::HEAD;
    }
    for _ in 0..=50 {
        let target = request.uri().clone();
        let host = target.host().unwrap_or_default().to_owned();
        if let Some(line) = jar.line(&host) {
            request.headers_mut().insert(header::COOKIE, HeaderValue::from_str(&line).context("--cookie")?);
        }
        let again = (request.method().clone(), request.headers().clone(), request.body().clone());
        let got = once(args, dialing, request).await?;
        jar.take(&host, &got.headers);
        if let Some(file) = &args.cookie_jar {
            jar.write(file).with_context(|| format!("--cookie-jar {}", file.display()))?;
        }
        let next = got.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let (true, true, Some(next)) = (args.location, got.status.is_redirection(), next) else {
            return Ok(got);
        };
        request = follow(&target, next, got.status, again)?;
    }
    Err(CallError::Protocol("Maximum (50) redirects followed".to_owned()).into())
}

type Sent = (Method, HeaderMap, Full<Bytes>);

/// The request after a redirect: 301, 302 and 303 turn what was sent into a GET.
fn follow(from: &Uri, to: &str, status: StatusCode, sent: Sent) -> anyhow::Result<Request<Full<Bytes>>> {
    let (mut method, mut headers, mut body) = sent;
    let absolute = if to.contains("://") {
        to.to_owned()
    } else {
        let authority = from.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let base = format!("{}://{authority}", from.scheme_str().unwrap_or("http"));
        if to.starts_with('/') {
            format!("{base}{to}")
        } else {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{base}{folder}/{to}")
        }
    };
    if matches!(status.as_u16(), 301..=303) && method != Method::HEAD {
        (method, body) = (Method::GET, Full::default());
        headers.remove(header::CONTENT_TYPE);
    }
    // Jars say for themselves what the next host gets.
    headers.remove(header::COOKIE);
    let mut request = Request::new(body);
    *request.uri_mut() = absolute.parse().map_err(|_| CallError::Url(absolute.clone()))?;
    *request.method_mut() = method;
    if request.uri().authority() != from.authority() {
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::HOST);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

async fn once(args: &HttpArgs, dialing: &Dialing, request: Request<Full<Bytes>>) -> Result<Got, CallError> {
    let mut link = dialing.connect(request.uri()).await?;
    if args.verbose {
        let host = request.uri().host().unwrap_or_default();
        eprintln!("* Connected to {host} ({}) port {}", link.remote.ip().to_canonical(), link.remote.port());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        eprintln!("> {} {path} {}", request.method(), version(link.is_http2()));
        if !request.headers().contains_key(header::HOST) {
            eprintln!("> host: {}", request.uri().authority().map_or("", |host| host.as_str()));
        }
        eprint!("{}", lines("> ", request.headers()));
        eprintln!(">");
    }
    let remote = link.remote;
    let reply = link.send(request).await?;
    let (head, body) = reply.into_parts();
    if args.verbose {
        eprintln!("< {}", status_line(head.version, head.status));
        eprint!("{}", lines("< ", &head.headers));
        eprintln!("<");
    }
    let body = body.collect().await.map_err(|cause| CallError::Recv(cause.to_string()))?;
    let trailers = body.trailers().cloned();
    if let (true, Some(trailers)) = (args.verbose, &trailers) {
        eprint!("{}", lines("< ", trailers));
    }
    let (status, version, headers) = (head.status, head.version, head.headers);
    Ok(Got { status, version, headers, trailers, body: body.to_bytes(), remote })
}

fn print(args: &HttpArgs, got: &Got) -> std::io::Result<()> {
    let mut out: Box<dyn Write> = match &args.output {
        None => Box::new(std::io::stdout().lock()),
        Some(file) => Box::new(std::fs::File::create(file)?),
    };
    if args.include || args.head {
        write!(out, "{}\r\n{}\r\n", status_line(got.version, got.status), lines("", &got.headers))?;
    }
    out.write_all(&got.body)?;
    if let (true, Some(trailers)) = (args.include, &got.trailers) {
        write!(out, "{}", lines("", trailers))?;
    }
    out.flush()
}

fn version(http2: bool) -> &'static str {
    if http2 { "HTTP/2" } else { "HTTP/1.1" }
}

fn status_line(version: Version, status: StatusCode) -> String {
    if version == Version::HTTP_2 {
        return format!("HTTP/2 {} ", status.as_u16());
    }
    format!("{version:?} {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

fn lines(lead: &str, headers: &HeaderMap) -> String {
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        format!("{lead}{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}

fn expand(format: &str, got: Option<&Got>, seconds: f64, code: u8) -> String {
    let header = |name: header::HeaderName| {
        let value = got.and_then(|got| got.headers.get(name)).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let status = format!("{:03}", got.map_or(0, |got| got.status.as_u16()));
    let version = got.map_or("0", |got| if got.version == Version::HTTP_2 { "2" } else { "1.1" });
    let remote = got.map(|got| got.remote.ip().to_canonical().to_string()).unwrap_or_default();
    [
        ("%{http_code}", status.clone()),
        ("%{response_code}", status),
        ("%{http_version}", version.to_owned()),
        ("%{time_total}", format!("{seconds:.6}")),
        ("%{size_download}", got.map_or(0, |got| got.body.len()).to_string()),
        ("%{remote_ip}", remote),
        ("%{content_type}", header(header::CONTENT_TYPE)),
        ("%{redirect_url}", header(header::LOCATION)),
        ("%{num_connects}", u8::from(got.is_some()).to_string()),
        ("%{exitcode}", code.to_string()),
        ("\\n", "\n".to_owned()),
        ("\\t", "\t".to_owned()),
    ]
    .iter()
    .fold(format.to_owned(), |text, (name, value)| text.replace(name, value))
}
