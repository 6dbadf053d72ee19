//! The canonical host, and the site it names.

use crate::policy::{Site, SiteName};
use std::collections::HashMap;
use std::sync::Arc;

/// A host as it decides: lower case, no port, no trailing dot.
pub(super) fn canonical(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?;
    let host = if let Some(rest) = text.strip_prefix('[') {
        let end = rest.find(']')?;
        text.get(..end + 2)?
    } else {
        text.rsplit_once(':').map_or(text, |(host, _)| host)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() { None } else { Some(host.to_ascii_lowercase()) }
}

/// Sites by name: exact names first, then wildcards by their suffix, then the catch-all.
#[derive(Debug, Default)]
pub(super) struct Sites {
    exact: HashMap<String, Arc<Site>>,
    wildcard: HashMap<String, Arc<Site>>,
    any: Option<Arc<Site>>,
}

/// A site found, and the name by which the outside may be told of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The site.
    pub(super) site: Arc<Site>,
    /// The name for redirects; `None` where only the catch-all matched, since the client chose the host.
    pub(super) name: Option<String>,
}

impl Sites {
    /// The table of a policy's sites.
    pub(super) fn new(sites: &[Arc<Site>]) -> Self {
        let mut table = Self::default();
        for site in sites {
            for name in &site.names {
                match name {
                    SiteName::Exact(name) => drop(table.exact.insert(name.clone(), Arc::clone(site))),
                    SiteName::Wildcard(suffix) => drop(table.wildcard.insert(suffix.clone(), Arc::clone(site))),
                    SiteName::Any => table.any = Some(Arc::clone(site)),
                }
            }
        }
        table
    }

    /// The site of a canonical host.
    pub(super) fn find(&self, host: &str) -> Option<Found> {
        if let Some(site) = self.exact.get(host) {
            return Some(Found { site: Arc::clone(site), name: Some(host.to_owned()) });
        }
        if let Some((_, suffix)) = host.split_once('.')
            && let Some(site) = self.wildcard.get(suffix)
        {
            return Some(Found { site: Arc::clone(site), name: Some(host.to_owned()) });
        }
        self.any.as_ref().map(|site| Found { site: Arc::clone(site), name: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_case_and_the_trailing_dot_do_not_name_another_host() {
        for (raw, want) in [
            ("A.Example", "a.example"),
            ("a.example:8443", "a.example"),
            ("a.example.", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(canonical(raw.as_bytes()).as_deref(), Some(want));
        }
        assert_eq!(canonical(b":80"), None);
        assert_eq!(canonical(b"[::1"), None);
    }
}
