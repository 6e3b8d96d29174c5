//! What strangers send, given to the code that reads it: one function per kind of input, and what must hold for every
//! input whatsoever.
//!
//! In: bytes. Out: nothing, or a panic that says which promise broke. Called by the fuzzers of this folder, which look
//! for inputs that reach new code, and by `e2e/tests/hostile.rs` over the saved corpus and mutations of it. So nothing
//! in here may depend on the fuzzer.

mod dns;
mod h1;
mod hello;
mod log_format;
mod objects;
mod path;
mod proxy_protocol;
mod xds;

pub use dns::dns;
pub use h1::h1;
pub use hello::hello;
pub use log_format::log_format;
pub use objects::objects;
pub use path::path;
pub use proxy_protocol::proxy_protocol;
pub use xds::xds;

/// One kind of input.
pub struct Target {
    /// Of the function, the fuzzer and the folder of its corpus.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All kinds. There is none for JSON web tokens: the proxy has no code that reads them yet.
pub const TARGETS: [Target; 8] = [
    Target { name: "h1", run: h1 },
    Target { name: "path", run: path },
    Target { name: "hello", run: hello },
    Target { name: "xds", run: xds },
    Target { name: "proxy_protocol", run: proxy_protocol },
    Target { name: "log_format", run: log_format },
    Target { name: "dns", run: dns },
    Target { name: "objects", run: objects },
];
