//! `meshctl dashboard`: opens pages of the mesh and of its addons in a browser, through a port-forward.
//!
//! In: which page, where to listen. Out: the URL, then a listener until Ctrl-C. The pod is found by the labels that the
//! addons' manifests give; nothing has to be published for it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args, Subcommand};
use tokio::net::TcpListener;

use super::printed::{BadUsage, Printed};
use super::xds::labels;
use crate::client::{Mesh, Pod, forward};
use crate::globals::{Globals, Short};

/// Open a page of the mesh or of an addon in a browser
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  \
    meshctl dashboard kiali\n  \
    meshctl dashboard proxy deploy/productpage-v1\n  \
    meshctl dashboard controlz deploy/istiod.istio-system --browser=false")]
pub struct Dashboard {
    #[command(subcommand)]
    what: What,
    /// Local port; the page's own where none is said, or a free one if that is taken
    #[arg(short, long, global = true, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Local address to listen on
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        default_value = "localhost",
        hide_default_value = true
    )]
    address: String,
    /// Open a browser; --browser=false prints the URL only
    #[arg(long, global = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(
        hide_possible_values = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true
    )]
    browser: bool,
    #[command(flatten)]
    flags: Short,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Graphs of metrics
    Grafana(Addon),
    /// Traces
    Jaeger(Addon),
    /// The mesh as a graph
    Kiali(Addon),
    /// Metrics
    Prometheus(Addon),
    /// Traces and metrics
    Skywalking(Addon),
    /// Traces
    Zipkin(Addon),
    /// Log levels and more of a pilot
    Controlz(Target),
    /// Pilot's debug pages
    #[command(name = "istiod-debug")]
    IstiodDebug(Target),
    /// A proxy's admin pages
    #[command(visible_alias = "envoy")]
    Proxy(Target),
}

#[derive(Args, Clone, Debug)]
struct Addon {
    /// Port of the page in the pod
    #[arg(long, value_name = "PORT")]
    ui_port: Option<u16>,
    /// Labels of the pod, instead of the usual ones
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct Target {
    /// [TYPE/]POD[.NAMESPACE]
    pod: Option<String>,
    /// Port of the page in the pod
    #[arg(long, alias = "ctrlz_port", value_name = "PORT")]
    ui_port: Option<u16>,
    /// Labels of the pod, instead of its name
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "pod")]
    selector: Option<String>,
}

/// Where an addon is found.
struct Place {
    name: &'static str,
    /// Several manifests of the same addon have different ones.
    labels: &'static [(&'static str, &'static str)],
    port: u16,
    path: &'static str,
}

impl Place {
    const fn new(
        name: &'static str,
        labels: &'static [(&'static str, &'static str)],
        port: u16,
        path: &'static str,
    ) -> Self {
        Self { name, labels, port, path }
    }
}

const GRAFANA: Place =
    Place::new("Grafana", &[("app.kubernetes.io/name", "grafana"), ("app", "grafana")], 3000, "");
const JAEGER: Place =
    Place::new("Jaeger", &[("app", "jaeger"), ("app.kubernetes.io/name", "jaeger")], 16686, "");
const KIALI: Place =
    Place::new("Kiali", &[("app", "kiali"), ("app.kubernetes.io/name", "kiali")], 20001, "/kiali");
const PROMETHEUS: Place =
    Place::new("Prometheus", &[("app.kubernetes.io/name", "prometheus"), ("app", "prometheus")], 9090, "");
const SKYWALKING: Place = Place::new("SkyWalking", &[("app", "skywalking-ui")], 8080, "");
const ZIPKIN: Place = Place::new("Zipkin", &[("app", "zipkin")], 9411, "");

/// Serves until Ctrl-C.
///
/// # Errors
/// There is no such pod, or nobody can listen there.
pub fn run(args: &Dashboard, globals: &Globals) -> Result<Printed> {
    let mesh = Mesh::find(&globals.with(&args.flags))?;
    let (pod, remote, path) = match &args.what {
        What::Grafana(one) => addon(&mesh, globals, &GRAFANA, one)?,
        What::Jaeger(one) => addon(&mesh, globals, &JAEGER, one)?,
        What::Kiali(one) => addon(&mesh, globals, &KIALI, one)?,
        What::Prometheus(one) => addon(&mesh, globals, &PROMETHEUS, one)?,
        What::Skywalking(one) => addon(&mesh, globals, &SKYWALKING, one)?,
        What::Zipkin(one) => addon(&mesh, globals, &ZIPKIN, one)?,
        What::Controlz(one) => (pilot(&mesh, one)?, one.ui_port.unwrap_or(9876), ""),
        What::IstiodDebug(one) => (pilot(&mesh, one)?, one.ui_port.unwrap_or(15014), "/debug"),
        What::Proxy(one) => (proxy(&mesh, one)?, one.ui_port.unwrap_or(15000), ""),
    };
    mesh.wait(serve(&mesh, args, &pod, remote, path))?;
    Ok(Printed::default())
}

