//! Where rule files come from: the trait through which this crate reads files, since it opens none itself.

use std::collections::BTreeMap;

/// Gives the contents of rule and data files by path.
pub trait FileSource {
    /// Reads `path`, which is relative to the folder of the file `relative_to` (empty for a root).
    ///
    /// # Errors
    /// One sentence saying why the file cannot be read, without the path.
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String>;

    /// The full paths that a pattern with `*`, `?` or `[...]` stands for, sorted by byte order; each is accepted by [`FileSource::read`]
    /// with an empty `relative_to`. A path without wildcards comes back resolved against `relative_to`.
    ///
    /// # Errors
    /// One sentence saying why the folder cannot be listed.
    fn expand(&self, pattern: &str, relative_to: &str) -> Result<Vec<String>, String> {
        if pattern.contains(['*', '?', '[']) {
            return Err("this source of rule files cannot list folders".to_owned());
        }
        Ok(vec![join(pattern, relative_to)])
    }
}

/// Files held in memory: for tests, for rules embedded in a binary, and for programs that do their reading beforehand.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    /// No files at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, replacing one of the same path; chainable.
    pub fn with(mut self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), contents.into());
        self
    }
}

impl FileSource for MemoryFiles {
    fn read(&self, path: &str, relative_to: &str) -> Result<Vec<u8>, String> {
        self.files.get(&join(path, relative_to)).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn expand(&self, pattern: &str, relative_to: &str) -> Result<Vec<String>, String> {
        let full = join(pattern, relative_to);
        if !pattern.contains(['*', '?', '[']) {
            return Ok(vec![full]);
        }
        Ok(self.files.keys().filter(|path| glob(full.as_bytes(), path.as_bytes())).cloned().collect())
    }
}

/// `path` seen from the folder of the file `relative_to`; absolute paths stay as they are.
pub fn join(path: &str, relative_to: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    match relative_to.rfind('/') {
        Some(slash) => format!("{}/{}", &relative_to[..slash], path),
        None => path.to_owned(),
    }
}

/// Whether `name` fits `pattern` with the wildcards `*`, `?` and `[a-z]` or `[!a-z]`; no wildcard crosses a slash.
pub fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if let Some(step) = one(&pattern[p.min(pattern.len())..], name.get(n).copied()) {
            match step {
                Step::Star => {
                    retry = Some((p + 1, n));
                    p += 1;
                    continue;
                }
                Step::End => return true,
                Step::Consumed(width) => {
                    p += width;
                    n += 1;
                    continue;
                }
            }
        }
        match retry {
            Some((after_star, from)) if name.get(from).is_some_and(|byte| *byte != b'/') => {
                p = after_star;
                n = from + 1;
                retry = Some((after_star, n));
            }
            _ => return false,
        }
    }
}

enum Step {
    Star,
    End,
    Consumed(usize),
}

fn one(pattern: &[u8], byte: Option<u8>) -> Option<Step> {
    match (pattern.first(), byte) {
        (None, None) => Some(Step::End),
        (Some(b'*'), _) => Some(Step::Star),
        (Some(b'?'), Some(byte)) if byte != b'/' => Some(Step::Consumed(1)),
        (Some(b'['), Some(byte)) => class(pattern, byte).map(Step::Consumed),
        (Some(expected), Some(byte)) if *expected == byte => Some(Step::Consumed(1)),
        _ => None,
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let close = pattern.iter().skip(2).position(|b| *b == b']')? + 2;
    let negated = pattern.get(1) == Some(&b'!');
    let set = pattern.get(if negated { 2 } else { 1 }..close)?;
    let mut inside = false;
    let mut i = 0;
    while let Some(low) = set.get(i) {
        if let (Some(b'-'), Some(high)) = (set.get(i + 1), set.get(i + 2)) {
            inside |= (*low..=*high).contains(&byte);
            i += 3;
        } else {
            inside |= *low == byte;
            i += 1;
        }
    }
    (inside != negated && byte != b'/').then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stay_inside_one_folder() {
        assert!(glob(b"rules/*.conf", b"rules/a.conf"));
        assert!(!glob(b"rules/*.conf", b"rules/a/b.conf"));
        assert!(glob(b"r[a-c]?.conf", b"rbx.conf"));
        assert!(!glob(b"r[!a-c].conf", b"rb.conf"));
        assert!(glob(b"*a*b*", b"xxaxxbxx"));
        assert!(!glob(b"[", b"["));
    }

    #[test]
    fn a_relative_path_is_seen_from_the_including_file() {
        assert_eq!(join("x.data", "rules/a.conf"), "rules/x.data");
        assert_eq!(join("/x.data", "rules/a.conf"), "/x.data");
        let files = MemoryFiles::new().with("rules/b.conf", "").with("rules/a.conf", "").with("a.conf", "");
        assert_eq!(files.expand("*.conf", "rules/main.conf"), Ok(vec!["rules/a.conf".to_owned(), "rules/b.conf".to_owned()]));
    }
}
