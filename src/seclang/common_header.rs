//! Headers that browsers send alike with every request.

/// Whether a header's values say what the browser is and wants, and nothing that only one person may know.
pub(crate) fn is_common_header(header: &[u8]) -> bool {
    let begins = |start: &[u8]| header.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    let is = |names: &[&[u8]]| names.iter().any(|name| header.eq_ignore_ascii_case(name));
    let by_length = match header.len() {
        2 => is(&[b"te"]),
        3 => is(&[b"dnt"]),
        4 => is(&[b"host"]),
        6 => is(&[b"accept", b"origin", b"pragma"]),
        8 => is(&[b"priority"]),
        10 => is(&[b"user-agent", b"connection"]),
        12 => is(&[b"content-type"]),
        13 => is(&[b"cache-control"]),
        14 => is(&[b"accept-charset"]),
        15 => is(&[b"accept-encoding", b"accept-language"]),
        16 => is(&[b"x-requested-with"]),
        25 => is(&[b"upgrade-insecure-requests"]),
        _ => false,
    };
    by_length || begins(b"sec-fetch-") || begins(b"sec-ch-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_common() {
        for common in ["User-Agent", "accept", "ACCEPT-LANGUAGE", "Sec-Fetch-Mode", "sec-ch-ua", "X-Requested-With", "te"] {
            assert!(is_common_header(common.as_bytes()), "{common}");
        }
        for other in ["Cookie", "Authorization", "Referer", "X-Api-Key", "Proxy-Authorization", "If-None-Match", "", "sec-fetch", "hosts"] {
            assert!(!is_common_header(other.as_bytes()), "{other}");
        }
    }
}
