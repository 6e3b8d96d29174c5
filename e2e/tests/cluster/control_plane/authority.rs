//! Where the authority's key comes from, and that it lives on.

use std::path::Path;
use std::time::SystemTime;

use citadel::ca::{Bundle, RootPolicy};
use e2e::caller::Caller;
use e2e::control::{Control, Replica};
use e2e::until::eventually;

/// Whether pilot's certificate is good for these roots.
fn trusted(replica: &Replica, host: &str, roots: &str) -> Result<(), String> {
    let caller = Caller { roots: roots.to_owned(), host: host.to_owned(), ..Caller::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(caller.connect(replica.secure)).map(drop)
}

#[test]
fn replicas_that_start_at_once_share_one_key() {
    let control = Control::new(&["revision=canary"]);
    let mut replicas = ["a", "b", "c"].map(|name| control.start(name, &[("REVISION", "canary")]));
    replicas.iter_mut().for_each(Replica::until_ready);
    let roots = control.key("root-cert.pem").unwrap();
    for replica in &replicas {
        for service in ["istiod", "istiod-canary"] {
            trusted(replica, &format!("{service}.{}.svc", control.namespace.name()), &roots).unwrap();
        }
    }
    let made = replicas.iter().filter(|replica| replica.log().contains("certificate authority made")).count();
    assert_eq!(made, 1, "one has made it, the others have read it");
    let kind = control.namespace.run(&["get", "secret", "istio-ca-secret", "-o", "jsonpath={.type}"]);
    assert_eq!(kind, "istio.io/ca-root");
}

#[test]
fn a_root_is_renewed_with_its_key_and_every_replica_takes_it() {
    let control = Control::new(&[]);
    let host = format!("istiod.{}.svc", control.namespace.name());
    let still = control.ready("still", &[("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", "0s")]);
    let (key, first) = (control.key("ca-key.pem").unwrap(), control.key("root-cert.pem").unwrap());
    // Its whole life is the last part of it.
    let always = [
        ("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", "3s"),
        ("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", "100"),
    ];
    let renewing = control.ready("renewing", &always);
    let second = eventually("another root", || {
        let now = control.key("root-cert.pem")?;
        if now == first { Err("the first") } else { Ok(now) }.map_err(str::to_owned)
    });
    assert_eq!(control.key("ca-key.pem").unwrap(), key);
    eventually("the other replica has it", || {
        if still.log().contains("certificate authority reloaded") { Ok(()) } else { Err(still.log()) }
    });
    for replica in [&still, &renewing] {
        trusted(replica, &host, &first).expect("who trusts the old root trusts the new one");
        trusted(replica, &host, &second).unwrap();
    }
}

#[test]
fn a_key_of_our_own_goes_into_cacerts_where_that_is_asked_for() {
    let control = Control::new(&[]);
    let on = [("USE_CACERTS_FOR_SELF_SIGNED_CA", "true")];
    let first = control.ready("first", &on);
    assert!(control.key("root-cert.pem").is_err(), "there is no istio-ca-secret");
    let path = "jsonpath={.type} {.data.ca-key\\.pem} {.data.istio-generated}";
    let made = control.namespace.run(&["get", "secret", "cacerts", "-o", path]);
    assert!(made.starts_with("istio.io/ca-root ") && made.len() > 100, "{made}");
    drop(first);
    let second = control.ready("second", &on);
    assert!(second.log().contains("certificate authority read"), "{}", second.log());
    assert_eq!(control.namespace.run(&["get", "secret", "cacerts", "-o", path]), made);
}

#[test]
fn an_authority_of_the_users_own_is_taken_and_reloaded() {
    let control = Control::new(&[]);
    let host = format!("istiod.{}.svc", control.namespace.name());
    let folder = e2e::process::Folder::new("cacerts");
    let first = plug(folder.path());
    let replica = control.ready("plugged", &[("ROOT_CA_DIR", &folder.path().display().to_string())]);
    trusted(&replica, &host, &first).unwrap();
    assert!(control.key("ca-key.pem").is_err(), "no Secret is made");
    let second = plug(folder.path());
    eventually("the new one", || trusted(&replica, &host, &second));
    assert!(trusted(&replica, &host, &first).is_err());
}

/// Writes a new authority as the Secret `cacerts` is mounted; gives its root.
fn plug(folder: &Path) -> String {
    let made = Bundle::create(&RootPolicy::default(), SystemTime::now()).unwrap();
    for (name, text) in made.entries() {
        std::fs::write(folder.join(name), text).unwrap();
    }
    made.roots
}
