//! Times as in RFC 3339, to the nanosecond, from year 0 to year 9999.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A time of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::echo) struct Stamp {
    /// Since 1970, by UTC; negative before.
    seconds: i64,
    /// Below 10^9, from that second on.
    nanos: u32,
}

const DAY: i64 = 86_400;
const FIRST: i64 = days_before(0, 1) * DAY;
const LAST: i64 = days_before(10_000, 1) * DAY - 1;

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Stamp {
        let clamped = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Stamp { seconds: clamped(since.as_secs()), nanos: since.subsec_nanos() },
            Err(error) => {
                let before = error.duration();
                let (seconds, nanos) = (-clamped(before.as_secs()), before.subsec_nanos());
                match nanos {
                    0 => Stamp { seconds, nanos },
                    _ => Stamp { seconds: seconds.saturating_sub(1), nanos: 1_000_000_000 - nanos },
                }
            }
        }
    }
}

impl Stamp {
    /// How long after the other this is; zero if it is before.
    pub(in crate::echo) fn since(self, earlier: Stamp) -> Duration {
        let nanos =
            |stamp: Stamp| i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanos);
        let since = (nanos(self) - nanos(earlier)).max(0).unsigned_abs();
        let (seconds, nanos) = (since / 1_000_000_000, since % 1_000_000_000);
        Duration::new(u64::try_from(seconds).unwrap_or(u64::MAX), nanos as u32)
    }

    /// The same to the second.
    #[cfg(any(feature = "nats", test))]
    pub(in crate::echo) fn whole(self) -> Stamp {
        Stamp { nanos: 0, ..self }
    }

    /// Reads a time with any offset. Of a fraction of a second nine digits count.
    pub(in crate::echo) fn parse(text: &str) -> Option<Stamp> {
        let mut text = Text(text.as_bytes());
        let year = text.number(4)?;
        text.one_of(b"-")?;
        let month = text.number(2).filter(|month| (1..=12).contains(month))?;
        text.one_of(b"-")?;
        let days = days_before(year, month + 1) - days_before(year, month);
        let day = text.number(2).filter(|day| (1..=days).contains(day))?;
        text.one_of(b"Tt ")?;
        let hour = text.number(2).filter(|hour| *hour < 24)?;
        text.one_of(b":")?;
        let minute = text.number(2).filter(|minute| *minute < 60)?;
        text.one_of(b":")?;
        // 60 is a leap second.
        let second = text.number(2).filter(|second| *second <= 60)?;
        let nanos = text.fraction()?;
        let east = text.offset()?;
        let days = days_before(year, month) + day - 1;
        let seconds = days * DAY + hour * 3600 + minute * 60 + second - east;
        text.0.is_empty().then_some(Stamp { seconds, nanos })
    }
}

/// As Go writes it: by UTC, without zeros at the end.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.clamp(FIRST, LAST);
        let (year, month, day) = date(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// What is left to be read.
struct Text<'t>(&'t [u8]);

impl Text<'_> {
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| bytes.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        (0..digits).try_fold(0, |number, _| {
            Some(number * 10 + i64::from(self.one_of(b"0123456789")? - b'0'))
        })
    }

    fn fraction(&mut self) -> Option<u32> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let (mut nanos, mut unit) = (self.number(1)? as u32 * 100_000_000, 10_000_000);
        while let Some(digit) = self.number(1) {
            nanos += digit as u32 * unit;
            unit /= 10;
        }
        Some(nanos)
    }

    /// In seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.number(2).filter(|hours| *hours < 24)?;
        self.one_of(b":")?;
        let minutes = self.number(2).filter(|minutes| *minutes < 60)?;
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

/// How many days lie between 1970 and the beginning of a month, negative before. Month 13 is the
/// first of the next year.
const fn days_before(year: i64, month: i64) -> i64 {
    // Years are counted from March, so that a leap day is a year's last: then 31, 30, 31, 30, 31
    // come over and over, 153 days for five months. An era is the 400 years after which all
    // repeats.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let days = of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5;
    // 719,468 days lie between March of year 0 and 1970.
    era * 146_097 + days - 719_468
}

/// The year, month and day, so many days after 1970 began.
fn date(days: i64) -> (i64, i64, i64) {
    // 146,097 days are 400 years: this is the year, or the one before or after it.
    let mut year = 1970 + days * 400 / 146_097;
    while days_before(year, 1) > days {
        year -= 1;
    }
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_before(year, *month) <= days).unwrap_or(1);
    (year, month, days - days_before(year, month) + 1)
}
