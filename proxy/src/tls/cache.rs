//! rustls configurations, made once for each version of the secrets.
//!
//! In: settings of a chain or cluster, the version of the [`super::Secrets`], and what else the configuration depends
//! on. Out: the configuration that was made before, or a new one. `client` and `server` have one each. Promises: a
//! rotation is seen by the next handshake, and settings that are gone take their configurations with them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::TlsError;

/// A configuration `C` with the principal of the key that it shows.
pub(super) struct Prepared<C> {
    pub(super) config: Arc<C>,
    pub(super) principal: Option<Arc<str>>,
}

impl<C> Clone for Prepared<C> {
    fn clone(&self) -> Self {
        Prepared { config: self.config.clone(), principal: self.principal.clone() }
    }
}

struct Slot<S, C> {
    /// Says whether the address in the key still means the same settings.
    settings: Weak<S>,
    version: u64,
    prepared: Prepared<C>,
}

/// Configurations `C` by the address of their settings `S` and by what else they depend on, `K`.
pub(super) struct Cache<S, K, C> {
    slots: Mutex<HashMap<(usize, K), Slot<S, C>>>,
}

impl<S, K, C> Default for Cache<S, K, C> {
    fn default() -> Self {
        Cache { slots: Mutex::default() }
    }
}

impl<S, K: Eq + Hash, C> Cache<S, K, C> {
    /// The configuration for these settings at this version of the secrets; `make` makes it. Two callers may make the
    /// same at once, since a handshake must not wait for another's.
    pub(super) fn get(
        &self,
        settings: &Arc<S>,
        also: K,
        version: u64,
        make: impl FnOnce() -> Result<Prepared<C>, TlsError>,
    ) -> Result<Prepared<C>, TlsError> {
        let key = (Arc::as_ptr(settings).addr(), also);
        if let Some(slot) = self.slots.lock().get(&key)
            && slot.version == version
            && slot.settings.strong_count() > 0
        {
            return Ok(slot.prepared.clone());
        }
        let prepared = make()?;
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| slot.settings.strong_count() > 0);
        slots.insert(key, Slot { settings: Arc::downgrade(settings), version, prepared: prepared.clone() });
        Ok(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_configuration_for_each_settings_and_version() {
        let cache: Cache<&str, bool, u32> = Cache::default();
        let settings = Arc::new("chain");
        let get = |settings: &Arc<&'static str>, also, version, made: u32| {
            let make = || Ok(Prepared { config: Arc::new(made), principal: None });
            *cache.get(settings, also, version, make).unwrap().config
        };
        assert_eq!(get(&settings, false, 1, 10), 10);
        assert_eq!(get(&settings, false, 1, 11), 10, "made before");
        assert_eq!(get(&settings, true, 1, 12), 12, "depends on something else");
        assert_eq!(get(&settings, false, 2, 13), 13, "the secrets have changed");
        let other = Arc::new("chain");
        assert_eq!(get(&other, false, 2, 14), 14, "other settings, equal or not");
        drop(settings);
        assert_eq!(get(&other, true, 2, 15), 15);
        assert_eq!(cache.slots.lock().len(), 2, "settings that are gone are forgotten");
    }
}
