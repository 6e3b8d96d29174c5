//! How a cluster is found: files and flags to a client of its API server.
//!
//! In: `--kubeconfig`, `--context`, `-n`, `--as` and friends, `KUBECONFIG` (a list of files), `~/.kube/config`, the service
//! account of a pod. Out: a `Cluster`: client, namespace, and the `Place` that every error about it names. Called by all
//! commands that work on a cluster. `globals` decides whether one is meant at all.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cmd::printed::{BadInput, BadUsage};
use crate::globals::Globals;

/// How long a connection may take to be made: an address that swallows packets is an error, not a hanging command.
const CONNECT: Duration = Duration::from_secs(10);

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    place: Place,
    namespace: String,
    said_namespace: bool,
}

/// Where a cluster is and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `https://127.0.0.1:6443`.
    pub address: String,
    /// Name of the context; none in a pod.
    pub context: Option<String>,
    /// The file that has the context, or all that were read; none in a pod.
    pub file: Option<String>,
    /// All contexts there are.
    contexts: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match (&self.context, &self.file) {
            (Some(context), Some(file)) => write!(f, " (context {context} of {file})"),
            _ => f.write_str(" (the cluster that this pod runs in)"),
        }
    }
}

/// Runs a command's future; commands have one thread.
///
/// # Errors
/// What the future says.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Whether any cluster is configured, without asking it.
pub fn configured() -> bool {
    let sources = Sources::read(None);
    sources.files().is_ok_and(|files| !files.is_empty()) || in_pod()
}

impl Cluster {
    /// Finds the cluster. Nothing is asked of its API server yet.
    ///
    /// # Errors
    /// No cluster is configured, or the configuration is wrong: file and context are named.
    pub fn find(globals: &Globals) -> Result<Self> {
        let (config, place) = Sources::read(globals.kubeconfig.clone()).resolve(globals)?;
        let namespace = globals.said_namespace().unwrap_or(&config.default_namespace).to_owned();
        let client = Client::try_from(config).with_context(|| format!("{place} cannot be used"))?;
        Ok(Self { client, place, namespace, said_namespace: globals.said_namespace().is_some() })
    }

    /// Finds the cluster and asks its API server for its version, so that one that is away is told at once.
    ///
    /// # Errors
    /// As above, or nobody answers: file, context and address are named.
    pub async fn connect(globals: &Globals) -> Result<(Self, Info)> {
        let cluster = Self::find(globals)?;
        let version = cluster.client.apiserver_version().await;
        let version = version.map_err(|error| cluster.explain("ask for its version", error))?;
        Ok((cluster, version))
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The namespace that is meant: `-n`, else the context's, else `default`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace, if `-n` said one.
    pub fn said_namespace(&self) -> Option<&str> {
        self.said_namespace.then_some(self.namespace.as_str())
    }

    /// What went wrong, for people. `doing` is an infinitive: `list pods`.
    pub fn explain(&self, doing: &str, error: kube::Error) -> anyhow::Error {
        self.place.explain(doing, error)
    }
}

impl Place {
    /// What went wrong, for people. `doing` is an infinitive: `list pods`.
    pub fn explain(&self, doing: &str, error: kube::Error) -> anyhow::Error {
        match error {
            kube::Error::Api(status) if status.code == 401 => anyhow!(
                "{self} does not accept your credentials: {}; the token or certificate of the context's user may have expired",
                status.message
            ),
            kube::Error::Api(status) if status.code == 403 => {
                anyhow!("cannot {doing}: {}", status.message)
            }
            kube::Error::Api(status) if !status.message.is_empty() => {
                anyhow!("cannot {doing}: {}", status.message)
            }
            kube::Error::Auth(error) => anyhow!(
                "the credentials of {self} cannot be had: {}; they come from the context's user in that file",
                deepest(&error)
            ),
            error @ (kube::Error::Service(_) | kube::Error::HyperError(_)) => {
                anyhow!("no cluster answers at {self}: {}{}", deepest(&error), self.others())
            }
            error => anyhow!("cannot {doing} at {self}: {}", deepest(&error)),
        }
    }

    /// Other contexts, as a hint.
    fn others(&self) -> String {
        let own = self.context.as_deref();
        let others: Vec<&str> =
            self.contexts.iter().map(String::as_str).filter(|name| Some(*name) != own).collect();
        match others.as_slice() {
            [] => String::new(),
            names => format!("; other contexts are {} (--context NAME)", names.join(", ")),
        }
    }
}

/// The innermost cause: outer ones say only that something failed.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Where kubeconfigs may be.
#[derive(Clone, Debug, Default)]
struct Sources {
    flag: Option<PathBuf>,
    variable: Option<OsString>,
    home: Option<PathBuf>,
}

impl Sources {
    fn read(flag: Option<PathBuf>) -> Self {
        let variable = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
        Self { flag, variable, home: std::env::home_dir() }
    }

