//! Two outcomes of each case: where they differ, a row of `docs/differences.md` must say why.
//!
//! Which row that may be is told from the bytes alone, by a detector for each. A difference that no row explains fails,
//! and so does a row that explains none any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kinds::Kind;
use crate::differences::DIFFERENCES;

/// A case's outcome at both planes.
pub(crate) struct Judged {
    pub(crate) family: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) envoy: Vec<String>,
    pub(crate) ours: Vec<String>,
}

/// Runs `one` with the number of each case and the case, `at_once` of them at a time; it adds what is wrong whatever the
/// planes say. In no order.
pub(crate) fn judge<C: Sync>(
    cases: &[C],
    at_once: usize,
    one: impl Fn(usize, &C, &mut Vec<String>) -> Judged + Sync,
) -> (Vec<Judged>, Vec<String>) {
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { return };
                    let mut wrong = Vec::new();
                    let judged = one(number, case, &mut wrong);
                    let mut outcome = outcome.lock().unwrap();
                    outcome.0.push(judged);
                    outcome.1.append(&mut wrong);
                }
            });
        }
    });
    outcome.into_inner().unwrap()
}

/// Fails with all that is wrong, and with rows that no case shows.
pub(crate) fn give(what: &str, kinds: &[Kind], judged: &[Judged], mut wrong: Vec<String>) {
    let explained = compare(what, kinds, judged, &mut wrong);
    fail_idle(kinds, &explained, &mut wrong);
    fail(what, &wrong);
}

/// Rows that no case shows are wrong.
pub(crate) fn fail_idle(kinds: &[Kind], explained: &BTreeMap<&str, usize>, wrong: &mut Vec<String>) {
    let idle: BTreeSet<&str> =
        kinds.iter().map(|kind| kind.name).filter(|name| !explained.contains_key(name)).collect();
    if !idle.is_empty() {
        wrong.push(format!("rows that explain nothing any more: {idle:?}"));
    }
}

/// Fails where anything is wrong.
pub(crate) fn fail(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}: {} faults\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

/// Adds the differences that no row explains; how often each row explains one.
pub(crate) fn compare(
    what: &str,
    kinds: &[Kind],
    judged: &[Judged],
    wrong: &mut Vec<String>,
) -> BTreeMap<&'static str, usize> {
    let mut explained: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut groups: BTreeMap<(String, String, &str), Vec<&Judged>> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.envoy != one.ours) {
        let at = one.envoy.iter().zip(&one.ours).take_while(|(a, b)| a == b).count();
        let [envoy, ours] =
            [&one.envoy, &one.ours].map(|told| told.get(at).map_or("none", |text| word(text)));
        let mut found: Vec<&Kind> = kinds.iter().filter(|kind| (kind.is)(&one.bytes)).collect();
        let row = |kind: &Kind| DIFFERENCES.statuses(kind.name).unwrap_or_default();
        found.retain(|kind| row(kind)[1].map_or(!ours.starts_with('2'), |status| is(ours, status)));
        if found.is_empty() {
            groups.entry((envoy.into(), ours.into(), one.family)).or_default().push(one);
        }
        // Where bytes are odd in several ways Envoy may have stumbled over another one: that shows no row.
        for kind in found.iter().filter(|kind| row(kind)[0].is_none_or(|status| is(envoy, status))) {
            *explained.entry(kind.name).or_default() += 1;
        }
    }
    for ((envoy, ours, family), list) in &groups {
        let mut text =
            format!("{} of {family} differ, and no row says why: envoy {envoy}, ours {ours}", list.len());
        for one in list.iter().take(6) {
            text.push_str(&format!(
                "\n   {:?}\n      envoy {:?}\n      ours  {:?}",
                short(&one.bytes),
                one.envoy,
                one.ours
            ));
        }
        wrong.push(text);
    }
    eprintln!("{what}: {} cases, {explained:?}", judged.len());
    explained
}

/// Status of an outcome; text where there is none.
fn word(text: &str) -> &str {
    text.split(" <-").next().unwrap_or_default()
}

/// An outcome has this status, perhaps after interim ones.
fn is(outcome: &str, status: u16) -> bool {
    outcome.split(' ').any(|word| word == status.to_string())
}

pub(crate) fn short(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).take(300).collect()
}
