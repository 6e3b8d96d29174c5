//! The same bytes in pieces: byte by byte, and cut anywhere. Where the network cuts them must change nothing of what our
//! proxy answers and forwards.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::corpus::{self, Case, Dice};
use super::requests::{LAST, told, with_number};
use super::stage::{self, Side};
use super::talk::talk;
use super::verdict::short;
use super::{attacks, oracle};

/// Connections under way at a time: nearly all of them sleep.
const AT_ONCE: usize = 64;
/// Drawn from both corpora, beside connections that hold several requests.
const SAMPLE: usize = 420;
/// Byte by byte takes a millisecond for each.
const LONGEST: usize = 700;
/// Patient enough for whoever gets little of the processor.
const PATIENT: (&str, &str) = (
    "in",
    "normalize_path: true\n          common_http_protocol_options: {idle_timeout: 15s}\n          http_protocol_options: {}",
);

#[test]
fn pieces_are_as_good_as_the_whole() {
    let side = stage::ours(&(Arc::new(|_: &str| None) as _), &[PATIENT]);
    let cases = sample();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { return };
                    if let Some(why) = cut_up(&side, number, case) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    eprintln!("{} connections, each four times", cases.len());
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

/// A case whole, byte by byte, in two, and in a few pieces.
fn cut_up(side: &Side, number: usize, case: &Case) -> Option<String> {
    let bytes = with_number(&case.bytes, number);
    let mut dice = Dice::new(0xc075 + number as u64);
    let whole = outcome(side, &[&bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let two = bytes.split_at(1 + dice.below(bytes.len() - 1));
    let mut few: Vec<&[u8]> = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + dice.below(60)).min(rest.len()));
        few.push(piece);
        rest = after;
    }
    for (name, pieces) in [("byte by byte", &single[..]), ("in two", &[two.0, two.1]), ("in a few", &few)] {
        let got = outcome(side, pieces);
        if got != whole {
            return Some(format!(
                "{} {:?} {name}:\n   whole  {whole:?}\n   pieces {got:?}",
                case.family,
                short(&bytes)
            ));
        }
    }
    None
}

fn outcome(side: &Side, pieces: &[&[u8]]) -> Vec<String> {
    let got = talk(side.listen[0], pieces, false, &side.method()).unwrap();
    told(side, &got)
}

/// Connections that end by themselves, with another request behind each.
fn sample() -> Vec<Case> {
    let mut dice = Dice::new(0x9a12);
    let pool: Vec<Case> = corpus::all().into_iter().chain(attacks::all()).collect();
    let mut cases: Vec<Case> = Vec::new();
    while cases.len() < SAMPLE {
        let mut drawn = pool[dice.below(pool.len())].clone();
        if cases.len().is_multiple_of(3) {
            let good = "GET /T0KEN/1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /T0KEN/2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n";
            drawn.bytes.splice(0..0, good.bytes());
        }
        drawn.bytes.extend_from_slice(LAST.as_bytes());
        // Who waits for more than was sent is cut off by a clock, which says nothing about pieces.
        let waits = matches!(oracle::requests(&drawn.bytes), (_, Err("not complete")));
        if !waits && drawn.bytes.len() < LONGEST {
            cases.push(drawn);
        }
    }
    cases
}
