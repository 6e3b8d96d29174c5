//! Which rules of a virtual host can match a path at all, without trying each.
//!
//! In: the rules, in order of preference; then a path. Out: numbers of rules, smallest first, so that the first one that
//! matches is the one that a walk over all of them would find. Made by `compile` for hosts with many rules, asked by
//! `decide`. Costs one binary search over the texts, and what the rules that share a prefix with the path cost.

use smallvec::SmallVec;

use crate::config::{PathMatch, Rule};
use std::sync::Arc;

/// With fewer rules than this a walk over all of them is as quick.
const FEW: usize = 8;

/// The paths of one virtual host's rules.
#[derive(Debug)]
pub struct PathIndex {
    /// By text, so that whatever begins with a text stands right behind it.
    entries: Vec<Entry>,
    /// Rules that no text stands for: expressions, CONNECT, and those that do not tell letters apart.
    rest: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    /// The longest other text that this one begins with.
    parent: Option<u32>,
    /// Rules for exactly this path.
    exact: Vec<u32>,
    /// Rules for all paths that begin with it.
    prefix: Vec<u32>,
}

impl PathIndex {
    /// The index of these rules; `None`: there are too few.
    pub(crate) fn new(rules: &[Arc<Rule>]) -> Option<Self> {
        if rules.len() < FEW {
            return None;
        }
        let mut texts: Vec<(&Arc<str>, bool, u32)> = Vec::new();
        let mut rest = Vec::new();
        for (rule, number) in rules.iter().zip(0u32..) {
            match &rule.path {
                PathMatch::Exact { text, ignore_case: false } => texts.push((text, true, number)),
                PathMatch::Prefix { text, ignore_case: false }
                | PathMatch::Element { text, ignore_case: false } => texts.push((text, false, number)),
                _ => rest.push(number),
            }
        }
        texts.sort();
        let mut entries: Vec<Entry> = Vec::new();
        for (text, exact, number) in texts {
            if entries.last().is_none_or(|last| last.text != *text) {
                let parent = prefix_of(&entries, entries.len().checked_sub(1), text);
                let parent = parent.and_then(|at| u32::try_from(at).ok());
                entries.push(Entry { text: text.clone(), parent, exact: Vec::new(), prefix: Vec::new() });
            }
            if let Some(last) = entries.last_mut() {
                if exact { last.exact.push(number) } else { last.prefix.push(number) }
            }
        }
        Some(PathIndex { entries, rest })
    }

    /// Numbers of the rules that may match this path, which has no query, smallest first.
    pub fn candidates(&self, path: &str) -> impl Iterator<Item = usize> + use<'_> {
        let mut lists: SmallVec<[&[u32]; 6]> = SmallVec::new();
        lists.push(&self.rest[..]);
        let after = self.entries.partition_point(|entry| *entry.text <= *path);
        // What the path begins with, the nearest text before it begins with too.
        let mut at = prefix_of(&self.entries, after.checked_sub(1), path);
        while let Some(entry) = at.and_then(|at| self.entries.get(at)) {
            if entry.text.len() == path.len() {
                lists.push(&entry.exact[..]);
            }
            lists.push(&entry.prefix[..]);
            at = entry.parent.map(|parent| parent as usize);
        }
        lists.retain(|list| !list.is_empty());
        Candidates(lists)
    }
}

/// The longest text that `path` begins with, among this entry and its parents.
fn prefix_of(entries: &[Entry], mut at: Option<usize>, path: &str) -> Option<usize> {
    loop {
        let entry = entries.get(at?)?;
        if path.starts_with(&*entry.text) {
            return at;
        }
        at = entry.parent.map(|parent| parent as usize);
    }
}

/// Sorted lists of numbers, merged.
struct Candidates<'a>(SmallVec<[&'a [u32]; 6]>);

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let list = self.0.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
        let (first, others) = list.split_first()?;
        *list = others;
        Some(*first as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, HeaderOps};

    fn rule(path: PathMatch) -> Arc<Rule> {
        Arc::new(Rule {
            name: "".into(),
            path,
            headers: Vec::new(),
            query: Vec::new(),
            fraction: None,
            action: Action::Respond { status: http::StatusCode::OK, body: bytes::Bytes::new() },
            header_ops: HeaderOps::default(),
            fault: None,
            cors: None,
            config: None,
            origin: None,
            operation: None,
        })
    }

    /// Every path of a small alphabet against every rule of it, in an order that mixes long and short texts.
    #[test]
    fn candidates_hold_whatever_matches_in_order() {
        let texts = ["/b", "/", "/a/b", "/a", "", "/ab", "/a/b/a", "/b/b", "/a", "/ba", "/a/", "/aa"];
        let mut rules = Vec::new();
        for (number, text) in texts.iter().cycle().take(60).enumerate() {
            let (text, ignore_case) = (Arc::from(*text), number % 11 == 3);
            rules.push(rule(match number % 4 {
                0 => PathMatch::Exact { text, ignore_case },
                1 => PathMatch::Prefix { text, ignore_case },
                2 => PathMatch::Element { text, ignore_case },
                _ => PathMatch::Regex(regex::bytes::Regex::new(&format!("^(?:{text}.)$")).unwrap()),
            }));
        }
        let index = PathIndex::new(&rules).unwrap();
        let mut paths = vec![String::new()];
        for length in 0..6 {
            let longer: Vec<String> = paths.iter().filter(|path| path.len() == length).cloned().collect();
            paths.extend(longer.iter().flat_map(|path| ["/", "a", "b"].map(|c| format!("{path}{c}"))));
        }
        let headers = http::HeaderMap::new();
        for path in &paths {
            let candidates: Vec<usize> = index.candidates(path).collect();
            assert!(candidates.is_sorted(), "{path}: {candidates:?}");
            let head = super::super::Head {
                method: &http::Method::GET,
                scheme: "http",
                authority: "a",
                path,
                headers: &headers,
            };
            let matches =
                |rule: &Arc<Rule>| super::super::rule_matches(rule, &head, &mut crate::dice::Dice::new(1));
            let all: Vec<usize> = (0..rules.len()).filter(|at| matches(&rules[*at])).collect();
            let found: Vec<usize> = candidates.into_iter().filter(|at| matches(&rules[*at])).collect();
            assert_eq!(found, all, "{path}");
        }
    }

    #[test]
    fn few_rules_need_no_index() {
        let one = rule(PathMatch::Connect);
        assert!(PathIndex::new(&vec![one.clone(); FEW - 1]).is_none());
        assert_eq!(PathIndex::new(&vec![one; FEW]).unwrap().candidates("/x").count(), FEW);
    }

    #[test]
    fn ten_thousand_paths_cost_a_few_candidates() {
        let prefix = |n| rule(PathMatch::Prefix { text: format!("/team-{n}/").into(), ignore_case: false });
        let mut rules: Vec<_> = (0..10_000).map(prefix).collect();
        rules.push(rule(PathMatch::Prefix { text: "/".into(), ignore_case: false }));
        let index = PathIndex::new(&rules).unwrap();
        assert_eq!(index.candidates("/team-4711/x").collect::<Vec<_>>(), [4711, 10_000]);
        assert_eq!(index.candidates("/nobody").collect::<Vec<_>>(), [10_000]);
        assert_eq!(index.candidates("*").count(), 0);
    }
}
