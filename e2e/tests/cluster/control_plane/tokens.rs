//! Who gets a certificate and who hears configuration.

use e2e::caller::Caller;
use e2e::control::Control;
use e2e::until::eventually;
use tonic::Code;
use wire::SpiffeId;

const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: caller}
spec: {containers: [{name: c, image: none.invalid/none}]}
";

struct Scene {
    control: Control,
    roots: String,
    host: String,
    replica: e2e::control::Replica,
}

impl Scene {
    fn new() -> Self {
        let control = Control::new(&[]);
        let file = std::env::temp_dir().join(format!("caller-{}.yaml", control.namespace.name()));
        std::fs::write(&file, POD).unwrap();
        control.namespace.run(&["apply", "-f", &file.display().to_string()]);
        std::fs::remove_file(file).unwrap();
        let replica = control.ready("pilot", &[]);
        let roots = control.key("root-cert.pem").unwrap();
        let host = format!("istiod.{}.svc", control.namespace.name());
        Scene { control, roots, host, replica }
    }

    fn token(&self, audience: &str) -> String {
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", "caller"];
        let token = [&["create", "token", "default", "--audience", audience], &bound[..]].concat();
        self.control.namespace.run(&token).trim().to_owned()
    }

    fn caller<'a>(&self, token: Option<&'a str>) -> Caller<'a> {
        Caller { roots: self.roots.clone(), host: self.host.clone(), token, ..Caller::default() }
    }

    /// A node of a namespace, this one's for "".
    fn node(&self, namespace: &str) -> String {
        let namespace = if namespace.is_empty() { self.control.namespace.name() } else { namespace };
        format!("sidecar~10.0.0.1~caller.{namespace}~{namespace}.svc.cluster.local")
    }
}

#[tokio::test]
async fn a_pod_gets_the_certificate_of_its_service_account_for_its_token_only() {
    let scene = Scene::new();
    let to = scene.replica.secure;
    let good = scene.token("istio-ca");
    let own = scene.caller(Some(&good)).certificate(to).await.unwrap();
    let leaf = rustls::pki_types::pem::PemObject::from_pem_slice(own.chain[0].as_bytes()).unwrap();
    let id: SpiffeId = citadel::attest::uri_of(&leaf).unwrap();
    assert_eq!(
        id.to_string(),
        format!("spiffe://cluster.local/ns/{}/sa/default", scene.control.namespace.name())
    );

    let other = scene.token("somebody-else");
    for (token, why) in [
        (None, "no client certificate and no bearer token"),
        (Some("not.a.token"), "token review"),
        (Some(other.as_str()), "token review"),
    ] {
        let refused = scene.caller(token).certificate(to).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains(why), "{refused}");
    }
    let elsewhere = Caller { cluster: "elsewhere", ..scene.caller(Some(&good)) };
    // What the same token was good for a moment ago does not matter.
    let refused = elsewhere.certificate(to).await.err().unwrap();
    assert!(refused.message().contains("elsewhere"), "{refused}");
    let log = scene.replica.log();
    assert!(log.contains("certificate denied") && log.contains("no client certificate and no bearer token"));
    assert!(log.contains("pod=caller"), "the pod of a token is in the audit: {log}");
    assert!(!log.contains(&good), "no token is ever logged");
}

#[tokio::test]
async fn configuration_is_told_to_whom_it_is_for() {
    let scene = Scene::new();
    let to = scene.replica.secure;
    let (own, other) = (scene.node(""), scene.node("kube-system"));
    let refused = scene.caller(None).clusters(to, &own).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(scene.replica.log().contains("caller refused"), "{}", scene.replica.log());

    let token = scene.token("istio-ca");
    scene.caller(Some(&token)).clusters(to, &own).await.unwrap();
    let refused = scene.caller(Some(&token)).clusters(to, &other).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");

    let certificate = scene.caller(Some(&token)).certificate(to).await.unwrap();
    let by_certificate = Caller { certificate: Some(&certificate), ..scene.caller(None) };
    by_certificate.clusters(to, &own).await.unwrap();
    let refused = by_certificate.clusters(to, &other).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_pod_that_is_gone_is_worth_nothing() {
    let scene = Scene::new();
    let token = scene.token("istio-ca");
    scene.control.namespace.run(&["delete", "pod", "caller", "--grace-period=0", "--force"]);
    let runtime = tokio::runtime::Handle::current();
    let (caller, to) = (scene.caller(Some(&token)), scene.replica.secure);
    // The API server itself remembers good tokens for some seconds.
    let refused = tokio::task::block_in_place(|| {
        eventually("a refusal", || match runtime.block_on(caller.certificate(to)) {
            Ok(_) => Err("a certificate"),
            Err(refused) => Ok(refused),
        })
    });
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
}
