//! Response flags: the set of a request's failures in Envoy's letters and Envoy's order.
//!
//! In: the failures in the order in which they happened. Out: `UF,URX`, or `-` for none. Read by logs, metric
//! labels and spans.

use crate::fail::Failure;

/// Envoy prints flags in the order of its enumeration, not of events.
const ORDER: [&str; 21] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "DC", "URX", "SI", "DPE",
    "UPE", "NC", "DT", "OM",
];

/// One bit per flag of [`ORDER`].
pub(crate) fn bits(failures: &[Failure]) -> u32 {
    failures.iter().fold(0, |bits, failure| {
        let flag = failure.row().flag;
        match ORDER.iter().position(|known| *known == flag) {
            Some(at) => bits | 1 << at,
            None => bits,
        }
    })
}

/// Appends the flags, joined by commas; `-` for none.
pub(crate) fn write(failures: &[Failure], out: &mut String) {
    let bits = bits(failures);
    if bits == 0 {
        out.push('-');
        return;
    }
    let mut first = true;
    for (at, flag) in ORDER.iter().enumerate() {
        if bits & 1 << at != 0 {
            if !first {
                out.push(',');
            }
            out.push_str(flag);
            first = false;
        }
    }
}

/// As text.
pub(crate) fn text(failures: &[Failure]) -> String {
    let mut out = String::new();
    write(failures, &mut out);
    out
}
