//! The first bytes of a connection: a ClientHello, a request line, or neither.
//!
//! Promises: more bytes never change an answer; a hello that our TLS accepts is seen, with the same name and protocols.

use proxy::listen::sniff::{Sniffed, http, tls};
use rustls::server::Acceptor;

pub fn hello(bytes: &[u8]) {
    let whole = tls(bytes);
    let plain = http(bytes);
    for end in [1, 5, 11, 44, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let Some(part) = bytes.get(..end) else { continue };
        let early = tls(part);
        assert!(early == Sniffed::Partial || early == whole, "{early:?} of {end} bytes, then {whole:?}");
        let early = http(part);
        assert!(early == Sniffed::Partial || early == plain, "{early:?} of {end} bytes, then {plain:?}");
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        match acceptor.read_tls(&mut rest) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let theirs = accepted.client_hello();
                let Sniffed::Yes(ours) = &whole else { panic!("rustls takes what sniffing calls {whole:?}") };
                if let Some(name) = theirs.server_name() {
                    assert_eq!(ours.server_name.as_deref(), Some(&*name.to_ascii_lowercase()));
                }
                let protocols: Vec<String> = theirs
                    .alpn()
                    .into_iter()
                    .flatten()
                    .map(|name| String::from_utf8_lossy(name).into())
                    .collect();
                let seen: Vec<String> = ours.alpn.iter().map(ToString::to_string).collect();
                assert_eq!(seen, protocols);
                return;
            }
            Err(_) => return,
        }
    }
}
