//! The command line of `mesh-samples`. In: the process's arguments. Out: one application, run to its end,
//! and the exit status. Called by `main` only. A server ends with status 0 on SIGTERM or SIGINT; a client's
//! status says how it went (`http` uses curl's numbers).

use crate::bookinfo::{details, productpage, ratings, ratings_db, reviews};
use crate::client::{fetch, load, request, tcp};
use crate::net::Listen;
use crate::{grpc, helloworld, httpbin, spans, tcp_echo, tls_echo};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Sample applications of the mesh: servers for pods, clients to call them with.
#[derive(Parser)]
#[command(name = "mesh-samples", version)]
pub struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Bookinfo: the page, calls details and reviews
    Productpage(Port9080),
    /// Bookinfo: facts about the book
    Details(Port9080),
    /// Bookinfo: what readers say, calls ratings if ENABLE_RATINGS=true
    Reviews(Port9080),
    /// Bookinfo: the stars
    Ratings(Port9080),
    /// Bookinfo: the database of ratings v2 (a protocol of one line, not MongoDB's)
    RatingsDb(ratings_db::RatingsDbArgs),
    /// Answers with what it was asked
    Httpbin(httpbin::HttpbinArgs),
    /// Says its version and the name of its pod
    Helloworld(helloworld::HelloArgs),
    /// Answers every line with a word and the line
    TcpEcho(tcp_echo::TcpEchoArgs),
    /// Ends TLS and answers with what the handshake said
    TlsEcho(tls_echo::TlsEchoArgs),
    /// A gRPC service: echo.Echo/Say
    GrpcEcho(grpc::GrpcEchoArgs),
    /// Collects Zipkin spans and writes each as a line of JSON
    Spans(spans::SpansArgs),
    /// Calls grpc-echo
    GrpcCall(grpc::GrpcCallArgs),
    /// One HTTP request, with curl's flags and exit statuses
    Http(request::HttpArgs),
    /// The same HTTP request many times, answers counted
    Fetch(fetch::FetchArgs),
    /// Sends lines over TCP and prints what comes back
    Tcp(tcp::TcpArgs),
    /// Puts load on a URL and measures
    Load(load::LoadArgs),
}

/// The bookinfo services take their port as the only argument.
#[derive(Args)]
struct Port9080 {
    /// TCP port to listen on
    #[arg(default_value_t = 9080)]
    port: u16,
    #[command(flatten)]
    listen: Listen,
}

impl Cli {
    /// Runs the chosen application to its end.
    pub async fn run(self) -> ExitCode {
        let done = match self.program {
            Program::Productpage(args) => productpage::run(args.port, args.listen).await,
            Program::Details(args) => details::run(args.port, args.listen).await,
            Program::Reviews(args) => reviews::run(args.port, args.listen).await,
            Program::Ratings(args) => ratings::run(args.port, args.listen).await,
            Program::RatingsDb(args) => ratings_db::run(args).await,
            Program::Httpbin(args) => httpbin::run(args).await,
            Program::Helloworld(args) => helloworld::run(args).await,
            Program::TcpEcho(args) => tcp_echo::run(args).await,
            Program::TlsEcho(args) => tls_echo::run(args).await,
            Program::GrpcEcho(args) => grpc::run(args).await,
            Program::Spans(args) => spans::run(args).await,
            Program::GrpcCall(args) => return grpc::call(args).await,
            Program::Http(args) => return request::run(args).await,
            Program::Fetch(args) => return fetch::run(args).await,
            Program::Tcp(args) => return tcp::run(args).await,
            Program::Load(args) => return load::run(args).await,
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => {
                eprintln!("mesh-samples: {cause:#}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Puts the subcommand in front of the arguments if the program was called by that subcommand's name,
/// or as `curl` (then `http`) or `nc` (then `tcp`).
pub fn applet(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let called = args.first().and_then(|first| Path::new(first).file_name()?.to_str()).unwrap_or_default();
    let program = match called {
        "curl" => "http",
        "nc" => "tcp",
        known @ ("productpage" | "details" | "reviews" | "ratings" | "httpbin" | "helloworld"
        | "tcp-echo" | "tls-echo" | "grpc-echo" | "grpc-call" | "load") => known,
        _ => return args,
    };
    let program = OsString::from(program);
    args.insert(1, program);
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_named_curl_is_the_http_client() {
        let args = applet(["/usr/bin/curl", "-s", "http://x/"].map(OsString::from));
        assert_eq!(args, ["/usr/bin/curl", "http", "-s", "http://x/"].map(OsString::from));
        let args = applet(["mesh-samples", "httpbin"].map(OsString::from));
        assert_eq!(args.len(), 2);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
