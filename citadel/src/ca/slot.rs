//! When a root is renewed. Pure.
//!
//! In: the lives of the roots in force and the time. Out: what to do now, or until when to wait. A root is prepared
//! when the last part of its life begins (Istio's `CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE`, 20),
//! activated after everybody had time to learn to trust it, and the old one retired once nothing signed by it lives.

use std::time::{Duration, SystemTime};

/// A life.
pub type Life = (SystemTime, SystemTime);

/// The roots of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Signs.
    pub current: Life,
    /// Is trusted and will sign: its life, and since when it is trusted.
    pub next: Option<(Life, SystemTime)>,
    /// Is trusted and signs no more since this moment.
    pub old: Option<(Life, SystemTime)>,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Part of the life, from its end, in which a root is renewed.
    pub grace: f64,
    /// Time for everybody to learn of a new root.
    pub spread: Duration,
    /// Longest life of what was signed.
    pub leaf: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing before this moment.
    Wait(SystemTime),
    /// Make the next root and publish it.
    Prepare,
    /// Sign with the next root.
    Activate,
    /// Forget the old root.
    Retire,
}

/// What the slots need at this moment.
pub fn next_action(slots: &Slots, rules: &Rules, now: SystemTime) -> Action {
    if let Some((life, since)) = slots.old {
        let until = (since + rules.leaf).min(life.1);
        if now >= until {
            return Action::Retire;
        }
    }
    if let Some((_, since)) = slots.next {
        // An expiring root cannot wait for the slowest reader.
        let at = (since + rules.spread).min(slots.current.1);
        return if now >= at { Action::Activate } else { Action::Wait(at) };
    }
    let life = slots.current.1.duration_since(slots.current.0).unwrap_or_default();
    let at = slots.current.1 - life.mul_f64(rules.grace.clamp(0.0, 1.0));
    if now >= at {
        return Action::Prepare;
    }
    match slots.old {
        Some((life, since)) => Action::Wait(at.min((since + rules.leaf).min(life.1))),
        None => Action::Wait(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_root_goes_through_its_stations() {
        let rules = Rules { grace: 0.2, spread: Duration::from_secs(50), leaf: Duration::from_secs(100) };
        let mut slots = Slots { current: (at(0), at(1000)), next: None, old: None };
        assert_eq!(next_action(&slots, &rules, at(10)), Action::Wait(at(800)));
        assert_eq!(next_action(&slots, &rules, at(800)), Action::Prepare);
        slots.next = Some(((at(800), at(1800)), at(800)));
        assert_eq!(next_action(&slots, &rules, at(801)), Action::Wait(at(850)));
        assert_eq!(next_action(&slots, &rules, at(850)), Action::Activate);
        slots = Slots { current: (at(800), at(1800)), next: None, old: Some(((at(0), at(1000)), at(850))) };
        assert_eq!(next_action(&slots, &rules, at(851)), Action::Wait(at(950)));
        assert_eq!(next_action(&slots, &rules, at(950)), Action::Retire);
        slots.old = None;
        assert_eq!(next_action(&slots, &rules, at(951)), Action::Wait(at(1600)));
    }

    #[test]
    fn an_expiring_root_does_not_wait_for_readers() {
        let rules = Rules { grace: 0.2, spread: Duration::from_secs(500), leaf: Duration::from_secs(1) };
        let slots =
            Slots { current: (at(0), at(1000)), next: Some(((at(900), at(2000)), at(900))), old: None };
        assert_eq!(next_action(&slots, &rules, at(999)), Action::Wait(at(1000)));
        assert_eq!(next_action(&slots, &rules, at(1000)), Action::Activate);
    }
}
