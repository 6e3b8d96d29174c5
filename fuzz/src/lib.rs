//! What strangers send, given to the code that reads it: one function per kind of input, and what must hold for every
//! input whatsoever.
//!
//! In: bytes. Out: nothing, or a panic that says which promise broke. Called by the fuzzers of this folder, which look
//! for inputs that reach new code, and by `e2e/tests/hostile.rs` over the saved corpus and mutations of it. So nothing
//! in here may depend on the fuzzer.

mod answers;
mod dns;
mod h1;
mod hello;
mod log_format;
mod objects;
#[allow(dead_code, unreachable_pub)] // Shared with the tests that send raw requests.
#[path = "../../e2e/tests/planes/strict/oracle.rs"]
mod oracle;
mod path;
mod pipeline;
mod proxy_protocol;
mod requests;
#[allow(dead_code)] // Shared with the proxy's tests in memory.
#[path = "../../proxy/tests/memory/support.rs"]
mod support;
mod xds;

pub use answers::answers;
pub use dns::dns;
pub use h1::{chunks, h1};
pub use hello::hello;
pub use log_format::log_format;
pub use objects::objects;
pub use path::path;
pub use proxy_protocol::proxy_protocol;
pub use requests::requests;
pub use xds::xds;

/// One kind of input.
pub struct Target {
    /// Of the function, the fuzzer and the folder of its corpus.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All kinds. There is none for JSON web tokens: the proxy has no code that reads them yet.
pub const TARGETS: [Target; 11] = [
    Target { name: "h1", run: h1 },
    Target { name: "chunks", run: chunks },
    Target { name: "requests", run: requests },
    Target { name: "answers", run: answers },
    Target { name: "path", run: path },
    Target { name: "hello", run: hello },
    Target { name: "xds", run: xds },
    Target { name: "proxy_protocol", run: proxy_protocol },
    Target { name: "log_format", run: log_format },
    Target { name: "dns", run: dns },
    Target { name: "objects", run: objects },
];
