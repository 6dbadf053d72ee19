//! Which closed files are too old, and what the trail says of them before they go.

use super::chain::Links;
use super::control::Retired;
use super::files::DAY_SECONDS;
use super::json::sequence_of;
use super::read::{self, Forward, Stamp, last_line};
use super::settings::Settings;
use std::io;
use std::path::{Path, PathBuf};

/// Files retired at once: more wait for the next commit.
const AT_ONCE_MAX: usize = 16;

/// Looks once a day.
pub(crate) struct Retirement {
    directory: PathBuf,
    days: Option<u32>,
    looked: Option<u64>,
    /// The last file whose retirement was said: the keeper may not have removed it yet.
    said: Option<Stamp>,
}

impl Retirement {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { directory: settings.directory.clone(), days: settings.retention_days, looked: None, said: None }
    }

    /// Closed files begun more than the retention's days ago, oldest first, and what they held.
    pub(crate) fn due(&mut self, now: u64, current: Option<&Path>) -> Vec<(PathBuf, Retired)> {
        let today = now / 1_000_000 / DAY_SECONDS;
        let Some(days) = self.days.filter(|_| self.looked != Some(today)) else { return Vec::new() };
        let current = current.and_then(Stamp::of);
        let mut due = Vec::new();
        for path in read::files(&self.directory).unwrap_or_default() {
            let Some(stamp) = Stamp::of(&path) else { continue };
            if current == Some(stamp) || Some(stamp) <= self.said || stamp.second / DAY_SECONDS + u64::from(days) >= today {
                continue;
            }
            if due.len() == AT_ONCE_MAX {
                return due;
            }
            match held(&path) {
                Ok(Some(retired)) => {
                    self.said = Some(stamp);
                    due.push((self.directory.join(stamp.file_name()), retired));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, file = %path.display(), "an audit file cannot be retired for its age"),
            }
        }
        self.looked = Some(today);
        due
    }
}

/// What a file held; `None` where it has no whole line.
fn held(path: &Path) -> io::Result<Option<Retired>> {
    let first = Forward::open(path)?.next_line()?.filter(|line| !line.torn);
    let (Some(first), Some(last)) = (first, last_line(path)?) else { return Ok(None) };
    let (Some(first_sequence), Some(last_sequence)) = (sequence_of(&first.bytes), sequence_of(&last)) else { return Ok(None) };
    let hash = Links::of(&last).map(|links| String::from_utf8_lossy(links.hash).into_owned());
    let file =
        path.file_name().and_then(|name| name.to_str()).unwrap_or_default().trim_end_matches(super::closed::CLOSED_SUFFIX).to_owned();
    Ok(hash.map(|last_hash| Retired { file, first_sequence, last_sequence, last_hash }))
}
