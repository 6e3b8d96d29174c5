//! Addresses of pods and Services, as in Kubernetes: 10.244/16 and 10.96/16, with fd00 addresses beside them.
//!
//! In: names. Out: addresses. A Service keeps its address from one run of the mesh to the next (a table in the
//! state), pods count upwards. Called by the reconciler alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The node's own address inside, gateway of all pods.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// The same in IPv6.
pub const NODE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 1);
/// The cluster's DNS server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Network of pods.
pub const PODS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 244, 0, 0), 16);
/// Network of Services.
pub const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
/// Network of pods, IPv6.
pub const PODS6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0), 64);
/// Network of Services, IPv6.
pub const SERVICES6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 64);
/// First number given to a Service; those below are for the cluster's own.
const FIRST_SERVICE: u16 = 256;
const DNS_NUMBER: u16 = 10;

/// The addresses given so far.
#[derive(Debug)]
pub struct Addresses {
    /// Where the table is kept; none on paper.
    file: Option<PathBuf>,
    services: BTreeMap<String, u16>,
    pods: BTreeSet<u16>,
    last_pod: u16,
}

impl Addresses {
    /// Reads the table of Services from a folder.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        let file = dir.join("services.json");
        let read = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut services: BTreeMap<String, u16> = read.unwrap_or_default();
        services.insert("kube-system/kube-dns".to_owned(), DNS_NUMBER);
        Self { file: Some(file), services, pods: BTreeSet::new(), last_pod: 1 }
    }

    /// A table that is not kept, for meshes on paper.
    #[must_use]
    pub fn on_paper() -> Self {
        let services = BTreeMap::from([("kube-system/kube-dns".to_owned(), DNS_NUMBER)]);
        Self { file: None, services, pods: BTreeSet::new(), last_pod: 1 }
    }

    /// The addresses of a Service, the same ones whenever it is asked.
    pub fn service(&mut self, namespace: &str, name: &str) -> Result<(Ipv4Addr, Ipv6Addr)> {
        let key = format!("{namespace}/{name}");
        let number = match self.services.get(&key) {
            Some(number) => *number,
            None => {
                let taken: BTreeSet<u16> = self.services.values().copied().collect();
                let free = (FIRST_SERVICE..u16::MAX).find(|number| !taken.contains(number));
                let number = free.context("all Service addresses are taken")?;
                self.services.insert(key, number);
                if let Some(file) = &self.file {
                    super::paths::write_whole(file, &serde_json::to_vec_pretty(&self.services)?)
                        .with_context(|| format!("write {}", file.display()))?;
                }
                number
            }
        };
        let [high, low] = number.to_be_bytes();
        Ok((Ipv4Addr::new(10, 96, high, low), Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number)))
    }

    /// The address of a Service that has one already.
    #[must_use]
    pub fn known(&self, namespace: &str, name: &str) -> Option<Ipv4Addr> {
        self.both(namespace, name).map(|(ip4, _)| ip4)
    }

    /// Both addresses of a Service that has them already.
    #[must_use]
    pub fn both(&self, namespace: &str, name: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
        let number = *self.services.get(&format!("{namespace}/{name}"))?;
        let [high, low] = number.to_be_bytes();
        Some((Ipv4Addr::new(10, 96, high, low), Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number)))
    }

    /// Takes a number for a pod.
    pub fn take_pod(&mut self) -> Result<u16> {
        let after = (self.last_pod + 1..u16::MAX).chain(2..=self.last_pod);
        // .0 and .255 are addresses like others here, but tools take them for networks.
        let mut usable = after.filter(|number| !matches!(number & 0xff, 0 | 0xff));
        let number =
            usable.find(|number| !self.pods.contains(number)).context("all pod addresses are taken")?;
        self.pods.insert(number);
        self.last_pod = number;
        Ok(number)
    }

    /// Gives a pod's number back.
    pub fn release_pod(&mut self, number: u16) {
        self.pods.remove(&number);
    }
}

/// The addresses of the pod with this number.
#[must_use]
pub fn of_pod(number: u16) -> (Ipv4Addr, Ipv6Addr) {
    let [high, low] = number.to_be_bytes();
    (Ipv4Addr::new(10, 244, high, low), Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_keep_their_address_and_pods_do_not_collide() {
        let dir = std::env::temp_dir().join(format!("addresses-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut addresses = Addresses::open(&dir);
        assert_eq!(addresses.service("kube-system", "kube-dns").unwrap().0, DNS);
        let a = addresses.service("default", "a").unwrap();
        let b = addresses.service("default", "b").unwrap();
        assert_ne!(a, b);
        let mut again = Addresses::open(&dir);
        assert_eq!(again.service("default", "b").unwrap(), b);
        fs::remove_dir_all(&dir).unwrap();
        let first = addresses.take_pod().unwrap();
        let second = addresses.take_pod().unwrap();
        assert_ne!(first, second);
        addresses.release_pod(first);
        assert_ne!(addresses.take_pod().unwrap(), second);
        assert_eq!(of_pod(2).0, Ipv4Addr::new(10, 244, 0, 2));
    }
}
