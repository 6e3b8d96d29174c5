//! Looking at memory every now and then.
//!
//! In: the kernel's count of resident pages. Out: actions that begin or end. One task of the process, only where some
//! action depends on it.

use std::sync::Arc;

use super::{Action, Overload};
use crate::listen::Places;

/// Looks for ever.
pub async fn watch(overload: Arc<Overload>, places: Arc<Places>) {
    if overload.plan().triggers.is_empty() && overload.plan().memory.is_none() {
        return;
    }
    loop {
        overload.judge(crate::process::resident());
        places.pause(overload.is(Action::StopConnections));
        tokio::time::sleep(overload.plan().refresh).await;
    }
}
