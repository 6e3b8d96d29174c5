//! `outlierDetection` as Envoy says it.
//!
//! In: the model's outlier settings. Out: Envoy's message, with Istio's defaults where nothing is written. Called by
//! `build`.

use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;

use crate::model::policy::Outlier;
use crate::xds::proto::{duration, uint32};

/// Ejection settings. Success-rate ejection, which Envoy turns on by itself, is off as in Istio.
pub(super) fn detection(outlier: &Outlier) -> OutlierDetection {
    let mut out = OutlierDetection {
        enforcing_success_rate: Some(uint32(0)),
        interval: outlier.interval.map(duration),
        base_ejection_time: outlier.base_ejection.map(duration),
        max_ejection_percent: outlier.max_ejection.filter(|p| *p > 0).map(|p| uint32(p.min(100))),
        ..Default::default()
    };
    if let Some(n) = outlier.consecutive_5xx {
        // 0 turns it off.
        out.consecutive_5xx = Some(uint32(n.max(1)));
        out.enforcing_consecutive_5xx = Some(uint32(if n > 0 { 100 } else { 0 }));
    }
    if let Some(n) = outlier.consecutive_gateway {
        out.consecutive_gateway_failure = Some(uint32(n.max(1)));
        out.enforcing_consecutive_gateway_failure = Some(uint32(if n > 0 { 100 } else { 0 }));
    }
    if outlier.split_local {
        out.split_external_local_origin_errors = true;
        if let Some(n) = outlier.consecutive_local {
            out.consecutive_local_origin_failure = Some(uint32(n.max(1)));
            out.enforcing_consecutive_local_origin_failure = Some(uint32(if n > 0 { 100 } else { 0 }));
        }
        // Local origin failures alone decide, without their own success rate.
        out.enforcing_local_origin_success_rate = Some(uint32(0));
    }
    out
}
