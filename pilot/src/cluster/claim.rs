//! Who may lead, by what a Lease says. Pure.
//!
//! In: the claim that stands in the Lease, the time on this machine's own clock, the default revision. Out: what to do
//! now. Clocks of machines are not compared: a claim is old when it did not change for its duration while we looked.
//! A replica of the default revision takes the lock from one of another, as in Istio. Called by `election`.

use std::time::Duration;

/// How long a claim holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// A leader that could not renew for so long leads no more; well before others may take over.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// How often a claim is looked at and renewed.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// Who leads; empty after a release.
    pub(super) holder: String,
    /// The holder's revision.
    pub(super) revision: String,
    /// Changes whenever the Lease is written.
    pub(super) version: String,
    /// How long it holds.
    pub(super) duration: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is no Lease yet.
    Create,
    /// It is free, or its holder is gone or of lower rank.
    Take,
    /// It is ours.
    Renew,
    /// It is somebody else's.
    Wait,
}

/// One replica that wants to lead.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Unique among replicas: the pod's name.
    pub(super) holder: String,
    /// Its revision.
    pub(super) revision: String,
    /// The claim that was seen last, and since when.
    seen: Option<(Claim, Duration)>,
}

impl Candidate {
    /// A replica that has seen nothing yet.
    pub(super) fn new(holder: String, revision: String) -> Self {
        Self { holder, revision, seen: None }
    }

    /// What to do about this claim at this time; `default` is the default revision, if one is set.
    pub(super) fn step(&mut self, found: Option<&Claim>, default: Option<&str>, now: Duration) -> Step {
        let Some(claim) = found else { return Step::Create };
        if claim.holder == self.holder {
            return Step::Renew;
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == claim => *since,
            _ => {
                self.seen = Some((claim.clone(), now));
                now
            }
        };
        let old = now.saturating_sub(since) >= claim.duration;
        let higher = default == Some(&self.revision) && claim.revision != self.revision;
        if claim.holder.is_empty() || old || higher { Step::Take } else { Step::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(holder: &str, revision: &str, version: u32) -> Claim {
        Claim {
            holder: holder.into(),
            revision: revision.into(),
            version: version.to_string(),
            duration: LEASE,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lock_is_taken_when_it_is_free_or_its_holder_is_silent() {
        let mut b = Candidate::new("b".into(), "r".into());
        assert_eq!(b.step(None, None, at(0)), Step::Create);
        assert_eq!(b.step(Some(&claim("a", "r", 1)), None, at(1000)), Step::Wait);
        assert_eq!(b.step(Some(&claim("a", "r", 2)), None, at(1014)), Step::Wait, "it was renewed");
        assert_eq!(b.step(Some(&claim("a", "r", 2)), None, at(1028)), Step::Wait);
        assert_eq!(b.step(Some(&claim("a", "r", 2)), None, at(1029)), Step::Take);
        assert_eq!(b.step(Some(&claim("b", "r", 3)), None, at(1030)), Step::Renew);
        assert_eq!(b.step(Some(&claim("", "r", 4)), None, at(1031)), Step::Take, "it was released");
    }

    #[test]
    fn the_default_revision_comes_first() {
        let of = |revision: &str| Candidate::new("me".into(), revision.into());
        let found = claim("other", "canary", 1);
        assert_eq!(of("stable").step(Some(&found), Some("stable"), at(0)), Step::Take);
        assert_eq!(of("stable").step(Some(&found), None, at(0)), Step::Wait);
        assert_eq!(of("newer").step(Some(&found), Some("stable"), at(0)), Step::Wait);
        let found = claim("other", "stable", 2);
        assert_eq!(of("stable").step(Some(&found), Some("stable"), at(0)), Step::Wait, "equals do not fight");
        assert_eq!(of("canary").step(Some(&found), Some("stable"), at(0)), Step::Wait);
    }

    /// Replicas at random times on a store that compares versions, some of them unable to reach it for a while. At
    /// most one believes to lead at any time.
    #[test]
    fn there_are_never_two_leaders() {
        let mut seed = 7_u64;
        let mut dice = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut replicas: Vec<(Candidate, Duration, Duration)> = (0..3)
            .map(|n| (Candidate::new(format!("r{n}"), format!("v{n}")), Duration::ZERO, Duration::ZERO))
            .collect();
        let (mut store, mut version, mut changes) = (None::<Claim>, 0, 0);
        for second in 0..20_000 {
            let now = at(1000 + second);
            let default = if second > 10_000 { Some("v1") } else { None };
            for index in 0..replicas.len() {
                let (candidate, renewed, cut_off) = &mut replicas[index];
                if dice(500) == 0 {
                    *cut_off = now + at(dice(120));
                }
                if now < *cut_off || dice(2) == 0 {
                    continue;
                }
                let step = candidate.step(store.as_ref(), default, now);
                if step == Step::Wait {
                    *renewed = Duration::ZERO;
                    continue;
                }
                changes += u32::from(step != Step::Renew);
                version += 1;
                store = Some(claim(&candidate.holder, &candidate.revision, version));
                *renewed = now;
                // Who took it by rank is seen by the other at its next look; until then the store refuses it.
                let winner = candidate.holder.clone();
                if step == Step::Take && default.is_some() {
                    for (other, renewed, _) in &mut replicas {
                        if other.holder != winner {
                            *renewed = Duration::ZERO;
                        }
                    }
                }
            }
            let leads = |renewed: &Duration| !renewed.is_zero() && now.saturating_sub(*renewed) < DEADLINE;
            let leaders = replicas.iter().filter(|(_, renewed, _)| leads(renewed)).count();
            assert!(leaders <= 1, "{leaders} leaders at {second}");
        }
        assert!(changes > 5, "nobody was ever replaced");
    }
}
