//! The command line of `proxy-config`.

use clap::{ArgAction, Args, Subcommand};

use crate::globals::Short;
use crate::proxy_config::{ClusterFilter, EndpointFilter, Form, ListenerFilter, RouteFilter};

/// Show what one proxy holds
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(
    after_help = "A pod is POD[.NAMESPACE] or TYPE/NAME[.NAMESPACE], such as deploy/reviews-v1.\n\nExamples:\n  \
    meshctl proxy-config routes deploy/productpage-v1 --name 9080\n  \
    meshctl pc clusters productpage-v1-abc-x1y2z --fqdn reviews.default.svc.cluster.local -o json\n  \
    meshctl pc listeners -f config_dump.json"
)]
pub struct ProxyConfig {
    #[command(subcommand)]
    pub(super) what: What,
    #[command(flatten)]
    pub(super) flags: Short,
}

/// The pages.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum What {
    /// Everything
    #[command(visible_alias = "a")]
    All {
        #[command(flatten)]
        source: Source,
        /// A line above each table
        #[arg(long)]
        with_headers: bool,
        #[command(flatten)]
        filters: AllFilters,
        #[command(flatten)]
        verbose: Verbose,
    },
    /// Where it can send to
    #[command(visible_aliases = ["clusters", "c"])]
    Cluster {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        filter: ClusterArgs,
    },
    /// What it listens on
    #[command(visible_aliases = ["listeners", "l"])]
    Listener {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        filter: ListenerArgs,
        #[command(flatten)]
        verbose: Verbose,
    },
    /// Which request goes where
    #[command(visible_aliases = ["routes", "r"])]
    Route {
        #[command(flatten)]
        source: Source,
        /// Only the routes of this name (9080, http.8080)
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        name: String,
        #[command(flatten)]
        verbose: Verbose,
    },
    /// The addresses behind each cluster, and their health
    #[command(visible_aliases = ["endpoints", "ep"])]
    Endpoint {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        filter: EndpointArgs,
    },
    /// The addresses as pilot has said them
    Eds {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        filter: EndpointArgs,
    },
    /// Certificates and roots, never private keys
    #[command(visible_aliases = ["secrets", "s"])]
    Secret {
        #[command(flatten)]
        source: Source,
    },
    /// What it was started with
    #[command(visible_alias = "b")]
    Bootstrap {
        #[command(flatten)]
        source: Source,
    },
    /// Log levels: show or change them
    #[command(visible_alias = "o")]
    Log {
        #[command(flatten)]
        of: LogOf,
        /// [LOGGER:]LEVEL,... with trace, debug, info, warning, error, critical or off
        #[arg(long, value_name = "LEVELS")]
        level: Option<String>,
        /// Back to warning
        #[arg(short, long, conflicts_with = "level")]
        reset: bool,
    },
    /// Filters that came by extension discovery
    #[command(visible_alias = "ec")]
    Ecds {
        #[command(flatten)]
        source: Source,
    },
    /// Do two pods trust the same roots?
    #[command(name = "rootca-compare", visible_alias = "rc")]
    RootcaCompare {
        /// [TYPE/]POD[.NAMESPACE]
        first: String,
        /// [TYPE/]POD[.NAMESPACE]
        second: String,
    },
}

/// Where the page comes from, and how it is printed.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Source {
    /// [TYPE/]POD[.NAMESPACE]
    #[arg(required_unless_present = "file", value_name = "POD")]
    pub(super) pod: Option<String>,
    /// A file with the page instead of a pod; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "pod")]
    pub(super) file: Option<String>,
    /// short, json or yaml
    #[arg(short, long, value_name = "FORM")]
    pub(super) output: Option<Form>,
    /// Admin port of the proxy
    #[arg(long, value_name = "PORT", default_value_t = 15000, hide = true)]
    pub(super) proxy_admin_port: u16,
}

/// Whose log levels.
#[derive(Args, Clone, Debug)]
pub(super) struct LogOf {
    /// [TYPE/]POD[.NAMESPACE]; all pods of a workload or Service
    #[arg(required_unless_present_any = ["file", "selector"], value_name = "POD")]
    pub(super) pod: Option<String>,
    /// A file with the page instead of a pod; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["pod", "level", "reset"])]
    pub(super) file: Option<String>,
    /// All pods with these labels: app=reviews
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with_all = ["pod", "file"])]
    pub(super) selector: Option<String>,
    /// short, json or yaml
    #[arg(short, long, value_name = "FORM")]
    pub(super) output: Option<Form>,
    /// Admin port of the proxy
    #[arg(long, value_name = "PORT", default_value_t = 15000, hide = true)]
    pub(super) proxy_admin_port: u16,
}

