use std::future::Future;
use std::time::{Duration, Instant};

use super::attempt::Attempt;

/// The longest wait before the second attempt, and before any.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest that the other end may ask to wait.
const ASKED: Duration = Duration::from_mins(1);

/// Tries until it is done, refused, or too late. The error says what happened last.
pub(super) async fn retry<T, F: Future<Output = Attempt<T>>>(
    what: &str,
    until: Instant,
    attempt: impl Fn() -> F,
) -> Result<T, String> {
    let mut tries = 0_u32;
    loop {
        tries += 1;
        let (why, after) = match attempt().await {
            Attempt::Done(done) => return Ok(done),
            Attempt::Refused(why) => return Err(why),
            Attempt::Again { why, after } => (why, after),
        };
        // Anything from nothing to the whole: those who failed together do not come back together.
        let wait = after.min(ASKED) + longest(tries).mul_f64(rand::random_range(0.0..=1.0));
        if Instant::now() + wait >= until {
            return Err(format!("{why} (given up after {tries} attempts)"));
        }
        tracing::info!(what, tries, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "again: {why}");
        tokio::time::sleep(wait).await;
    }
}

/// The longest wait after so many attempts: twice as long each time.
fn longest(tries: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let waits: Vec<_> = [1, 2, 3, 7, 8, 1_000].map(|tries| longest(tries).as_millis()).into();
        assert_eq!(waits, [500, 1_000, 2_000, 30_000, 30_000, 30_000]);
    }

    #[tokio::test]
    async fn what_is_refused_is_not_tried_again() {
        let tries = AtomicU32::new(0);
        let until = Instant::now() + Duration::from_mins(1);
        let result: Result<(), _> = retry("x", until, || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Attempt::Refused("no".to_owned())
        })
        .await;
        assert_eq!((result, tries.into_inner()), (Err("no".to_owned()), 1));
    }

    #[tokio::test]
    async fn a_wait_that_would_end_too_late_is_not_begun() {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(30);
        let result: Result<(), _> =
            retry("x", until, || async { Attempt::Again { why: "busy".to_owned(), after: Duration::from_hours(9) } })
                .await;
        assert_eq!(result, Err("busy (given up after 1 attempts)".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
