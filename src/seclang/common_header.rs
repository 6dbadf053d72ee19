//! Headers that browsers send alike with every request.

/// Headers whose values say what the browser is and wants, and nothing that only one person may know.
pub(crate) fn is_common_header(header: &[u8]) -> bool {
    const COMMON: [&[u8]; 16] = [
        b"accept",
        b"accept-charset",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"connection",
        b"content-type",
        b"dnt",
        b"host",
        b"origin",
        b"pragma",
        b"priority",
        b"te",
        b"upgrade-insecure-requests",
        b"user-agent",
        b"x-requested-with",
    ];
    let begins = |start: &[u8]| header.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    begins(b"sec-fetch-") || begins(b"sec-ch-") || COMMON.iter().any(|common| header.eq_ignore_ascii_case(common))
}