fn addon(mesh: &Mesh, globals: &Globals, place: &Place, args: &Addon) -> Result<(Pod, u16, &'static str)> {
    let namespace = globals.said_namespace().unwrap_or(mesh.system());
    let pods = mesh.pods(Some(namespace))?;
    let wanted: Vec<Vec<(String, String)>> = match &args.selector {
        Some(selector) => vec![labels(selector)?],
        None => {
            place.labels.iter().map(|(key, value)| vec![((*key).to_owned(), (*value).to_owned())]).collect()
        }
    };
    let found = pods.iter().filter(|pod| wanted.iter().any(|labels| pod.has(labels)));
    let pod = found.min_by_key(|pod| (pod.ending, !pod.ready));
    let pod = pod.with_context(|| {
        let shown: Vec<String> = wanted
            .iter()
            .map(|all| all.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
            .collect();
        format!(
            "no {} pod is in namespace {namespace} (label {}); install it, or say where it is with -n and -l",
            place.name,
            shown.join(" or ")
        )
    })?;
    Ok((pod.clone(), args.ui_port.unwrap_or(place.port), place.path))
}

fn pilot(mesh: &Mesh, args: &Target) -> Result<Pod> {
    match (&args.pod, &args.selector) {
        (Some(name), _) => mesh.pod_in(name, mesh.system()),
        (None, Some(selector)) => by_labels(mesh, selector, mesh.system()),
        (None, None) => mesh.pilots()?.into_iter().next().context("there is a pilot"),
    }
}

fn proxy(mesh: &Mesh, args: &Target) -> Result<Pod> {
    match (&args.pod, &args.selector) {
        (Some(name), _) => mesh.proxy(name),
        (None, Some(selector)) => by_labels(mesh, selector, mesh.namespace()),
        (None, None) => bail!(BadUsage("name a pod, or labels with -l".into())),
    }
}

fn by_labels(mesh: &Mesh, selector: &str, namespace: &str) -> Result<Pod> {
    let labels = labels(selector)?;
    let mut pods = mesh.pods(Some(namespace))?;
    pods.retain(|pod| pod.has(&labels));
    pods.sort_by_key(|pod| (pod.ending, !pod.ready));
    pods.into_iter()
        .next()
        .with_context(|| format!("no pod in namespace {namespace} has the labels {selector}"))
}

async fn serve(mesh: &Mesh, args: &Dashboard, pod: &Pod, remote: u16, path: &str) -> Result<()> {
    let listener = listen(&args.address, args.port, remote).await?;
    let port = listener.local_addr()?.port();
    let host = if args.address.contains(':') { format!("[{}]", args.address) } else { args.address.clone() };
    let url = format!("http://{host}:{port}{path}");
    anstream::println!("{url}");
    if args.browser && !open(&url) {
        anstream::eprintln!("no browser could be opened; open {url} in one");
    }
    tokio::select! {
        ended = forward(mesh, &listener, pod, remote) => ended,
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}

/// The port that is said, or else the page's own, or else a free one.
async fn listen(address: &str, said: u16, own: u16) -> Result<TcpListener> {
    let wanted = if said == 0 { own } else { said };
    match TcpListener::bind((address, wanted)).await {
        Ok(listener) => Ok(listener),
        Err(_) if said == 0 => {
            TcpListener::bind((address, 0)).await.with_context(|| format!("listen on {address}"))
        }
        Err(error) => Err(error).with_context(|| format!("listen on port {said} of {address}")),
    }
}

/// Whether a browser was started.
fn open(url: &str) -> bool {
    let own = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let programs = own.iter().map(String::as_str).chain(["xdg-open", "open"]);
    programs.into_iter().any(|program| {
        let started = Command::new(program)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // It may end long after this, and how does not matter; somebody must wait for it all the same.
        started.map(|mut browser| drop(std::thread::spawn(move || browser.wait()))).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addons_manifests_have_these_labels_and_ports() {
        for (place, file) in [
            (&GRAFANA, "grafana.yaml"),
            (&JAEGER, "jaeger.yaml"),
            (&KIALI, "kiali.yaml"),
            (&PROMETHEUS, "prometheus.yaml"),
            (&ZIPKIN, "extras/zipkin.yaml"),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/addons").join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let deployment = text.split("\n---\n").find(|document| document.contains("\nkind: Deployment\n"));
            let (_, pod) = deployment.and_then(|document| document.split_once("\n  template:\n")).unwrap();
            let labelled =
                place.labels.iter().any(|(key, value)| pod.contains(&format!("        {key}: {value}\n")));
            assert!(labelled, "{file}: {:?}", place.labels);
            assert!(pod.contains(&format!("containerPort: {}\n", place.port)), "{file}: {}", place.port);
            assert!(place.path.is_empty() || pod.contains(&format!("path: {}/", place.path)), "{file}");
        }
    }
}
