//! Cookies of `http -b` and `-c`, in the file format that curl writes: seven fields with tabs between. In: a
//! file or `name=value; …`. Out: the `cookie` header for a host, and the file with what the server set.

use http::{HeaderMap, header};
use std::collections::BTreeMap;
use std::path::Path;

/// Cookies by host and name.
#[derive(Default)]
pub(super) struct Jar {
    known: BTreeMap<(String, String), String>,
    fixed: Option<String>,
}

impl Jar {
    /// From the value of `-b`: text with `=` is cookies, anything else a file; a missing file is an empty jar.
    pub(super) fn read(from: Option<&str>) -> Self {
        let Some(from) = from else { return Self::default() };
        if from.contains('=') {
            return Self { fixed: Some(from.to_owned()), ..Self::default() };
        }
        let text = std::fs::read_to_string(from).unwrap_or_default();
        let known = text.lines().filter_map(|line| {
            let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
            let fields: Vec<&str> = line.split('\t').collect();
            match fields.as_slice() {
                [host, _, _, _, _, name, value] if !host.starts_with('#') => {
                    Some(((host.trim_start_matches('.').to_owned(), (*name).to_owned()), (*value).to_owned()))
                }
                _ => None,
            }
        });
        Self { known: known.collect(), fixed: None }
    }

    /// The `cookie` header for `host`.
    pub(super) fn line(&self, host: &str) -> Option<String> {
        let known = self.known.iter().filter(|((domain, _), _)| domain == host);
        let parts: Vec<String> = self
            .fixed
            .iter()
            .cloned()
            .chain(known.map(|((_, name), value)| format!("{name}={value}")))
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Takes what an answer of `host` sets; an empty value with `Max-Age=0` removes.
    pub(super) fn take(&mut self, host: &str, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let key = (host.to_owned(), name.to_owned());
            if parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
                self.known.remove(&key);
            } else {
                self.known.insert(key, value.to_owned());
            }
        }
    }

    /// Writes the value of `-c`.
    pub(super) fn write(&self, to: &Path) -> std::io::Result<()> {
        let mut out = "# Netscape HTTP Cookie File\n".to_owned();
        for ((host, name), value) in &self.known {
            out.push_str(&format!("{host}\tFALSE\t/\tFALSE\t0\t{name}\t{value}\n"));
        }
        std::fs::write(to, out)
    }
}
