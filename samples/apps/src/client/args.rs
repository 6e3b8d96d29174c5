//! The flags that all HTTP clients share, with curl's names. In: the command line. Out: how to dial, and the
//! request to send. A flag that cannot be honoured is an error that names it.

use crate::net::{CallError, Dialing, Pin, client_config, duration};
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How a client ends.
pub struct Outcome;

impl Outcome {
    /// The command line makes no sense.
    pub fn refused(why: &str) -> ExitCode {
        eprintln!("mesh-samples: {why}");
        ExitCode::from(2)
    }
}

/// Flags of the request.
#[derive(Args, Clone, Debug, Default)]
pub struct RequestArgs {
    /// Method [default: GET, or POST with --data]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    verb: Option<String>,
    /// Header, as 'Name: value'; 'Name;' for an empty one (may be given several times)
    #[arg(short = 'H', long = "header", value_name = "LINE")]
    header: Vec<String>,
    /// Body; @FILE reads a file
    #[arg(short = 'd', long = "data", aliases = ["data-raw", "data-binary", "data-ascii"], value_name = "TEXT")]
    data: Vec<String>,
    /// Body that is JSON
    #[arg(long, value_name = "TEXT", conflicts_with = "data")]
    json_body: Option<String>,
    /// User agent
    #[arg(short = 'A', long, value_name = "TEXT")]
    user_agent: Option<String>,
    /// Where the user comes from
    #[arg(short = 'e', long, value_name = "URL")]
    referer: Option<String>,
    /// Credentials for basic authentication
    #[arg(short = 'u', long, value_name = "USER:PASSWORD")]
    user: Option<String>,
    /// Trust any server certificate
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Trust the authorities of this PEM file [default: the machine's]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Where a name leads (may be given several times)
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    resolve: Vec<Pin>,
    /// Longest wait for a connection
    #[arg(long, value_name = "TIME", value_parser = duration)]
    connect_timeout: Option<Duration>,
    /// Longest time for everything
    #[arg(short = 'm', long, value_name = "TIME", value_parser = duration)]
    max_time: Option<Duration>,
    /// Speak HTTP/2: at once on plain TCP, if the server agrees on TLS
    #[arg(long, aliases = ["http2-prior-knowledge", "h2c"])]
    http2: bool,
    /// Speak HTTP/1.1 (what it does anyway)
    #[arg(long = "http1.1", conflicts_with = "http2")]
    http1: bool,
    /// HTTP proxy, HOST:PORT [default: http_proxy]
    #[arg(short = 'x', long, value_name = "URL")]
    proxy: Option<String>,
}

impl RequestArgs {
    /// How to reach the server.
    pub fn dialing(&self) -> anyhow::Result<Dialing> {
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        let mut dialing = Dialing {
            connect_timeout: self.connect_timeout,
            http2: self.http2,
            tls: Some(client_config(self.cacert.as_deref(), self.insecure, identity, self.http2)?),
            pins: self.resolve.clone(),
            ..Dialing::from_env()
        };
        if let Some(proxy) = &self.proxy {
            dialing.proxy = Some(proxy.trim_start_matches("http://").trim_end_matches('/').to_owned());
            dialing.no_proxy.clear();
        }
        Ok(dialing)
    }

    /// Longest time for everything.
    pub fn limit(&self) -> Option<Duration> {
        self.max_time
    }

    /// The headers of `-H`.
    pub fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, CallError> {
        let bad = |line: &str| CallError::Url(format!("'{line}' is not a header"));
        let parse = |line: &String| {
            let (name, value) = line
                .split_once(':')
                .or_else(|| Some((line.strip_suffix(';')?, "")))
                .ok_or_else(|| bad(line))?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| bad(line))?;
            Ok((name, HeaderValue::try_from(value.trim()).map_err(|_| bad(line))?))
        };
        self.header.iter().map(parse).collect()
    }

    /// The body, none if there is none.
    pub fn body(&self) -> anyhow::Result<Option<Bytes>> {
        if let Some(json) = &self.json_body {
            return Ok(Some(json.clone().into()));
        }
        if self.data.is_empty() {
            return Ok(None);
        }
        let mut out = Vec::new();
        for (n, part) in self.data.iter().enumerate() {
            if n > 0 {
                out.push(b'&');
            }
            match part.strip_prefix('@') {
                None => out.extend_from_slice(part.as_bytes()),
                Some(file) => out.extend(std::fs::read(file).with_context(|| format!("--data @{file}"))?),
            }
        }
        Ok(Some(out.into()))
    }

    /// The request for `url` with `body`. The URL may lack its scheme.
    pub fn request(&self, url: &Uri, body: Option<Bytes>) -> anyhow::Result<Request<Full<Bytes>>> {
        let method = match &self.verb {
            Some(method) => method.parse().with_context(|| format!("method '{method}'"))?,
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        let with_body = body.is_some();
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        let agent = self.user_agent.as_deref().unwrap_or(concat!("mesh-samples/", env!("CARGO_PKG_VERSION")));
        put(headers, header::USER_AGENT, agent)?;
        put(headers, header::ACCEPT, "*/*")?;
        if with_body {
            let form = "application/x-www-form-urlencoded";
            let kind = if self.json_body.is_some() { "application/json" } else { form };
            put(headers, header::CONTENT_TYPE, kind)?;
        }
        if let Some(referer) = &self.referer {
            put(headers, header::REFERER, referer)?;
        }
        if let Some(user) = &self.user {
            put(headers, header::AUTHORIZATION, &format!("Basic {}", STANDARD.encode(user)))?;
        }
        // A header given takes the place of the default; given twice it is sent twice.
        let given = self.headers()?;
        for (name, _) in &given {
            headers.remove(name);
        }
        for (name, value) in given {
            headers.append(name, value);
        }
        Ok(request)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) -> anyhow::Result<()> {
    let content = HeaderValue::from_str(value).with_context(|| format!("{name}: '{value}'"))?;
    headers.insert(name, content);
    Ok(())
}

/// Reads a URL as curl does: `http://` is understood, a path is not needed.
pub(super) fn url(text: &str) -> Result<Uri, String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = full.parse().map_err(|cause| format!("'{text}' is not a URL: {cause}"))?;
    match uri.host() {
        Some(_) => Ok(uri),
        None => Err(format!("'{text}' is not a URL: it has no host")),
    }
}
