//! Failures of the data path: one closed list, one table from kind to HTTP status, response flag, details text.
//! `http` and `tcp` make them, `observe` prints them.

/// What went wrong with a request or connection, in Envoy's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No route matched.
    NoRoute,
    /// No filter chain matched.
    NoChain,
    /// The cluster named by the route does not exist.
    NoCluster,
    /// The cluster has no usable endpoint.
    NoHealthyUpstream,
    /// TCP or TLS connect failed.
    ConnectFailure,
    /// Connect took too long.
    ConnectTimeout,
    /// The upstream ended before a complete response head.
    UpstreamReset,
    /// The upstream refused the stream (GOAWAY, REFUSED_STREAM).
    UpstreamRefused,
    /// The upstream reset the stream.
    UpstreamRemoteReset,
    /// The upstream broke off in the middle of the response.
    UpstreamTermination,
    /// The upstream reset the stream in the middle of the response.
    UpstreamResetLate,
    /// The upstream ended or broke HTTP's rules in the middle of the response.
    UpstreamCut,
    /// The upstream spoke no valid HTTP.
    UpstreamProtocol,
    /// Route or per-try timeout.
    UpstreamTimeout,
    /// A limit of the cluster is reached.
    Overflow,
    /// All retries are used up.
    RetryExhausted,
    /// Retries are limited by the cluster (`max_retries`).
    RetryOverflow,
    /// The client went away.
    DownstreamReset,
    /// The client spoke no valid HTTP: status says how.
    DownstreamProtocol,
    /// The client's HTTP/2 stream broke a rule, which ends the stream.
    DownstreamStream,
    /// Idle for too long.
    IdleTimeout,
    /// The request did not arrive in time.
    RequestTimeout,
    /// A fault filter aborted or delayed.
    FaultAbort,
    FaultDelay,
    /// Policy said no.
    Denied,
    /// A request or response was larger than allowed.
    TooLarge,
    /// The process takes no new requests.
    Overloaded,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FailureRow {
    /// Status sent where the failure is answered with a response.
    pub status: u16,
    /// Envoy's short response flag, empty for none.
    pub flag: &'static str,
    /// `%RESPONSE_CODE_DETAILS%`
    pub details: &'static str,
}

impl Failure {
    /// The row of this failure: the only place where status and flag are written.
    pub const fn row(self) -> FailureRow {
        let (status, flag, details) = match self {
            Self::NoRoute => (404, "NR", "route_not_found"),
            Self::NoChain => (0, "NR", "filter_chain_not_found"),
            Self::NoCluster => (503, "NC", "cluster_not_found"),
            Self::NoHealthyUpstream => (503, "UH", "no_healthy_upstream"),
            Self::ConnectFailure => {
                (503, "UF", "upstream_reset_before_response_started{remote_connection_failure}")
            }
            Self::ConnectTimeout => (503, "UF", "upstream_reset_before_response_started{connection_timeout}"),
            Self::UpstreamReset => {
                (503, "UC", "upstream_reset_before_response_started{connection_termination}")
            }
            Self::UpstreamRefused => {
                (503, "UR", "upstream_reset_before_response_started{remote_refused_stream_reset}")
            }
            Self::UpstreamRemoteReset => (503, "UR", "upstream_reset_before_response_started{remote_reset}"),
            Self::UpstreamTermination => {
                (0, "UC", "upstream_reset_after_response_started{connection_termination}")
            }
            Self::UpstreamResetLate => (0, "UR", "upstream_reset_after_response_started{remote_reset}"),
            Self::UpstreamCut => (0, "UPE", "upstream_reset_after_response_started{protocol_error}"),
            Self::UpstreamProtocol => (502, "UPE", "upstream_reset_before_response_started{protocol_error}"),
            Self::UpstreamTimeout => (504, "UT", "response_timeout"),
            Self::Overflow => (503, "UO", "upstream_reset_before_response_started{overflow}"),
            Self::RetryExhausted => (0, "URX", ""),
            Self::RetryOverflow => (0, "UO", ""),
            Self::DownstreamReset => (0, "DC", "downstream_remote_disconnect"),
            Self::DownstreamProtocol => (400, "DPE", "http1.codec_error"),
            Self::DownstreamStream => (0, "DPE", "http2.remote_reset"),
            Self::IdleTimeout => (408, "SI", "stream_idle_timeout"),
            Self::RequestTimeout => (408, "", "request_overall_timeout"),
            Self::FaultAbort => (0, "FI", "fault_filter_abort"),
            Self::FaultDelay => (0, "DI", ""),
            Self::Denied => (403, "", "rbac_access_denied_matched_policy[none]"),
            Self::TooLarge => (413, "", "request_payload_too_large"),
            Self::Overloaded => (503, "", "overload"),
        };
        FailureRow { status, flag, details }
    }
}
