//! What the path of an injection webhook says about the cluster that the pod is in.
//!
//! In: `/inject/cluster/NAME/net/NAME`, or the old form `/inject/:ENV:cluster=NAME:ENV:net=NAME`. Out: variables of the
//! proxy. A `/` inside of a value is written `--slash--`.

use std::collections::BTreeMap;

/// Reads the path.
#[must_use]
pub fn variables(path: &str) -> BTreeMap<String, String> {
    let rest = path.trim_end_matches('/').strip_prefix("/inject").unwrap_or_default().trim_start_matches('/');
    let pairs: Vec<(String, String)> = if rest.starts_with(":ENV:") {
        let pairs = rest.split(":ENV:").filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    } else {
        let words: Vec<&str> = rest.split('/').collect();
        let pairs = words.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].replace("--slash--", "/")));
        pairs.collect()
    };
    pairs.into_iter().filter(|(key, _)| !key.is_empty()).map(|(key, value)| (variable(&key), value)).collect()
}

fn variable(key: &str) -> String {
    match key {
        "cluster" => "ISTIO_META_CLUSTER_ID".to_owned(),
        "net" => "ISTIO_META_NETWORK".to_owned(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let of = |path: &str| {
            let pairs: Vec<String> =
                variables(path).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(" ")
        };
        assert_eq!(of("/inject"), "");
        assert_eq!(of("/inject/"), "");
        assert_eq!(of("/inject/cluster/c1/net/n1"), "ISTIO_META_CLUSTER_ID=c1 ISTIO_META_NETWORK=n1");
        assert_eq!(of("/inject/cluster/a--slash--b/my_var/x/odd"), "ISTIO_META_CLUSTER_ID=a/b MY_VAR=x");
        assert_eq!(of("/inject/:ENV:cluster=c=1:ENV:net="), "ISTIO_META_CLUSTER_ID=c=1 ISTIO_META_NETWORK=");
    }
}
