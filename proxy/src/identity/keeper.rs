//! Keeps our certificate fresh.
//!
//! In: where the CA is, our token, our roots. Out: the secrets `default` and `ROOTCA` in [`Secrets`], replaced at half
//! of their life; [`Health`] for `/ready`, `/certs` and metrics. Runs on the control thread for ever. A failure is told
//! and tried again with growing pauses; the last good certificate stays until then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::clock::Clock;

use super::cert::{Window, renew_at};
use super::{csr, file};
use crate::tls::{Secret, SecretSource, Secrets};
use crate::xds::{self, Connector, Credential};

/// Name of our own certificate.
pub const OWN: &str = "default";
/// Name of the mesh's roots.
pub const ROOTS: &str = "ROOTCA";
/// How often the file of the mesh's roots is looked at.
const ROOTS_CHECK: Duration = Duration::from_secs(5);
/// How often certificate files are looked at.
const FILE_CHECK: Duration = Duration::from_secs(2);

/// What the keeper is told.
#[derive(Debug, Clone)]
pub struct CaSettings {
    pub token: PathBuf,
    /// Used instead of the CA if it holds certificates.
    pub mounted: PathBuf,
    /// The roots by which the CA itself is known; when they change, so does everybody's certificate.
    pub roots: PathBuf,
    /// Where the certificate is laid down for others, if anywhere (`OUTPUT_CERTS`).
    pub output: Option<PathBuf>,
    /// `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`
    pub identity: String,
    pub cluster_id: String,
    pub ttl: Duration,
    pub ratio: f64,
    pub jitter: f64,
}

/// How it goes.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Of the certificate in use.
    pub window: Option<Window>,
    pub last_error: Option<String>,
    /// Certificates obtained, and failures, since the start.
    pub obtained: u64,
    pub failed: u64,
}

/// The keeper.
pub struct Keeper {
    settings: CaSettings,
    /// Dials the CA; `None`: only files.
    connector: Option<Connector>,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
    health: base::Live<Health>,
}

impl Keeper {
    /// A keeper that has done nothing yet.
    pub fn new(
        settings: CaSettings,
        connector: Option<Connector>,
        secrets: Secrets,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Keeper { settings, connector, secrets, clock, health: base::Live::new(Health::default()) }
    }

    /// How it goes, live.
    pub fn health(&self) -> base::Live<Health> {
        self.health.clone()
    }

    /// Keeps the certificate fresh for ever.
    pub async fn run(self) {
        if self.settings.mounted.join("cert-chain.pem").exists() {
            return self.follow_files(&self.settings.mounted).await;
        }
        let Some(connector) = self.connector.clone() else { return };
        let mut attempts = xds::attempts();
        loop {
            match self.renew(&connector).await {
                Ok(window) => {
                    attempts.succeeded();
                    let now = self.clock.now();
                    let (ratio, jitter) = (self.settings.ratio, self.settings.jitter);
                    let at = renew_at(window, now, ratio, jitter, rand::random());
                    let pause = at.duration_since(now).unwrap_or_default();
                    tracing::info!(
                        not_after = %base::telemetry::rfc3339(window.not_after),
                        renew_in_seconds = pause.as_secs(),
                        "certificate obtained"
                    );
                    // A CA whose certificates are all but over would be asked without end.
                    self.rest(pause.max(Duration::from_secs(1))).await;
                }
                Err(error) => {
                    let pause = xds::patience(&mut attempts);
                    let retry = format!("{:.2}s", pause.as_secs_f64());
                    if attempts.failures() > xds::EAGER {
                        tracing::warn!(error, retry, "no certificate from the CA");
                    } else {
                        tracing::debug!(error, retry, "no certificate from the CA");
                    }
                    self.note(|health| {
                        health.last_error = Some(error);
                        health.failed += 1;
                    });
                    self.clock.sleep(pause).await;
                }
            }
        }
    }

