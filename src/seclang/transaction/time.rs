//! The calendar behind the variables `TIME...`, in UTC.

/// A moment, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: i64,
    /// 1 to 12
    pub(super) month: i64,
    /// 1 to 31
    pub(super) day: i64,
    /// 0 (Sunday) to 6
    pub(super) weekday: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) epoch: i64,
}

/// Takes apart microseconds since 1970. Years are counted from March, so that the leap day is a year's last.
pub(super) fn moment(microseconds: u64) -> Moment {
    let epoch = (microseconds / 1_000_000) as i64;
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Moment {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * from_march + 2) / 5 + 1,
        weekday: (days + 4) % 7,
        hour: seconds / 3_600,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        epoch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let at = |seconds: u64| moment(seconds * 1_000_000);
        let leap = at(951_782_400 + 3_661);
        assert_eq!((leap.year, leap.month, leap.day, leap.weekday), (2000, 2, 29, 2));
        assert_eq!((leap.hour, leap.minute, leap.second), (1, 1, 1));
        assert_eq!((at(0).year, at(0).month, at(0).day, at(0).weekday), (1970, 1, 1, 4));
    }
}