    /// The files to read, in the order in which the first one wins. Empty: none is configured.
    fn files(&self) -> Result<Vec<PathBuf>> {
        if let Some(file) = &self.flag {
            return Ok(vec![file.clone()]);
        }
        if let Some(list) = &self.variable {
            // Files of the list that are not there are left out, as kubectl does.
            let named: Vec<PathBuf> =
                std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
            let found: Vec<PathBuf> = named.iter().filter(|path| path.exists()).cloned().collect();
            if found.is_empty() {
                bail!(BadInput(format!("KUBECONFIG names {}, which is not there", shown(&named))));
            }
            return Ok(found);
        }
        let usual = self.home.as_ref().map(|home| home.join(".kube/config"));
        Ok(usual.into_iter().filter(|path| path.exists()).collect())
    }

    /// The settings of the cluster that is meant.
    fn resolve(&self, globals: &Globals) -> Result<(Config, Place)> {
        let files = self.files()?;
        let (mut config, place) = if files.is_empty() {
            if let Some(context) = &globals.context {
                bail!(BadInput(format!(
                    "there is no kubeconfig that could have the context {context}: no KUBECONFIG, no ~/.kube/config; say --kubeconfig FILE"
                )));
            }
            pod()?
        } else {
            let known = Known::read(&files)?;
            known.resolve(globals.context.as_deref())?
        };
        config.connect_timeout = Some(CONNECT);
        impersonate(&mut config, globals)?;
        Ok((config, place))
    }
}

/// Kubeconfig files, merged, and which file each context is from.
struct Known {
    merged: Kubeconfig,
    contexts: Vec<(String, PathBuf)>,
    files: Vec<PathBuf>,
}

impl Known {
    fn read(files: &[PathBuf]) -> Result<Self> {
        let mut merged = Kubeconfig::default();
        let mut contexts: Vec<(String, PathBuf)> = Vec::new();
        for path in files {
            let wrong = |error: &dyn std::error::Error| BadInput(format!("{}: {error}", path.display()));
            let next = Kubeconfig::read_from(path).map_err(|error| match error {
                kube::config::KubeconfigError::ReadConfig(error, _) => wrong(&error),
                kube::config::KubeconfigError::Parse(error) => wrong(&error),
                error => wrong(&error),
            })?;
            for context in &next.contexts {
                if contexts.iter().all(|(name, _)| *name != context.name) {
                    contexts.push((context.name.clone(), path.clone()));
                }
            }
            merged = merged.merge(next).map_err(|error| wrong(&error))?;
        }
        Ok(Self { merged, contexts, files: files.to_vec() })
    }

