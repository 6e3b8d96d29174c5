//! What `resourceFieldRef` gives a container: its limits and requests as numbers. They are told and not enforced.
//!
//! In: a container and such a reference. Out: the number in units of the divisor, rounded up; for a limit that is not
//! set what this machine has, as a kubelet gives what its node has.

use api::core::{Container, ResourceFieldSelector};

/// The value of a reference.
pub fn value(container: &Container, wanted: &ResourceFieldSelector) -> Result<String, String> {
    let wrong = || {
        format!(
            "resourceFieldRef {:?} is not known here: use limits.cpu, limits.memory, requests.cpu or requests.memory",
            wanted.resource
        )
    };
    let (list, name) = wanted.resource.split_once('.').ok_or_else(wrong)?;
    let whole = match name {
        "cpu" => cpus(),
        "memory" => memory(),
        _ => return Err(wrong()),
    };
    let resources = container.resources.as_ref();
    let of = |limits: bool| {
        let resources = resources?;
        let list = if limits { &resources.limits } else { &resources.requests };
        list.get(name)?.value()
    };
    let own = match list {
        "limits" => of(true).unwrap_or(whole),
        // A limit without a request is also the request.
        "requests" => of(false).or_else(|| of(true)).unwrap_or(0.0),
        _ => return Err(wrong()),
    };
    let divisor = wanted.divisor.as_ref().and_then(api::text::Quantity::value).filter(|one| *one > 0.0);
    Ok(format!("{}", (own / divisor.unwrap_or(1.0)).ceil()))
}

fn cpus() -> f64 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    f64::from(u32::try_from(count).unwrap_or(1))
}

/// Bytes of this machine; 0 where /proc does not say.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_requests_and_divisors() {
        let container: Container = serde_json::from_value(json!({
            "name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "100m"}},
        }))
        .unwrap();
        let ask = |resource: &str, divisor: Option<&str>| {
            let wanted = json!({"resource": resource, "divisor": divisor});
            value(&container, &serde_json::from_value(wanted).unwrap())
        };
        assert_eq!(ask("limits.cpu", None).unwrap(), "2");
        assert_eq!(ask("limits.cpu", Some("1m")).unwrap(), "1500");
        assert_eq!(ask("limits.memory", None).unwrap(), "67108864");
        assert_eq!(ask("limits.memory", Some("1Mi")).unwrap(), "64");
        assert_eq!(ask("requests.cpu", Some("1m")).unwrap(), "100");
        assert_eq!(ask("requests.memory", Some("1Mi")).unwrap(), "64");
        assert!(ask("limits.gpu", None).unwrap_err().contains("limits.memory"));
        let bare = Container::default();
        let wanted = serde_json::from_value(json!({"resource": "limits.cpu"})).unwrap();
        assert_ne!(value(&bare, &wanted).unwrap(), "0", "what the machine has");
    }
}
