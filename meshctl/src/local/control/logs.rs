//! `logs`: what containers of pods print.
//!
//! In: pods, containers and how lines are wanted. Out: the lines kept, container by container, and with `follow` those
//! to come, in the order in which they come.

use std::sync::Arc;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast::error::RecvError;

use crate::local::logs::{Line, Stream};
use crate::local::plan::PodPlan;
use crate::local::protocol::LogWish;

use super::pods;
use super::server::Connection;

/// What the mesh itself says about a pod is kept as that of a container of this name.
const MESH: &str = "mesh";

pub(super) fn logs(connection: &mut Connection, wish: &LogWish) -> Result<i32> {
    let mut streams = Vec::new();
    for (namespace, name) in &wish.pods {
        let plan = Arc::clone(&pods::find(&connection.mesh.world(), namespace, name)?.plan);
        streams.extend(containers(&plan, wish)?.into_iter().map(|container| Stream {
            namespace: plan.namespace.clone(),
            pod: plan.name.clone(),
            container,
        }));
    }
    let since = wish.since.and_then(|seconds| {
        let age = SignedDuration::from_secs(i64::try_from(seconds).ok()?);
        Timestamp::now().checked_sub(age).ok()
    });
    let (kept, mut live) = connection.mesh.logs.read(&streams);
    for lines in kept {
        let lines: Vec<Line> =
            lines.into_iter().filter(|line| since.is_none_or(|since| line.at >= since)).collect();
        let skip = wish.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        for line in &lines[skip..] {
            connection.line(shown(line, wish))?;
        }
    }
    if !wish.follow {
        return Ok(0);
    }
    loop {
        match connection.runtime.block_on(live.recv()) {
            Ok(line) if streams.contains(&line.stream) => connection.line(shown(&line, wish))?,
            Ok(_) => {}
            Err(RecvError::Lagged(lost)) => {
                connection.problem(format!("({lost} lines were too fast and are not shown)"))?;
            }
            Err(RecvError::Closed) => return Ok(0),
        }
    }
}

fn containers(plan: &PodPlan, wish: &LogWish) -> Result<Vec<String>> {
    if wish.all {
        let all = plan.spec.init_containers.iter().chain(&plan.spec.containers);
        return Ok(all.map(|container| container.name.clone()).collect());
    }
    Ok(vec![match wish.container.as_deref() {
        Some(MESH) => MESH.to_owned(),
        name => pods::container(plan, name)?.name.clone(),
    }])
}

fn shown(line: &Line, wish: &LogWish) -> String {
    let prefix = match wish.prefix {
        true => format!("[pod/{}/{}] ", line.stream.pod, line.stream.container),
        false => String::new(),
    };
    let time = match wish.timestamps {
        true => format!("{} ", line.at),
        false => String::new(),
    };
    format!("{prefix}{time}{}", line.text)
}