    fn resolve(self, wanted: Option<&str>) -> Result<(Config, Place)> {
        let names: Vec<String> = self.contexts.iter().map(|(name, _)| name.clone()).collect();
        let there = || match names.as_slice() {
            [] => "it has no contexts".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        let files = shown(&self.files);
        let current = self.merged.current_context.clone().filter(|name| !name.is_empty());
        let Some(name) = wanted.map(str::to_owned).or(current) else {
            bail!(BadInput(format!("{files} has no current-context; say --context NAME ({})", there())));
        };
        let Some((_, file)) = self.contexts.iter().find(|(known, _)| *known == name) else {
            let what = if wanted.is_some() { "context" } else { "current-context" };
            bail!(BadInput(format!("{files} has no {what} {name}; {}", there())));
        };
        let file = file.display().to_string();
        let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
        // Everything that it reads is a file; it is a future for no reason of ours.
        let config =
            futures_util::FutureExt::now_or_never(Config::from_custom_kubeconfig(self.merged, &options))
                .context("reading a kubeconfig does not wait")?
                .map_err(|error| BadInput(format!("{file}: context {name}: {error}")))?;
        let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok((config, Place { address, context: Some(name), file: Some(file), contexts: names }))
    }
}

fn shown(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether this runs in a pod that may ask its API server.
fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        && Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()
}

fn pod() -> Result<(Config, Place)> {
    if !in_pod() {
        bail!(
            "no cluster is configured: there is no KUBECONFIG and no ~/.kube/config; say --kubeconfig FILE, or make \
             one, for example with `cargo xtask cluster up` or `kind create cluster`"
        );
    }
    let config = Config::incluster().context("the service account of this pod cannot be used")?;
    let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    Ok((config, Place { address, context: None, file: None, contexts: Vec::new() }))
}

fn impersonate(config: &mut Config, globals: &Globals) -> Result<()> {
    if globals.as_user.is_none() && (!globals.as_group.is_empty() || globals.as_uid.is_some()) {
        bail!(BadUsage(
            "--as-group and --as-uid say more about the user of --as USER, which is missing".into()
        ));
    }
    if let Some(user) = &globals.as_user {
        config.auth_info.impersonate = Some(user.clone());
        config.auth_info.impersonate_groups = Some(globals.as_group.clone());
        config.auth_info.impersonate_uid.clone_from(&globals.as_uid);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "current-context: a\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                     contexts: [{name: a, context: {cluster: a, user: u, namespace: own}}]\nusers: [{name: u, user: {token: t}}]\n";
    const B: &str = "current-context: b\nclusters: [{name: b, cluster: {server: 'https://127.0.0.1:2'}}]\n\
                     contexts: [{name: b, context: {cluster: b}}, {name: c, context: {cluster: gone}}]\n";

    /// A folder with files, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let path = std::env::temp_dir().join(format!("meshctl-kube-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            for (name, text) in files {
                std::fs::write(path.join(name), text).unwrap();
            }
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn error(sources: &Sources, globals: &Globals) -> String {
        sources.resolve(globals).map(|(_, place)| place).unwrap_err().to_string()
    }

    #[test]
    fn the_first_file_of_a_list_wins_and_missing_ones_are_left_out() {
        let folder = Folder::new("list", &[("a", A), ("b", B)]);
        let path = |name: &str| folder.0.join(name);
        let list = std::env::join_paths([path("none"), path("a"), path("b")]).unwrap();
        let sources = Sources { variable: Some(list), ..Sources::default() };
        let (config, place) = sources.resolve(&Globals::default()).unwrap();
        assert_eq!((place.address.as_str(), place.context.as_deref()), ("https://127.0.0.1:1", Some("a")));
        assert_eq!(
            (config.default_namespace.as_str(), place.file),
            ("own", Some(path("a").display().to_string()))
        );
        let other = Globals { context: Some("b".into()), ..Globals::default() };
        let (_, place) = sources.resolve(&other).unwrap();
        assert_eq!(place.to_string(), format!("https://127.0.0.1:2 (context b of {})", path("b").display()));
        // A flag goes before the list.
        let flag = Sources { flag: Some(path("b")), ..sources };
        assert_eq!(flag.resolve(&Globals::default()).unwrap().1.context.as_deref(), Some("b"));
    }

    #[test]
    fn mistakes_name_file_and_context() {
        let folder = Folder::new("wrong", &[("b", B), ("broken", "clusters: {"), ("empty", "")]);
        let flag = |name: &str| Sources { flag: Some(folder.0.join(name)), ..Sources::default() };
        let context = |name: &str| Globals { context: Some(name.into()), ..Globals::default() };
        let text = error(&flag("b"), &context("z"));
        assert!(text.ends_with("b has no context z; there are b, c"), "{text}");
        let text = error(&flag("b"), &context("c"));
        assert!(text.contains("b: context c: ") && text.contains("gone"), "{text}");
        assert!(error(&flag("empty"), &Globals::default()).contains("empty has no current-context"));
        assert!(error(&flag("broken"), &Globals::default()).contains("broken: "));
        assert!(error(&flag("missing"), &Globals::default()).contains("missing: No such file"));
        let groups = Globals { as_group: vec!["g".into()], ..Globals::default() };
        assert!(error(&flag("b"), &groups).contains("--as USER"));
    }

    #[test]
    fn a_cluster_that_is_away_is_named() {
        // Bound and dropped: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = B.replace("127.0.0.1:2", &format!("127.0.0.1:{port}"));
        let folder = Folder::new("away", &[("b", &text)]);
        let globals = Globals { kubeconfig: Some(folder.0.join("b")), ..Globals::default() };
        let error = block_on(async { Cluster::connect(&globals).await.map(|_| ()) }).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("no cluster answers at https://127.0.0.1:{port} (context b of ")),
            "{error}"
        );
        assert!(
            error.contains("refused") && error.ends_with("other contexts are c (--context NAME)"),
            "{error}"
        );
    }
}
