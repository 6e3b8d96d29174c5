//! Gateway: which ports a gateway proxy opens, for which hosts, with which certificates.
//!
//! Read by pilot's gateways; VirtualServices bind to it by name. The server TLS block is also that of a Sidecar's
//! ingress listener.

use std::collections::BTreeMap;

spec! {
    pub struct Gateway {
        servers: Vec<Server>,
        /// Labels of the gateway pods. Empty: every proxy.
        selector: BTreeMap<String, String>,
    }

    pub struct Server {
        port: Option<Port>,
        /// Address or `unix://` path to bind to.
        bind: String,
        /// `namespace/host`, `./host`, `*/host` or host.
        hosts: Vec<String>,
        tls: Option<ServerTlsSettings>,
        default_endpoint: String,
        /// For statistics only.
        name: String,
    }

    pub struct Port {
        number: u32,
        /// HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, MONGO, TCP, TLS.
        protocol: String,
        name: String,
        /// Ignored, as in Istio.
        target_port: u32,
    }

    pub struct ServerTlsSettings {
        /// 301 to https for everything; for HTTP servers.
        https_redirect: bool,
        mode: ServerTlsMode,
        /// File of the chain.
        server_certificate: String,
        private_key: String,
        /// File of the CAs for client certificates.
        ca_certificates: String,
        ca_crl: String,
        /// Secret with key and chain, instead of files.
        credential_name: String,
        /// Two secrets: one RSA, one ECDSA.
        credential_names: Vec<String>,
        /// Secret with the CAs for client certificates.
        ca_cert_credential_name: String,
        tls_certificates: Vec<TlsCertificate>,
        subject_alt_names: Vec<String>,
        verify_certificate_spki: Vec<String>,
        verify_certificate_hash: Vec<String>,
        min_protocol_version: TlsProtocol,
        max_protocol_version: TlsProtocol,
        cipher_suites: Vec<String>,
        ecdh_curves: Vec<String>,
        /// Any client certificate is taken.
        insecure_skip_verify: Option<bool>,
    }

    /// Files of one certificate.
    pub struct TlsCertificate {
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
    }
}

choice! {
    pub enum ServerTlsMode {
        /// TLS is not ended here; routed by server name.
        #[default]
        Passthrough = "PASSTHROUGH",
        Simple = "SIMPLE",
        /// A client certificate is demanded.
        Mutual = "MUTUAL",
        /// The server name says where to, without a VirtualService.
        AutoPassthrough = "AUTO_PASSTHROUGH",
        IstioMutual = "ISTIO_MUTUAL",
        /// A client certificate is checked where there is one.
        OptionalMutual = "OPTIONAL_MUTUAL",
    }

    pub enum TlsProtocol {
        /// At least 1.2, at most 1.3.
        #[default]
        Auto = "TLS_AUTO",
        V1_0 = "TLSV1_0",
        V1_1 = "TLSV1_1",
        V1_2 = "TLSV1_2",
        V1_3 = "TLSV1_3",
    }
}