impl Source {
    pub(super) fn form(&self) -> Form {
        self.output.unwrap_or_default()
    }
}

/// `--verbose`, on unless `--verbose=false`.
#[derive(Args, Clone, Debug)]
pub(super) struct Verbose {
    /// One line per rule; --verbose=false is one line per name
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(
        hide_possible_values = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true
    )]
    pub(super) verbose: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ClusterArgs {
    /// Only hosts that contain this
    #[arg(long, value_name = "HOST", default_value = "", hide_default_value = true)]
    fqdn: String,
    /// inbound or outbound
    #[arg(long, default_value = "", hide_default_value = true)]
    direction: String,
    /// Only this port
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Only this subset
    #[arg(long, default_value = "", hide_default_value = true)]
    subset: String,
}

impl ClusterArgs {
    pub(super) fn filter(&self) -> ClusterFilter {
        ClusterFilter {
            fqdn: self.fqdn.clone(),
            port: self.port,
            subset: self.subset.clone(),
            direction: self.direction.clone(),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct ListenerArgs {
    /// Only this address
    #[arg(long, default_value = "", hide_default_value = true)]
    address: String,
    /// Only this port
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// HTTP, TCP or HTTP+TCP
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true)]
    kind: String,
}

impl ListenerArgs {
    pub(super) fn filter(&self, verbose: &Verbose) -> ListenerFilter {
        ListenerFilter {
            address: self.address.clone(),
            port: self.port,
            kind: self.kind.clone(),
            verbose: verbose.verbose,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct EndpointArgs {
    /// Only this address
    #[arg(long, default_value = "", hide_default_value = true)]
    address: String,
    /// Only this port
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Only this cluster
    #[arg(long, default_value = "", hide_default_value = true)]
    cluster: String,
    /// healthy, unhealthy, draining, ...
    #[arg(long, default_value = "", hide_default_value = true)]
    status: String,
}

impl EndpointArgs {
    pub(super) fn filter(&self) -> EndpointFilter {
        EndpointFilter {
            address: self.address.clone(),
            port: self.port,
            cluster: self.cluster.clone(),
            status: self.status.clone(),
        }
    }
}

/// The filters of all pages at once.
#[derive(Args, Clone, Debug)]
pub(super) struct AllFilters {
    /// Clusters whose host contains this
    #[arg(long, value_name = "HOST", default_value = "", hide_default_value = true)]
    fqdn: String,
    /// Clusters of this direction
    #[arg(long, default_value = "", hide_default_value = true)]
    direction: String,
    /// Clusters of this subset
    #[arg(long, default_value = "", hide_default_value = true)]
    subset: String,
    /// Clusters, listeners and endpoints of this port
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Listeners and endpoints of this address
    #[arg(long, default_value = "", hide_default_value = true)]
    address: String,
    /// Listeners of this type
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true)]
    kind: String,
    /// Routes of this name
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Endpoints of this cluster
    #[arg(long, default_value = "", hide_default_value = true)]
    cluster: String,
    /// Endpoints in this state
    #[arg(long, default_value = "", hide_default_value = true)]
    status: String,
}

impl AllFilters {
    pub(super) fn clusters(&self) -> ClusterFilter {
        ClusterFilter {
            fqdn: self.fqdn.clone(),
            port: self.port,
            subset: self.subset.clone(),
            direction: self.direction.clone(),
        }
    }

    pub(super) fn listeners(&self, verbose: &Verbose) -> ListenerFilter {
        ListenerFilter {
            address: self.address.clone(),
            port: self.port,
            kind: self.kind.clone(),
            verbose: verbose.verbose,
        }
    }

    pub(super) fn routes(&self, verbose: &Verbose) -> RouteFilter {
        RouteFilter { name: self.name.clone(), verbose: verbose.verbose }
    }

    pub(super) fn endpoints(&self) -> EndpointFilter {
        EndpointFilter {
            address: self.address.clone(),
            port: self.port,
            cluster: self.cluster.clone(),
            status: self.status.clone(),
        }
    }
}