    /// Sleeps until the certificate is due, or the mesh's roots are others: with a certificate of the old ones nobody
    /// would know us soon.
    async fn rest(&self, pause: Duration) {
        let known = std::fs::read(&self.settings.roots).ok();
        let changed = async {
            loop {
                self.clock.sleep(ROOTS_CHECK).await;
                let now = std::fs::read(&self.settings.roots).ok();
                if now.is_some() && now != known {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.clock.sleep(pause) => {}
            () = changed => tracing::info!(file = %self.settings.roots.display(), "the mesh's roots have changed"),
        }
    }

    /// The token, or none where our certificate is the credential, as on virtual machines.
    fn token(&self) -> Result<Option<String>, String> {
        let path = &self.settings.token;
        match std::fs::read_to_string(path) {
            Ok(token) => Ok(Some(token)),
            Err(_) if self.secrets.certificate(&SecretSource::Identity(OWN.into())).is_ok() => Ok(None),
            Err(error) => Err(format!(
                "no token to show to the CA: {}: {error} (a projected service account token for the audience istio-ca)",
                path.display()
            )),
        }
    }

    async fn renew(&self, connector: &Connector) -> Result<Window, String> {
        let token = self.token()?;
        let credential = if token.is_some() { Credential::ServerOnly } else { Credential::Mutual };
        let work = async {
            let channel = connector.connect(credential).await?;
            let ask = csr::Ask {
                identity: &self.settings.identity,
                ttl: self.settings.ttl,
                token: token.as_deref(),
                cluster_id: &self.settings.cluster_id,
            };
            csr::fetch(channel, &ask).await
        };
        let limited = tokio::time::timeout(Duration::from_secs(10), work).await;
        let issued = limited.map_err(|_| "the CA did not answer within 10 s".to_owned())??;
        let pair = Secret::key_pair(issued.chain.as_bytes(), issued.key.as_bytes())?;
        let roots = Secret::trust(issued.roots.as_bytes())?;
        let window = self.take(pair, roots)?;
        if let Some(folder) = &self.settings.output
            && let Err(error) = file::write(folder, &issued)
        {
            tracing::warn!(folder = %folder.display(), %error, "the certificate cannot be laid down for others");
        }
        Ok(window)
    }

    fn take(&self, pair: Secret, roots: Secret) -> Result<Window, String> {
        let leaf = pair.certificate.as_ref().and_then(|material| material.certified.cert.first());
        let window = Window::of(leaf.ok_or("no certificate")?)?;
        let version = base::telemetry::rfc3339(self.clock.now());
        self.secrets.put(SecretSource::Identity(ROOTS.into()), roots.versioned(&version));
        self.secrets.put(SecretSource::Identity(OWN.into()), pair.versioned(&version));
        self.note(|health| {
            health.window = Some(window);
            health.last_error = None;
            health.obtained += 1;
        });
        Ok(window)
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        let mut health = Health::clone(&self.health.load());
        change(&mut health);
        self.health.set(health);
    }

    async fn follow_files(&self, folder: &Path) {
        let mut seen = Vec::new();
        loop {
            let now = modified(folder);
            if now != seen {
                match file::read(folder).and_then(|(pair, roots)| self.take(pair, roots)) {
                    Ok(_) => {
                        tracing::info!(folder = %folder.display(), "certificate read from files");
                        seen = now;
                    }
                    Err(error) => {
                        tracing::warn!(error, "certificate files cannot be used (yet)");
                        self.note(|health| {
                            health.last_error = Some(error);
                            health.failed += 1;
                        });
                    }
                }
            }
            self.clock.sleep(FILE_CHECK).await;
        }
    }
}

fn modified(folder: &Path) -> Vec<Option<SystemTime>> {
    let time = |name: &str| std::fs::metadata(folder.join(name)).and_then(|m| m.modified()).ok();
    ["cert-chain.pem", "key.pem", "root-cert.pem"].map(time).to_vec()
}
