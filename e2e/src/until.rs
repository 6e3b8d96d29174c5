//! Waiting for conditions, never for time: a condition is asked again until it holds or the limit is over, and then
//! the last answer is in the failure.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Longest wait for something that should happen at once; generous, since a loaded machine is not a defect.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Asks until the answer is `Ok`.
///
/// # Panics
/// When the limit is over, with the last `Err`.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if start.elapsed() > LIMIT => panic!("{what}: not within {LIMIT:?}; last: {error}"),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
