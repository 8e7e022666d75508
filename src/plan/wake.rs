use jiff::{SignedDuration, Timestamp};

/// The earliest moment at which something changes though nothing happens.
#[derive(Clone, Copy, Debug)]
pub struct Wake {
    now: Timestamp,
    next: Option<Timestamp>,
}

impl Wake {
    pub const fn new(now: Timestamp) -> Self {
        Self { now, next: None }
    }

    /// Looks again at a moment, where it is ahead.
    pub fn at(&mut self, moment: impl Into<Option<Timestamp>>) {
        if let Some(moment) = moment.into()
            && moment > self.now
        {
            self.next = Some(self.next.map_or(moment, |next| next.min(moment)));
        }
    }

    /// Whether a limit lies behind; while it does not, looks again just after it.
    pub fn passed(&mut self, limit: Timestamp) -> bool {
        self.at(after(limit, 1));
        self.now > limit
    }

    pub const fn next(self) -> Option<Timestamp> {
        self.next
    }
}

/// So many seconds after a moment, at most the end of the calendar.
pub fn after(moment: Timestamp, seconds: i64) -> Timestamp {
    moment.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The whole second: what documents keep of a time.
pub fn second(moment: Timestamp) -> Timestamp {
    let whole = i64::try_from(moment.as_nanosecond().div_euclid(1_000_000_000));
    whole.ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(moment)
}
