//! The closed list of resource types that travel between pilot and proxy, in apply order.
//!
//! In: a type URL. Out: a [`Kind`], and back. The order of [`Kind::ALL`] is the order in which a server sends and
//! a client applies a change that touches several types: what is referred to comes before what refers to it.
//! This table is the only place that knows it.

use std::fmt;

/// A resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// CDS.
    Cluster,
    /// EDS; the resource name is the cluster's (or its `eds_cluster_config.service_name`).
    Endpoints,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// VHDS; the name is `route configuration/host:port`.
    VirtualHost,
    /// SDS.
    Secret,
    /// ECDS.
    Extension,
    /// Istio's table of DNS names for the proxy's DNS server.
    NameTable,
    /// Who lives at an address: our own type, for peers that do not introduce themselves.
    Workload,
}

struct Row {
    kind: Kind,
    type_url: &'static str,
    short: &'static str,
}

const PREFIX: &str = "type.googleapis.com/";

const TABLE: [Row; 9] = [
    Row {
        kind: Kind::Cluster,
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        short: "cds",
    },
    Row {
        kind: Kind::Endpoints,
        type_url: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        short: "eds",
    },
    Row {
        kind: Kind::Listener,
        type_url: "type.googleapis.com/envoy.config.listener.v3.Listener",
        short: "lds",
    },
    Row {
        kind: Kind::Route,
        type_url: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        short: "rds",
    },
    Row {
        kind: Kind::VirtualHost,
        type_url: "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        short: "vhds",
    },
    Row {
        kind: Kind::Secret,
        type_url: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        short: "sds",
    },
    Row {
        kind: Kind::Extension,
        type_url: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        short: "ecds",
    },
    Row {
        kind: Kind::NameTable,
        type_url: "type.googleapis.com/istio.networking.nds.v1.NameTable",
        short: "nds",
    },
    Row { kind: Kind::Workload, type_url: "type.googleapis.com/mesh.workload.v1.Workload", short: "wds" },
];

impl Kind {
    /// Every kind, in apply order.
    pub const ALL: [Kind; 9] = {
        let mut all = [Kind::Cluster; 9];
        let mut at = 0;
        while at < 9 {
            all[at] = TABLE[at].kind;
            at += 1;
        }
        all
    };

    /// Position in apply order.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The full type URL.
    pub fn type_url(self) -> &'static str {
        TABLE[self.index()].type_url
    }

    /// The protobuf message name: the type URL without its host.
    pub fn message_name(self) -> &'static str {
        self.type_url().strip_prefix(PREFIX).unwrap_or_default()
    }

    /// The usual abbreviation, `cds`, `eds`, ...
    pub fn short(self) -> &'static str {
        TABLE[self.index()].short
    }

    /// The kind of a type URL.
    pub fn from_type_url(type_url: &str) -> Option<Kind> {
        TABLE.iter().find(|row| row.type_url == type_url).map(|row| row.kind)
    }

    /// The kind of an abbreviation, in any case.
    pub fn from_short(short: &str) -> Option<Kind> {
        TABLE.iter().find(|row| row.short.eq_ignore_ascii_case(short)).map(|row| row.kind)
    }

    /// Whether a state-of-the-world response must hold the complete set, so that absence means removal.
    pub const fn is_whole_set(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Listener)
    }

    /// The kind whose resources come unasked with those of this kind: virtual hosts follow their route configuration.
    /// (A client cannot name them in advance, and Envoy takes them without having asked for them one by one.)
    pub const fn child(self) -> Option<Kind> {
        match self {
            Kind::Route => Some(Kind::VirtualHost),
            _ => None,
        }
    }

    /// The reverse of [`Kind::child`].
    pub const fn parent(self) -> Option<Kind> {
        match self {
            Kind::VirtualHost => Some(Kind::Route),
            _ => None,
        }
    }

    /// For a kind that follows another: the name of the resource that `name` belongs to. A virtual host is called
    /// `route configuration/host:port`; the route configuration's own name may contain slashes.
    pub fn parent_of(self, name: &str) -> Option<&str> {
        match self {
            Kind::VirtualHost => name.rsplit_once('/').map(|(parent, _)| parent),
            _ => None,
        }
    }

    /// Whether a subscription that names nothing asks for everything.
    pub const fn has_wildcard(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Listener | Kind::NameTable | Kind::Workload)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), at);
            assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
            assert_eq!(Kind::from_short(kind.short()), Some(kind));
            assert!(!kind.message_name().is_empty());
        }
        assert_eq!(Kind::VirtualHost.parent_of("http.8080/a.b:80"), Some("http.8080"));
        assert!(Kind::Cluster < Kind::Endpoints && Kind::Endpoints < Kind::Listener);
        assert_eq!(Kind::from_type_url("type.googleapis.com/x.Y"), None);
    }
}
