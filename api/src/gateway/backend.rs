//! XBackend and XMesh: experimental kinds for destinations and for the mesh itself.

use super::{BackendTlsValidation, ParametersReference, SecretObjectReference};
use crate::selector::WorkloadSelector;

spec! {
    pub struct XBackend {
        /// `ExternalHostname` or `EndpointSelector`.
        #[serde(rename = "type")]
        backend_type: String,
        port: BackendPort,
        external_hostname: Option<ExternalHostnameBackend>,
        endpoint_selector: Option<WorkloadSelector>,
        /// `TCP`, `HTTP`, `HTTP2`, `HTTP11`, `H2C`, `MCP`, `GRPC` or `WSS`.
        protocol: Option<String>,
        tls: Option<BackendTls>,
    }

    pub struct BackendPort {
        number: i32,
    }

    pub struct ExternalHostnameBackend {
        hostname: String,
    }

    pub struct BackendTls {
        /// `None`, `ServerOnly` or `ClientAndServer`.
        mode: String,
        client_certificate_ref: Option<SecretObjectReference>,
        validation: Option<BackendTlsValidation>,
    }

    pub struct XMesh {
        controller_name: String,
        parameters_ref: Option<ParametersReference>,
        description: Option<String>,
    }
}
