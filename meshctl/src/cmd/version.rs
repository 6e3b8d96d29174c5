//! `meshctl version`: of this program, of the control plane, and of the proxies that are connected to it.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::printed::{Printed, code};
use crate::client::{Mesh, NoPilot, Pod};
use crate::globals::{Globals, Short};
use crate::proxy_config::{Form, text};

/// Show the versions of meshctl, the control plane and the proxies
#[derive(Args, Clone, Debug)]
pub struct Version {
    /// Numbers only; --short=false adds the build
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(
        hide_possible_values = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true
    )]
    short: bool,
    /// Ask the mesh too; --remote=false does not
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(
        hide_possible_values = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true
    )]
    remote: bool,
    /// Only this revision of the control plane
    #[arg(short, long, value_name = "REVISION", hide_short_help = true)]
    revision: Option<String>,
    /// json or yaml
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    #[command(flatten)]
    flags: Short,
}

/// What a mesh says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Remote {
    /// Revision and version of each pilot.
    control_plane: Vec<(String, String)>,
    /// Proxy id and version.
    proxies: Vec<(String, String)>,
}

/// Runs it.
///
/// # Errors
/// The form cannot be made. A mesh that does not answer is told beside the version of this program.
pub fn run(args: &Version, globals: &Globals) -> Result<Printed> {
    let mut printed = Printed::default();
    let remote = if args.remote { remote(args, globals, &mut printed) } else { None };
    printed.out = match args.output.unwrap_or_default() {
        Form::Short => plain(remote.as_ref(), args.short),
        form => text(&structured(remote.as_ref()), form)?,
    };
    Ok(printed)
}

/// What the mesh says. The version of this program is an answer in any case, so what goes wrong stands beside it; but a
/// mesh that was meant and does not answer is a failure.
fn remote(args: &Version, globals: &Globals, printed: &mut Printed) -> Option<Remote> {
    let globals = globals.with(&args.flags);
    let found = Mesh::find_if_running(&globals).and_then(|mesh| match mesh {
        Some(mesh) => ask(&mesh.revision(args.revision.as_deref())).map(Some),
        None => Ok(None),
    });
    match found {
        Ok(Some(remote)) => return Some(remote),
        Ok(None) => {
            let mesh = globals.own_mesh();
            printed.err = format!(
                "no mesh {mesh} is running here, and no cluster is meant; `meshctl up FILE|DIR` starts one\n"
            );
        }
        Err(error) => {
            // A cluster without a mesh has answered.
            printed.code = if error.is::<NoPilot>() { code::OK } else { code::FAILED };
            printed.err = format!("{error:#}\n");
        }
    }
    None
}

fn ask(mesh: &Mesh) -> Result<Remote> {
    let one = |(pod, page): (Pod, String)| (pod.revision().to_owned(), version_of(&page));
    let control_plane = mesh.pilots_page("/version")?.into_iter().map(one).collect();
    let states = super::proxy_status::states(&super::proxy_status::entries(mesh)?);
    let proxies = states.into_iter().map(|state| (state.proxy, state.version)).collect();
    Ok(Remote { control_plane, proxies })
}

/// A string, or an object that holds one.
fn version_of(page: &str) -> String {
    match serde_json::from_str::<Value>(page) {
        Ok(Value::String(version)) => version,
        Ok(Value::Object(map)) => map.get("version").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => page.trim().to_owned(),
    }
}

fn plain(remote: Option<&Remote>, short: bool) -> String {
    let own = env!("CARGO_PKG_VERSION");
    let mut out = format!("client version: {own}\n");
    if !short {
        let build = option_env!("MESH_BUILD_ID").unwrap_or("none");
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        out = format!("client version: {own} (build {build}, {system}/{machine})\n");
    }
    let Some(remote) = remote else { return out };
    let mut planes: Vec<&str> = remote.control_plane.iter().map(|(_, version)| version.as_str()).collect();
    planes.dedup();
    out.push_str(&format!("control plane version: {}\n", planes.join(", ")));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, version) in &remote.proxies {
        *counts.entry(if version.is_empty() { "unknown" } else { version }).or_default() += 1;
    }
    let proxies = |(version, count): (&str, usize)| match count {
        1 => format!("{version} (1 proxy)"),
        count => format!("{version} ({count} proxies)"),
    };
    let counts: Vec<String> = counts.into_iter().map(proxies).collect();
    let none = || "none".to_owned();
    out.push_str(&format!(
        "data plane version: {}\n",
        counts.into_iter().reduce(|a, b| a + ", " + &b).unwrap_or_else(none)
    ));
    out
}

fn structured(remote: Option<&Remote>) -> Value {
    let build = option_env!("MESH_BUILD_ID").unwrap_or("unknown");
    let version = env!("CARGO_PKG_VERSION");
    let mut out = json!({"clientVersion": {"version": version, "revision": build, "tag": version}});
    if let Some(remote) = remote {
        let plane = |(revision, version): &(String, String)| json!({"Component": "pilot", "Revision": revision, "Info": {"version": version}});
        let proxy = |(id, version): &(String, String)| json!({"ID": id, "IstioVersion": version});
        out["meshVersion"] = remote.control_plane.iter().map(plane).collect();
        out["dataPlaneVersion"] = remote.proxies.iter().map(proxy).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_counted_by_version() {
        let proxy = |id: &str, version: &str| (id.to_owned(), version.to_owned());
        let remote = Remote {
            control_plane: vec![proxy("default", "0.1.0"), proxy("default", "0.1.0")],
            proxies: vec![proxy("a", "0.1.0"), proxy("b", "0.1.0"), proxy("c", "1.40.0")],
        };
        let text = plain(Some(&remote), true);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["control plane version: 0.1.0", "data plane version: 0.1.0 (2 proxies), 1.40.0 (1 proxy)"]
        );
        assert_eq!(structured(Some(&remote))["dataPlaneVersion"][2]["IstioVersion"], "1.40.0");
    }
}
