//! Commands of istioctl and kubectl that are not here, and what to do instead.
//!
//! In: a word that is no command. Out: what it would be for, and what does it here; nothing for a word that nobody
//! knows. So muscle memory gets an answer, not "unrecognized subcommand".

/// Those that work on a cluster.
const CLUSTER: [(&str, &str); 2] =
    [("create-remote-secret", "joins clusters"), ("workload", "adds machines to a cluster's mesh")];

/// Those with another way to the same end.
const INSTEAD: [(&str, &str); 38] = [
    ("waypoint", "waypoints belong to ambient mode, which this mesh does not have: pods get a sidecar"),
    ("ztunnel-config", "ztunnels belong to ambient mode, which this mesh does not have: pods get a sidecar"),
    ("kube-inject", "it is `meshctl kube-inject`"),
    ("kube-uninject", "apply the manifest from which the injected one was made"),
    ("injector", "it is `meshctl x injector list`"),
    ("check-inject", "it is `meshctl x check-inject`"),
    ("envoy-stats", "it is `meshctl x envoy-stats`"),
    ("internal-debug", "it is `meshctl x internal-debug`"),
    ("metrics", "it is `meshctl x metrics`"),
    ("authz", "it is `meshctl x authz check`"),
    ("revision", "`meshctl tag list` lists revisions and their tags"),
    ("config", "there is no configuration file: flags, MESHCTL_MESH and KUBECONFIG say all"),
    ("options", "`meshctl -h` lists the flags of all commands"),
    ("edit", "change the file and `meshctl apply -f` it; `meshctl get KIND NAME -o yaml` prints an object"),
    ("patch", "change the file and `meshctl apply -f` it; `meshctl get KIND NAME -o yaml` prints an object"),
    ("replace", "`meshctl apply -f FILE` changes what is there"),
    ("diff", "`meshctl apply -f FILE --dry-run` says which objects would change"),
    ("set", "change the file and `meshctl apply -f` it"),
    ("expose", "write a Service and `meshctl apply -f` it"),
    ("run", "write a Deployment and `meshctl apply -f` it; samples/curl is a pod to send requests from"),
    ("autoscale", "`meshctl scale` sets the number of replicas; nothing changes it by itself"),
    ("explain", "`meshctl validate -f FILE` names wrong and unknown fields with their lines"),
    (
        "api-resources",
        "`meshctl get KIND` knows the kinds of Kubernetes and Istio that a mesh reads, and their short names",
    ),
    ("api-versions", "`meshctl get KIND` knows the kinds of Kubernetes and Istio that a mesh reads"),
    (
        "cluster-info",
        "`meshctl version` and `meshctl get services -A` tell what runs and where it is published",
    ),
    ("events", "`meshctl logs POD -c mesh` is what the mesh says about a pod"),
    ("top", "processes of this machine: use top or ps"),
    ("cp", "programs see this machine's files; or `meshctl exec -i POD -- sh -c 'cat > FILE' < FILE`"),
    ("attach", "`meshctl logs -f POD` follows the output, `meshctl exec -it POD -- sh` opens a shell"),
    ("debug", "`meshctl exec -it POD -- sh` opens a shell beside the application"),
    ("proxy", "there is no API server to reach; `meshctl port-forward POD PORT` opens a port of a pod"),
    ("auth", "whoever may use the mesh's folder may do everything"),
    (
        "kustomize",
        "`meshctl apply -k DIR` reads the resources of a kustomization.yaml; build others with kustomize first",
    ),
    ("drain", "there is one node only"),
    ("cordon", "there is one node only"),
    ("profile", "`meshctl manifest generate --set profile=NAME` prints what a profile installs"),
    ("operator", "istioctl has none any more, either"),
    ("verify-install", "`meshctl install --verify` looks at every object once more"),
];

/// Other words for the same.
const ALIASES: [(&str, &str); 4] = [
    ("wp", "waypoint"),
    ("zc", "ztunnel-config"),
    ("uninject", "kube-uninject"),
    ("verify", "verify-install"),
];

/// What to say about a word that is no command here; nothing about one that nobody knows.
#[must_use]
pub fn answer(word: &str) -> Option<String> {
    let named = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, name)| name);
    let of =
        |list: &'static [(&str, &str)]| list.iter().find(|(name, _)| *name == named).map(|(_, text)| *text);
    if let Some(text) = of(&CLUSTER) {
        return Some(format!("{word} needs a Kubernetes cluster, which a later release serves: it {text}"));
    }
    of(&INSTEAD).map(|text| format!("{word} is not there: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_is_answered() {
        assert!(answer("workload").unwrap().starts_with("workload needs a Kubernetes cluster"));
        assert!(answer("zc").unwrap().contains("ambient"));
        assert_eq!(answer("nonsense"), None);
    }
}
