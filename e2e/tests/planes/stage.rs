//! What every case stands on: two origins, both planes with their routes, and after the calls the comparison of
//! access logs and refusals.

use e2e::client::Ask;
use e2e::origin::{self, Origin};
use e2e::planes::{Plane, Planes};
use e2e::until::eventually;

/// Starts both planes on `objects` and the common ones, and waits for their routes.
pub(crate) fn start(objects: &str) -> (Planes, Vec<Origin>) {
    let origins: Vec<Origin> = ["a", "b"].map(origin::start).into();
    let mut planes = Planes::start(&format!("{COMMON}\n{objects}"), &origins);
    settled(&mut planes);
    (planes, origins)
}

/// The virtual host `ready.example.com` is in every case: when both answer 299, both have the routes.
pub(crate) fn settled(planes: &mut Planes) {
    eventually("both planes have their routes", || {
        let replies = planes.ask(&Ask::get("/").host("ready.example.com"));
        let ready = replies.iter().all(|(_, reply)| reply.as_ref().is_ok_and(|reply| reply.status == 299));
        if ready { Ok(()) } else { Err(format!("{replies:?}")) }
    });
}

/// Response flags, details and upstream cluster, line by line of the two access logs.
pub(crate) fn logs(planes: &Planes, expected: usize) -> [Vec<String>; 2] {
    let single = |plane| -> Vec<String> {
        planes
            .access_log(plane)
            .iter()
            .filter(|line| !line.contains("ready.example.com"))
            .filter_map(|l| facts(l))
            .collect()
    };
    let mut both = eventually("both logs have every call", || {
        let (envoy, ours) = (single(Plane::Envoy), single(Plane::Ours));
        if envoy.len() >= expected && ours.len() >= expected {
            Ok([envoy, ours])
        } else {
            Err(format!(
                "envoy {} lines, ours {}, {expected} calls\n{envoy:#?}\n{ours:#?}",
                envoy.len(),
                ours.len()
            ))
        }
    });
    both.iter_mut().for_each(|lines| lines.sort());
    both
}

/// Of Istio's text line: request, status, flags, details, route name, upstream cluster.
fn facts(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let (status, flags, details) = (fields.first()?, fields.get(1)?, fields.get(2)?);
    let cluster = rest.rsplit('"').next()?.trim().split(' ').next()?;
    let route = line.rsplit(' ').next()?;
    let request = crate::raw::without_plane(request);
    Some(format!("{request} | {status} | {flags} | {details} | {cluster} | {route}"))
}

/// Neither plane may have refused anything.
pub(crate) fn no_nack(planes: &Planes, wrong: &mut Vec<String>) {
    for kind in ["cluster_manager.cds", "listener_manager.lds"] {
        for plane in [Plane::Envoy, Plane::Ours] {
            let stats = planes
                .admin(plane, "/stats")
                .map(|reply| reply.body)
                .unwrap_or_else(|error| panic!("{error}"));
            let rejected =
                stats.lines().filter(|line| line.contains("update_rejected") && !line.ends_with(" 0"));
            let rejected: Vec<&str> = rejected.collect();
            if !rejected.is_empty() {
                wrong.push(format!("{plane:?} refused {kind}: {rejected:?}"));
            }
        }
    }
}

/// Two origins as services of the mesh, and the host that says that routes have arrived.
const COMMON: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ORIGIN_A_PORT}, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: default}
spec:
  hosts: [b.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ORIGIN_B_PORT}, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ready, namespace: default}
spec:
  hosts: [ready.example.com]
  gateways: GATEWAYS
  http: [{directResponse: {status: 299}}]
---
"#;
