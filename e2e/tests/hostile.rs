//! What strangers send: the saved inputs of every fuzzer, and a bounded number of mutations of them, always the same.
//!
//! `cargo xtask fuzz` looks for new inputs with the compiler's help; this repeats what was found, quickly, with ordinary
//! programs. `MESH_FUZZ_ROUNDS` asks for more mutations, `MESH_FUZZ_SEED` for others.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)] // The library of the fuzzers.
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

/// Mutations of each kind of input where nothing else is asked for: some seconds.
const ROUNDS: u64 = 4000;
/// Longest input that mutation makes.
const LONGEST: usize = 4096;
/// Pieces that mean something in one of the languages.
const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0",
    b"-1",
    b"ffffffffffffffff",
    b"chunked",
    b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n",
    b"host: b\r\n",
    b"HTTP/1.1",
    b"%2e%2e/",
    b"%00",
    b"//",
    b"%REQ(",
    b"---\n",
    b"PROXY TCP4 ",
    b"\xff\xff\xff\xff",
];

/// A small generator, so that a seed means the same in every version of every library.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(16)).min(bytes.len());
        match random.below(6) {
            0 => bytes.insert(at, random.below(256).try_into().unwrap()),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied()).for_each(drop),
            3 => bytes.extend_from_within(at..end),
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

fn hostile(name: &str) {
    let target = fuzz::TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} holds inputs");
    let mut random = Random(number("MESH_FUZZ_SEED", 0x5eed));
    let rounds = number("MESH_FUZZ_ROUNDS", ROUNDS);
    let mutations = (0..rounds).map(|_| mutated(&corpus, &mut random));
    for input in corpus.iter().cloned().chain(mutations) {
        if std::panic::catch_unwind(|| (target.run)(&input)).is_err() {
            panic!("{name}: b\"{}\"", input.escape_ascii());
        }
    }
}

#[test]
fn every_target_is_run_here() {
    let tested = [
        "h1",
        "chunks",
        "requests",
        "answers",
        "path",
        "hello",
        "xds",
        "proxy_protocol",
        "log_format",
        "dns",
        "objects",
    ];
    assert_eq!(fuzz::TARGETS.map(|target| target.name), tested);
}

#[test]
fn h1() {
    hostile("h1");
}

#[test]
fn chunks() {
    hostile("chunks");
}

#[test]
fn requests() {
    hostile("requests");
}

#[test]
fn answers() {
    hostile("answers");
}

#[test]
fn path() {
    hostile("path");
}

#[test]
fn hello() {
    hostile("hello");
}

#[test]
fn xds() {
    hostile("xds");
}

#[test]
fn proxy_protocol() {
    hostile("proxy_protocol");
}

#[test]
fn log_format() {
    hostile("log_format");
}

#[test]
fn dns() {
    hostile("dns");
}

#[test]
fn objects() {
    hostile("objects");
}
