//! The embedded certificate authority. Until it is built in, its calls are refused by name.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use wire::SpiffeId;

use crate::push::Ca;
use crate::settings::Settings;

pub(crate) struct Authority;

impl Authority {
    pub(crate) fn open(_settings: &Settings) -> Result<Self> {
        Ok(Self)
    }
}

impl Ca for Authority {
    fn call(
        self: Arc<Self>,
        _request: Request<Incoming>,
        _identity: Option<SpiffeId>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let refused =
            wire::transport::refuse(&Status::unimplemented("this pilot has no certificate authority"));
        Box::pin(std::future::ready(refused))
    }
}
