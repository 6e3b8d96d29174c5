//! Answers each page of `proxy-config`.

use anyhow::Result;

use super::args::{ProxyConfig, Source, What};
use super::log;
use super::source::From;
use crate::client::{Mesh, Method};
use crate::cmd::printed::{Printed, code};
use crate::globals::Globals;
use crate::proxy_config::{
    self as tables, ClusterFilter, Dump, EndpointFilter, Form, ListenerFilter, RouteFilter,
};

/// Runs it.
///
/// # Errors
/// No mesh, no such pod, no answer, or a file that is no such page.
pub fn run(args: &ProxyConfig, globals: &Globals) -> Result<Printed> {
    let globals = &globals.with(&args.flags);
    let dump = |source: &Source| From::open(source, globals)?.dump();
    Ok(Printed::out(match &args.what {
        What::All { source, with_headers, filters, verbose } => {
            let wanted = Wanted {
                clusters: filters.clusters(),
                listeners: filters.listeners(verbose),
                routes: filters.routes(verbose),
                endpoints: filters.endpoints(),
            };
            all(&From::open(source, globals)?, source.form(), *with_headers, &wanted)?
        }
        What::Cluster { source, filter } => {
            tables::clusters(&dump(source)?, &filter.filter(), source.form())?
        }
        What::Listener { source, filter, verbose } => {
            tables::listeners(&dump(source)?, &filter.filter(verbose), source.form())?
        }
        What::Route { source, name, verbose } => {
            let filter = RouteFilter { name: name.clone(), verbose: verbose.verbose };
            tables::routes(&dump(source)?, &filter, source.form())?
        }
        What::Endpoint { source, filter } => {
            let from = From::open(source, globals)?;
            let table = tables::endpoints(&from.clusters()?, &filter.filter(), source.form());
            table.map_err(|error| from.blame(error))?
        }
        What::Eds { source, filter } => tables::eds(&dump(source)?, &filter.filter(), source.form())?,
        What::Secret { source } => tables::secrets(&dump(source)?, source.form(), now())?,
        // The whole of it is what people want of a bootstrap.
        What::Bootstrap { source } => tables::bootstrap(&dump(source)?, source.output.unwrap_or(Form::Json))?,
        What::Ecds { source } => tables::ecds(&dump(source)?, source.form())?,
        What::Log { of, level, reset } => log::log(of, level.as_deref(), *reset, globals)?,
        What::RootcaCompare { first, second } => return rootca(globals, first, second),
    }))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

struct Wanted {
    clusters: ClusterFilter,
    listeners: ListenerFilter,
    routes: RouteFilter,
    endpoints: EndpointFilter,
}

fn all(from: &From, form: Form, titles: bool, wanted: &Wanted) -> Result<String> {
    let text = from.dump_text()?;
    let dump = Dump::read(&text)?;
    if form != Form::Short {
        return tables::whole(&text, form);
    }
    // A file holds the dump alone; a pod also tells the health of its endpoints.
    let endpoints = match from {
        From::File(_) => tables::eds(&dump, &wanted.endpoints, form)?,
        From::Pod(..) => tables::endpoints(&from.clusters()?, &wanted.endpoints, form)?,
    };
    let parts = [
        ("CLUSTERS", tables::clusters(&dump, &wanted.clusters, form)?),
        ("LISTENERS", tables::listeners(&dump, &wanted.listeners, form)?),
        ("ROUTES", tables::routes(&dump, &wanted.routes, form)?),
        ("SECRETS", tables::secrets(&dump, form, now())?),
        ("ENDPOINTS", endpoints),
        ("ECDS", tables::ecds(&dump, form)?),
    ];
    // Most proxies have no extensions of this kind.
    let parts = parts.into_iter().filter(|(title, table)| *title != "ECDS" || table.lines().count() > 1);
    let shown = parts.map(|(title, table)| match titles {
        true => format!("# {title}\n{table}"),
        false => table,
    });
    Ok(shown.collect::<Vec<_>>().join("\n"))
}

fn rootca(globals: &Globals, first: &str, second: &str) -> Result<Printed> {
    let mesh = Mesh::find(globals)?;
    let roots = |pod: &str| -> Result<(String, Option<String>)> {
        let pod = mesh.proxy(pod)?;
        let dump = Dump::read(&mesh.admin(&pod, Method::Get, "/config_dump")?)?;
        Ok((pod.full(), tables::roots(&dump)))
    };
    let (first, second) = (roots(first)?, roots(second)?);
    let (text, code) = match (&first.1, &second.1) {
        (Some(a), Some(b)) if a == b => {
            (format!("{} and {} have the same ROOTCA\n", first.0, second.0), code::OK)
        }
        (Some(_), Some(_)) => (
            format!(
                "{} and {} have different ROOTCAs: neither accepts the other's certificate\n",
                first.0, second.0
            ),
            code::FAILED,
        ),
        (None, _) => (format!("{} has no ROOTCA\n", first.0), code::FAILED),
        (_, None) => (format!("{} has no ROOTCA\n", second.0), code::FAILED),
    };
    Ok(Printed { out: text, code, ..Printed::default() })
}
