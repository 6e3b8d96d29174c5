//! The `citadel` program.

use std::time::Duration;

use anyhow::Context;
use base::telemetry;
use citadel::{app, settings::Settings};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let options = telemetry::Options {
        levels: settings.log_output_level.clone(),
        json: settings.log_as_json,
        own_crates: &["citadel", "wire", "base"],
    };
    telemetry::init(&options)?;
    let bind = async |address| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let listener = bind(settings.listen).await?;
    let monitoring = match settings.monitoring {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let (trigger, watch) = base::drain::pair();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = app::run(&settings, listener, monitoring, watch);
    tokio::select! {
        ended = server => ended?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    trigger.drain(Duration::from_secs(5)).await;
    Ok(())
}
