//! gRPC echo, server and client. In: `echo.Echo/Say` with `Said{text=1}`. Out: `Heard{text=1, version=2,
//! instance=3}`; also `grpc.health.v1.Health/Check`. Messages are framed here by hand: one unary method does not
//! need a framework. A request's metadata `x-echo-status: N` makes the call fail with that gRPC status, for
//! retries. Used by tests of gRPC routing.

use crate::client::{Outcome, RequestArgs};
use crate::net::{self, App, Call, CallError, Dialing, Link, Listen, Reply, empty, ended, pod_name, serve};
use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use prost::Message;
use std::process::ExitCode;
use std::sync::Arc;

/// What the client says.
#[derive(Clone, PartialEq, Message)]
pub struct Said {
    #[prost(string, tag = "1")]
    pub text: String,
}

/// What the server heard, and which server.
#[derive(Clone, PartialEq, Message)]
pub struct Heard {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub instance: String,
}

/// Flags of `grpc-echo`.
#[derive(Args)]
pub struct GrpcEchoArgs {
    /// TCP port to listen on
    #[arg(default_value_t = 7070)]
    port: u16,
    /// What it says its version is
    #[arg(long, env = "SERVICE_VERSION", default_value = "unknown")]
    version: String,
    #[command(flatten)]
    listen: Listen,
}

/// The service.
pub struct Echo {
    /// SERVICE_VERSION.
    pub version: String,
    /// Name of the pod.
    pub instance: String,
}

/// gRPC statuses that are used here.
const INVALID_ARGUMENT: u8 = 3;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;

impl App for Echo {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let grpc = call.request.headers().get(header::CONTENT_TYPE);
        if !grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            return empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let wanted = call.request.headers().get("x-echo-status");
        let wanted = wanted.and_then(|value| value.to_str().ok()?.parse().ok());
        let path = call.request.uri().path().to_owned();
        let body = net::read_all(call.request.into_body()).await.unwrap_or_default();
        match (wanted, path.as_str()) {
            (Some(status @ 1..), _) => refused(status, "asked for by x-echo-status"),
            (_, "/echo.Echo/Say") => match unframe(&body).and_then(|said| Said::decode(said).ok()) {
                Some(said) => answered(&Heard {
                    text: said.text,
                    version: self.version.clone(),
                    instance: self.instance.clone(),
                }),
                None => refused(INVALID_ARGUMENT, "not a frame with a Said"),
            },
            // SERVING, field 1 of HealthCheckResponse.
            (_, "/grpc.health.v1.Health/Check") => framed(Bytes::from_static(&[8, 1])),
            _ => refused(UNIMPLEMENTED, "no such method"),
        }
    }
}

fn answered(heard: &Heard) -> Reply {
    framed(heard.encode_to_vec().into())
}

fn framed(message: Bytes) -> Reply {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame(&message)).with_trailers(async move { Some(Ok(trailers)) });
    let mut reply = Reply::new(body.boxed_unsync());
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    reply
}

/// A reply of headers alone, as gRPC has it for calls without a message.
fn refused(status: u8, why: &'static str) -> Reply {
    let mut reply = empty(StatusCode::OK);
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    headers.insert("grpc-message", HeaderValue::from_static(why));
    reply
}

fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).expect("messages are small"));
    out.put_slice(message);
    out.freeze()
}

/// The message of the only frame, if it is not compressed.
fn unframe(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    (head[0] == 0 && u32::try_from(message.len()) == Ok(length)).then_some(message)
}

/// Serves until the process is asked to end.
pub async fn run(args: GrpcEchoArgs) -> anyhow::Result<()> {
    let listener = args.listen.on(args.port).await?;
    serve(listener, Echo { version: args.version, instance: pod_name() }, ended()).await
}

/// Flags of `grpc-call`.
#[derive(Args)]
pub struct GrpcCallArgs {
    /// Where grpc-echo is: http://HOST:PORT or HOST:PORT
    server: String,
    /// What to say
    #[arg(long, default_value = "hello")]
    text: String,
    /// Number of calls
    #[arg(short = 'n', long, default_value_t = 1)]
    number: u64,
    /// A new connection for every call
    #[arg(long)]
    no_keepalive: bool,
    /// Method to call
    #[arg(long, default_value = "echo.Echo/Say")]
    method: String,
    #[command(flatten)]
    request: RequestArgs,
}

/// Calls, prints one line per call, and ends with the last gRPC status that was not 0.
pub async fn call(args: GrpcCallArgs) -> ExitCode {
    let dialing = match args.request.dialing() {
        Ok(dialing) => Dialing { http2: true, proxy: None, ..dialing },
        Err(cause) => return Outcome::refused(&format!("{cause:#}")),
    };
    let mut link = None;
    let mut code = 0;
    for _ in 0..args.number {
        let said = say(&args, &dialing, &mut link).await;
        if args.no_keepalive || said.is_err() {
            link = None;
        }
        let (status, line) = match said {
            Ok((0, heard)) => {
                let (text, version, instance) = (heard.text, heard.version, heard.instance);
                (0, format!("status=0 text={text:?} version={version} instance={instance}"))
            }
            Ok((status, heard)) => (status, format!("status={status} message={:?}", heard.text)),
            Err(cause) => (UNAVAILABLE, format!("status={UNAVAILABLE} error={:?}", cause.to_string())),
        };
        println!("{line}");
        if status != 0 {
            code = status;
        }
    }
    ExitCode::from(code)
}

/// One call: the gRPC status, and the message (with a status other than 0: its text alone).
async fn say(
    args: &GrpcCallArgs,
    dialing: &Dialing,
    link: &mut Option<Link>,
) -> Result<(u8, Heard), CallError> {
    let bad = || CallError::Url(args.server.clone());
    let base =
        if args.server.contains("://") { args.server.clone() } else { format!("http://{}", args.server) };
    let uri: Uri = format!("{}/{}", base.trim_end_matches('/'), args.method).parse().map_err(|_| bad())?;
    if link.is_none() {
        *link = Some(dialing.connect(&uri).await?);
    }
    let body = Said { text: args.text.clone() }.encode_to_vec();
    let mut request = Request::new(Full::new(frame(&body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("mesh-samples/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in args.request.headers()? {
        headers.append(name, value);
    }
    if let Some(limit) = args.request.limit() {
        let value = HeaderValue::from_str(&format!("{}m", limit.as_millis()));
        headers.insert(HeaderName::from_static("grpc-timeout"), value.expect("digits are header characters"));
    }
    let link = link.as_mut().ok_or_else(bad)?;
    let work = async {
        let reply = link.send(request).await?;
        let (head, body) = reply.into_parts();
        let body = body.collect().await.map_err(|cause| CallError::Recv(cause.to_string()))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok((head, trailers, body.to_bytes()))
    };
    let (head, trailers, body) = match args.request.limit() {
        None => work.await?,
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| CallError::Timeout(limit))??,
    };
    let find =
        |name: &str| trailers.get(name).or_else(|| head.headers.get(name)).and_then(|v| v.to_str().ok());
    match find("grpc-status").and_then(|status| status.parse::<u8>().ok()) {
        Some(0) => {
            let heard = unframe(&body).and_then(|message| Heard::decode(message).ok());
            heard
                .map(|heard| (0, heard))
                .ok_or_else(|| CallError::Protocol("not a frame with a Heard".to_owned()))
        }
        Some(status) => {
            let text = find("grpc-message").unwrap_or_default().to_owned();
            Ok((status, Heard { text, ..Heard::default() }))
        }
        None => Err(CallError::Protocol(format!("HTTP {} without a gRPC status", head.status.as_u16()))),
    }
}
