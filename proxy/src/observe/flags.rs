//! Response flags: a request's failures in Envoy's letters, in the order in which they were noted, each once.
//!
//! In: the failures in the order in which they happened. Out: `URX,UF`, or `-` for none. Read by logs, metric
//! labels and spans. Envoy prints its flags in this order too, since it keeps them as a list.

use crate::fail::Failure;

const KNOWN: [&str; 21] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "DC", "URX", "SI", "DPE",
    "UPE", "NC", "DT", "OM",
];

/// The flags of the failures, each once.
fn each(failures: &[Failure]) -> impl Iterator<Item = &'static str> + '_ {
    let flags =
        failures.iter().map(|failure| failure.row().flag).enumerate().filter(|(_, flag)| !flag.is_empty());
    flags
        .filter(|(at, flag)| !failures[..*at].iter().any(|before| before.row().flag == *flag))
        .map(|(_, flag)| flag)
}

/// A number for a list of flags: five bits for each, so that other flags or another order are another number.
pub(crate) fn bits(failures: &[Failure]) -> u32 {
    each(failures).fold(0, |bits, flag| {
        let number = KNOWN.iter().position(|known| *known == flag).map_or(0, |at| at as u32 + 1);
        bits << 5 | number
    })
}

/// Appends the flags, joined by commas; `-` for none.
pub(crate) fn write(failures: &[Failure], out: &mut String) {
    let start = out.len();
    for flag in each(failures) {
        if out.len() > start {
            out.push(',');
        }
        out.push_str(flag);
    }
    if out.len() == start {
        out.push('-');
    }
}

/// As text.
pub(crate) fn text(failures: &[Failure]) -> String {
    let mut out = String::new();
    write(failures, &mut out);
    out
}
