//! Which copies of a request go elsewhere.
//!
//! In: the route's mirror policies, dice. Out: clusters that get a copy; `http::mirror` sends them.

use std::sync::Arc;

use crate::config::{Cluster, Config, Mirror};
use crate::dice::Dice;
use crate::router::ForwardTo;

/// The clusters that get a copy of this request. Unknown clusters get none, as in Envoy.
pub fn mirrors<'a>(
    config: &'a Config,
    to: &'a ForwardTo,
    dice: &mut Dice,
) -> Vec<(&'a Mirror, Arc<Cluster>)> {
    let list = to.forward().mirrors.iter();
    list.filter(|mirror| dice.hits(mirror.fraction))
        .filter_map(|mirror| config.cluster(mirror.cluster).map(|cluster| (mirror, cluster.clone())))
        .collect()
}
