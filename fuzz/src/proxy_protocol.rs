//! The PROXY protocol's header.
//!
//! Promises: more bytes never change an answer, and no more is taken than there is.

use proxy::listen::proxy_protocol::parse;
use proxy::listen::sniff::Sniffed;

pub fn proxy_protocol(bytes: &[u8]) {
    let whole = parse(bytes);
    if let Sniffed::Yes(header) = &whole {
        assert!(header.length <= bytes.len(), "{header:?} of {} bytes", bytes.len());
        assert_eq!(parse(&bytes[..header.length]), whole);
    }
    for end in 0..bytes.len().min(300) {
        let early = parse(&bytes[..end]);
        assert!(early == Sniffed::Partial || early == whole, "{early:?} of {end} bytes, then {whole:?}");
    }
}
