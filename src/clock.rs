//! Time as the gateway uses it: the wall clock for records, the monotonic clock for durations and deadlines.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One moment, read from both clocks at once, so that a record's time and its durations agree.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Microseconds since the Unix epoch, for people and records.
    pub unix_micros: u64,
    /// The monotonic reading, for durations.
    pub instant: Instant,
}

impl Moment {
    /// The present moment.
    pub fn now() -> Self {
        let unix_micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
        Self { unix_micros, instant: Instant::now() }
    }

    /// Microseconds from this moment to now, by the monotonic clock.
    pub fn elapsed_micros(&self) -> u64 {
        u64::try_from(self.instant.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A stop watch whose laps follow one another without a gap: one reading of the clock per lap.
#[derive(Clone, Copy, Debug)]
pub struct Laps(Instant);

impl Laps {
    /// Starts at a moment that has been read already.
    pub fn from(moment: Moment) -> Self {
        Self(moment.instant)
    }

    /// Microseconds since the last lap, or the start.
    pub fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let passed = now.duration_since(self.0);
        self.0 = now;
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }
}

/// `unix_micros` as RFC 3339 in UTC with microseconds, the form of `@timestamp`.
pub fn rfc3339(unix_micros: u64) -> String {
    let micros = i64::try_from(unix_micros).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "1970-01-01T00:00:00.000000Z".into(), |t| format!("{t:.6}"))
}

/// `unix_seconds` as `Date` has it: IMF-fixdate of RFC 9110 section 5.6.7.
pub fn http_date(unix_seconds: u64) -> String {
    let time = jiff::Timestamp::from_second(i64::try_from(unix_seconds).unwrap_or(i64::MAX)).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Microseconds since the Unix epoch of an RFC 3339 time; `None` where it is none, or before.
pub fn unix_micros(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_time_is_rfc_3339_with_six_digits() {
        assert_eq!(rfc3339(1_700_000_000_000_001), "2023-11-14T22:13:20.000001Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(unix_micros(&rfc3339(1_700_000_000_000_001)), Some(1_700_000_000_000_001));
        assert_eq!(unix_micros("yesterday"), None);
    }

    #[test]
    fn a_date_header_is_in_english_and_gmt() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
