//! Two texts line by line, as `diff -u` shows them. In: texts. Out: changed lines with three lines around each.

/// Lines kept around a change.
const AROUND: usize = 3;

/// The changed parts; empty for equal texts.
pub fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let edits = edits(&old, &new);
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        edits.iter().skip(from).take(at - from + AROUND + 1).any(|(sign, _)| *sign != ' ')
    };
    let mut out = String::new();
    let mut skipped = false;
    for (at, (sign, line)) in edits.iter().enumerate() {
        if !near(at) {
            skipped = true;
            continue;
        }
        if skipped {
            out.push_str("@@\n");
            skipped = false;
        }
        out.push_str(&format!("{sign}{line}\n"));
    }
    out
}

/// Kept, removed and added lines in order. What both begin and end with is set aside first; the rest goes through a
/// table, unless it is so large that only whole replacement is affordable.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_mid, new_mid) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let mut out: Vec<(char, &str)> = old[..head].iter().map(|line| (' ', *line)).collect();
    if old_mid.len().saturating_mul(new_mid.len()) <= 25_000_000 {
        middle(old_mid, new_mid, &mut out);
    } else {
        out.extend(old_mid.iter().map(|line| ('-', *line)));
        out.extend(new_mid.iter().map(|line| ('+', *line)));
    }
    out.extend(old_rest[old_mid.len()..].iter().map(|line| (' ', *line)));
    out
}

/// Longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str], out: &mut Vec<(char, &'a str)>) {
    let width = new.len() + 1;
    let mut longest = vec![0u32; (old.len() + 1) * width];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            longest[a * width + b] = match old[a] == new[b] {
                true => longest[(a + 1) * width + b + 1] + 1,
                false => longest[(a + 1) * width + b].max(longest[a * width + b + 1]),
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            out.push((' ', old[a]));
            (a, b) = (a + 1, b + 1);
        } else if a < old.len()
            && (b == new.len() || longest[(a + 1) * width + b] >= longest[a * width + b + 1])
        {
            out.push(('-', old[a]));
            a += 1;
        } else {
            out.push(('+', new[b]));
            b += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_with_their_surroundings() {
        assert_eq!(diff("a\nb", "a\nb"), "");
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10";
        assert_eq!(diff(old, new), "@@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+10\n");
        assert_eq!(diff("a", "b"), "-a\n+b\n");
        assert_eq!(diff("", "b"), "+b\n");
    }
}
