//! `Http2ProtocolOptions` of connection managers and clusters: streams, windows, and bounds on floods.
//!
//! In: the message. Out: `config::H2Options`. Called by `hcm` and `cluster`. Numbers outside of Envoy's ranges are refused.

use std::time::Duration;

use wire::pb::envoy::config::core::v3 as core;
use wire::pb::google::protobuf as google;

use super::read::{At, Lower, Refusal, done, duration_or, harmless, number, refuse};
use crate::config::{FrameLimits, H2Options};

/// Pings are for upstream connections only.
pub(super) fn downstream_h2(options: Lower<H2Options>) -> Lower<H2Options> {
    let options = options?;
    match options.ping {
        Some(_) => refuse("connection_keepalive", "not supported towards clients"),
        None => Ok(options),
    }
}

/// Streams, windows, and bounds on floods.
pub(super) fn h2_options(options: Option<core::Http2ProtocolOptions>) -> Lower<H2Options> {
    const MOST: u32 = i32::MAX as u32;
    const WINDOW: u32 = 65_535;
    let default = H2Options::default();
    let mut options = options.unwrap_or_default();
    harmless!(options; allow_connect, stream_error_on_invalid_http_messaging);
    harmless!(options; override_stream_error_on_invalid_http_message, use_oghttp2_codec);
    let frames = FrameLimits {
        outbound: within(options.max_outbound_frames.take(), default.frames.outbound, 1, u32::MAX)
            .at("max_outbound_frames")?,
        outbound_control: within(
            options.max_outbound_control_frames.take(),
            default.frames.outbound_control,
            1,
            u32::MAX,
        )
        .at("max_outbound_control_frames")?,
        empty: number(options.max_consecutive_inbound_frames_with_empty_payload.take(), default.frames.empty),
        priority_per_stream: number(
            options.max_inbound_priority_frames_per_stream.take(),
            default.frames.priority_per_stream,
        ),
        window_updates_per_data: within(
            options.max_inbound_window_update_frames_per_data_frame_sent.take(),
            default.frames.window_updates_per_data,
            1,
            u32::MAX,
        )
        .at("max_inbound_window_update_frames_per_data_frame_sent")?,
    };
    let lowered = H2Options {
        max_concurrent_streams: within(
            options.max_concurrent_streams.take(),
            default.max_concurrent_streams,
            1,
            MOST,
        )
        .at("max_concurrent_streams")?,
        stream_window: within(options.initial_stream_window_size.take(), default.stream_window, WINDOW, MOST)
            .at("initial_stream_window_size")?,
        connection_window: within(
            options.initial_connection_window_size.take(),
            default.connection_window,
            WINDOW,
            MOST,
        )
        .at("initial_connection_window_size")?,
        header_table: number(options.hpack_table_size.take(), default.header_table),
        frames,
        ping: options.connection_keepalive.take().map(ping).transpose().at("connection_keepalive")?.flatten(),
    };
    done(&options)?;
    Ok(lowered)
}

/// A number that may be missing, in the range that Envoy takes.
fn within(value: Option<google::UInt32Value>, otherwise: u32, least: u32, most: u32) -> Lower<u32> {
    let value = number(value, otherwise);
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(Refusal::new(format!("{value} is not within {least} and {most}"))),
    }
}

fn ping(mut settings: core::KeepaliveSettings) -> Lower<Option<(Duration, Duration)>> {
    // Intervals are spread by when connections start.
    harmless!(settings; interval_jitter);
    let interval = duration_or(settings.interval.take(), Duration::ZERO).at("interval")?;
    let timeout = duration_or(settings.timeout.take(), Duration::from_secs(20)).at("timeout")?;
    done(&settings)?;
    Ok((!interval.is_zero()).then_some((interval, timeout)))
}
