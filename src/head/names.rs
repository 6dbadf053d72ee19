//! Names of header fields: the well-known ones by a number, all others as text, always in lower case.
//!
//! Clients and servers send the same few names again and again. A known name costs one look-up when it arrives; after that it is a
//! byte that is compared, stored and asked for properties without a look at its text.

use super::class::are_tokens;
use super::raw::{RawHead, RawHeader};
use std::fmt;

/// A field name (a token of RFC 9110 section 5.1) in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// A place in [`TEXTS`].
    Known(u8),
    Other(Box<str>),
}

/// Stands for "none of the well-known".
pub(super) const OTHER: u8 = u8::MAX;
/// Stands for "nobody has looked yet whether it is a name, and its value a value".
pub(crate) const UNCHECKED: u8 = OTHER - 1;

macro_rules! names {
    ($($name:ident $text:literal,)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "one variant per constant")]
        #[derive(Clone, Copy)]
        enum Place { $($name),* }

        const TEXTS: &[&str] = &[$($text),*];

        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: Name = Name(Repr::Known(Place::$name as u8));
        )*
    };
}

names! {
    ACCEPT "accept",
    ACCEPT_CHARSET "accept-charset",
    ACCEPT_ENCODING "accept-encoding",
    ACCEPT_LANGUAGE "accept-language",
    ACCEPT_PATCH "accept-patch",
    ACCEPT_RANGES "accept-ranges",
    ACCESS_CONTROL_ALLOW_CREDENTIALS "access-control-allow-credentials",
    ACCESS_CONTROL_ALLOW_HEADERS "access-control-allow-headers",
    ACCESS_CONTROL_ALLOW_METHODS "access-control-allow-methods",
    ACCESS_CONTROL_ALLOW_ORIGIN "access-control-allow-origin",
    ACCESS_CONTROL_EXPOSE_HEADERS "access-control-expose-headers",
    ACCESS_CONTROL_MAX_AGE "access-control-max-age",
    ACCESS_CONTROL_REQUEST_HEADERS "access-control-request-headers",
    ACCESS_CONTROL_REQUEST_METHOD "access-control-request-method",
    AGE "age",
    ALLOW "allow",
    ALT_SVC "alt-svc",
    AUTHORIZATION "authorization",
    CACHE_CONTROL "cache-control",
    CLEAR_SITE_DATA "clear-site-data",
    CONNECTION "connection",
    CONTENT_DISPOSITION "content-disposition",
    CONTENT_ENCODING "content-encoding",
    CONTENT_LANGUAGE "content-language",
    CONTENT_LENGTH "content-length",
    CONTENT_LOCATION "content-location",
    CONTENT_RANGE "content-range",
    CONTENT_SECURITY_POLICY "content-security-policy",
    CONTENT_SECURITY_POLICY_REPORT_ONLY "content-security-policy-report-only",
    CONTENT_TYPE "content-type",
    COOKIE "cookie",
    CROSS_ORIGIN_EMBEDDER_POLICY "cross-origin-embedder-policy",
    CROSS_ORIGIN_OPENER_POLICY "cross-origin-opener-policy",
    CROSS_ORIGIN_RESOURCE_POLICY "cross-origin-resource-policy",
    DATE "date",
    DEPTH "depth",
    DESTINATION "destination",
    DNT "dnt",
    ETAG "etag",
    EXPECT "expect",
    EXPIRES "expires",
    FORWARDED "forwarded",
    FROM "from",
    HOST "host",
    HTTP2_SETTINGS "http2-settings",
    IF_MATCH "if-match",
    IF_MODIFIED_SINCE "if-modified-since",
    IF_NONE_MATCH "if-none-match",
    IF_RANGE "if-range",
    IF_UNMODIFIED_SINCE "if-unmodified-since",
    KEEP_ALIVE "keep-alive",
    LAST_MODIFIED "last-modified",
    LINK "link",
    LOCATION "location",
    MAX_FORWARDS "max-forwards",
    NEL "nel",
    ORIGIN "origin",
    PERMISSIONS_POLICY "permissions-policy",
    PRAGMA "pragma",
    PREFER "prefer",
    PRIORITY "priority",
    PROXY_AUTHENTICATE "proxy-authenticate",
    PROXY_AUTHORIZATION "proxy-authorization",
    PROXY_CONNECTION "proxy-connection",
    RANGE "range",
    REFERER "referer",
    REFERRER_POLICY "referrer-policy",
    REFRESH "refresh",
    REPORT_TO "report-to",
    REPORTING_ENDPOINTS "reporting-endpoints",
    RETRY_AFTER "retry-after",
    SEC_CH_UA "sec-ch-ua",
    SEC_CH_UA_MOBILE "sec-ch-ua-mobile",
    SEC_CH_UA_PLATFORM "sec-ch-ua-platform",
    SEC_FETCH_DEST "sec-fetch-dest",
    SEC_FETCH_MODE "sec-fetch-mode",
    SEC_FETCH_SITE "sec-fetch-site",
    SEC_FETCH_USER "sec-fetch-user",
    SEC_GPC "sec-gpc",
    SEC_WEBSOCKET_ACCEPT "sec-websocket-accept",
    SEC_WEBSOCKET_EXTENSIONS "sec-websocket-extensions",
    SEC_WEBSOCKET_KEY "sec-websocket-key",
    SEC_WEBSOCKET_PROTOCOL "sec-websocket-protocol",
    SEC_WEBSOCKET_VERSION "sec-websocket-version",
    SERVER "server",
    SERVER_TIMING "server-timing",
    SET_COOKIE "set-cookie",
    SOAPACTION "soapaction",
    STRICT_TRANSPORT_SECURITY "strict-transport-security",
    TE "te",
    TIMING_ALLOW_ORIGIN "timing-allow-origin",
    TRACEPARENT "traceparent",
    TRACESTATE "tracestate",
    TRAILER "trailer",
    TRANSFER_ENCODING "transfer-encoding",
    UPGRADE "upgrade",
    UPGRADE_INSECURE_REQUESTS "upgrade-insecure-requests",
    URI "uri",
    USER_AGENT "user-agent",
    VARY "vary",
    VIA "via",
    WARNING "warning",
    WWW_AUTHENTICATE "www-authenticate",
    X_CACHE "x-cache",
    X_CONTENT_TYPE_OPTIONS "x-content-type-options",
    X_CSRF_TOKEN "x-csrf-token",
    X_FORWARDED_FOR "x-forwarded-for",
    X_FORWARDED_HOST "x-forwarded-host",
    X_FORWARDED_PROTO "x-forwarded-proto",
    X_FORWARDED_SERVER "x-forwarded-server",
    X_FRAME_OPTIONS "x-frame-options",
    X_POWERED_BY "x-powered-by",
    X_REAL_IP "x-real-ip",
    X_REMOTE_GROUPS "x-remote-groups",
    X_REMOTE_USER "x-remote-user",
    X_REQUEST_ID "x-request-id",
    X_REQUESTED_WITH "x-requested-with",
    X_ROBOTS_TAG "x-robots-tag",
    X_XSS_PROTECTION "x-xss-protection",
}

impl Name {
    /// A name in any letter case; `None` where it is no token.
    pub fn new(text: &[u8]) -> Option<Self> {
        Some(match place_of(text)? {
            OTHER => Self(Repr::Other(String::from_utf8_lossy(text).to_ascii_lowercase().into())),
            place => Self(Repr::Known(place)),
        })
    }

    /// In lower case.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(place) => text(*place),
            Repr::Other(text) => text,
        }
    }

    /// The place of a well-known name, or [`OTHER`].
    pub(super) fn place(&self) -> u8 {
        match &self.0 {
            Repr::Known(place) => *place,
            Repr::Other(_) => OTHER,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A question about names, answered beforehand for those that are well known.
#[derive(Debug)]
pub struct NameSet {
    /// A bit for each place.
    known: u128,
    picks: fn(&str) -> bool,
}

impl NameSet {
    /// The names that `picks` picks; it is given them in lower case.
    pub fn new(picks: fn(&str) -> bool) -> Self {
        let known = (0..TEXTS.len() as u8).filter(|place| picks(text(*place))).fold(0, |all, place| all | bit(place));
        Self { known, picks }
    }

    /// The bits of the well-known ones.
    pub(super) fn known(&self) -> u128 {
        self.known
    }

    /// Whether a name is one of them: `place` is its own, `text` is asked for where that is [`OTHER`].
    pub(super) fn has<'a>(&self, place: u8, text: impl FnOnce() -> &'a str) -> bool {
        if place == OTHER { (self.picks)(text()) } else { self.known & bit(place) != 0 }
    }

    /// The name of a line of a head, where it is a well-known one of these.
    pub fn well_known(&self, head: &RawHead, line: &RawHeader) -> Option<&'static str> {
        let place = if line.known == UNCHECKED { place_of(head.get(&line.name))? } else { line.known };
        (place != OTHER && self.known & bit(place) != 0).then(|| text(place))
    }
}

/// The bit of a place; none for [`OTHER`].
pub(super) const fn bit(place: u8) -> u128 {
    if place as usize >= TEXTS.len() { 0 } else { 1 << place }
}

const _: () = assert!(TEXTS.len() <= u128::BITS as usize);

/// The text of a well-known name; empty for [`OTHER`].
pub(super) fn text(place: u8) -> &'static str {
    TEXTS.get(usize::from(place)).copied().unwrap_or_default()
}

/// The place of a name in any letter case, or [`OTHER`]; `None` where it is no token.
pub(crate) fn place_of(name: &[u8]) -> Option<u8> {
    (!name.is_empty() && are_tokens(name)).then(|| known(name))
}

/// The bit that tells capital letters from small ones. Digits and the hyphen have it, and the bytes that would get it by force are
/// no token's.
const SMALL: u64 = 0x2020_2020_2020_2020;

const SLOTS: usize = 512;

const fn slot(length: usize, first: u8, middle: u8, last: u8) -> usize {
    let (first, middle, last) = ((first | 0x20) as usize, (middle | 0x20) as usize, (last | 0x20) as usize);
    (first * 5 + middle * 23 + last * 89 + length * 151) % SLOTS
}

const fn table() -> [u8; SLOTS] {
    let mut slots = [OTHER; SLOTS];
    let mut place = 0;
    while place < TEXTS.len() {
        let text = TEXTS[place].as_bytes();
        let mut at = slot(text.len(), text[0], text[text.len() / 2], text[text.len() - 1]);
        while slots[at] != OTHER {
            at = (at + 1) % SLOTS;
        }
        slots[at] = place as u8;
        place += 1;
    }
    slots
}

static TABLE: [u8; SLOTS] = table();

/// The place of a token in any letter case, or [`OTHER`].
pub(crate) fn known(name: &[u8]) -> u8 {
    let (Some(first), Some(middle), Some(last)) = (name.first(), name.get(name.len() / 2), name.last()) else { return OTHER };
    let mut at = slot(name.len(), *first, *middle, *last);
    loop {
        let place = TABLE[at];
        if place == OTHER || same(name, text(place).as_bytes()) {
            return place;
        }
        at = (at + 1) % SLOTS;
    }
}

/// Whether a token is `text`, which is in lower case and has letters, digits and hyphens only.
fn same(name: &[u8], text: &[u8]) -> bool {
    if name.len() != text.len() {
        return false;
    }
    let long = |a: &[u8; 8], b: &[u8; 8]| (u64::from_le_bytes(*a) | SMALL) ^ u64::from_le_bytes(*b);
    let short = |a: &[u8; 4], b: &[u8; 4]| (u32::from_le_bytes(*a) | SMALL as u32) ^ u32::from_le_bytes(*b);
    // The two ends overlap, and cover names of up to sixteen bytes.
    if let (Some(a), Some(b), Some(c), Some(d)) = (name.first_chunk(), text.first_chunk(), name.last_chunk(), text.last_chunk()) {
        if long(a, b) | long(c, d) != 0 {
            return false;
        }
        let ((blocks, _), (others, _)) = (name.as_chunks::<8>(), text.as_chunks::<8>());
        return name.len() <= 16 || blocks.iter().zip(others).all(|(a, b)| long(a, b) == 0);
    }
    if let (Some(a), Some(b), Some(c), Some(d)) = (name.first_chunk(), text.first_chunk(), name.last_chunk(), text.last_chunk()) {
        return short(a, b) | short(c, d) == 0;
    }
    name.iter().zip(text).all(|(a, b)| a | 0x20 == *b)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_known_name_is_found_in_any_letter_case() {
        assert!(TEXTS.len() < usize::from(UNCHECKED));
        for (place, text) in TEXTS.iter().enumerate() {
            assert_eq!(usize::from(known(text.as_bytes())), place, "{text}");
            assert_eq!(usize::from(known(text.to_ascii_uppercase().as_bytes())), place, "{text}");
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{text}");
            assert_eq!(Name::new(text.as_bytes()).unwrap().as_str(), *text);
        }
    }

    #[test]
    fn what_is_no_token_is_no_name() {
        for bad in ["", "a b", "a:", "a\r", "h\u{f6}st", "a\0"] {
            assert!(Name::new(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert_eq!(Name::new(b"X-Own_Name").unwrap().as_str(), "x-own_name");
    }

    #[test]
    fn a_set_answers_for_known_names_and_others_alike() {
        let set = NameSet::new(|name| name.starts_with("x-"));
        for (name, picked) in [("X-Real-IP", true), ("x-own", true), ("Host", false), ("own", false)] {
            let name = Name::new(name.as_bytes()).unwrap();
            assert_eq!(set.has(name.place(), || name.as_str()), picked, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_known_only_by_its_own_text(name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", place in 0..TEXTS.len(), at in any::<prop::sample::Index>(), byte in "[!#$%&'*+.^_`|~0-9A-Za-z-]") {
            let mut near = TEXTS[place].as_bytes().to_vec();
            let at = at.index(near.len());
            near[at] = byte.as_bytes()[0];
            for name in [name.as_bytes(), &near] {
                let found = known(name);
                prop_assert_eq!(found != OTHER, TEXTS.iter().any(|text| text.as_bytes().eq_ignore_ascii_case(name)));
                prop_assert!(found == OTHER || text(found).as_bytes().eq_ignore_ascii_case(name));
            }
        }
    }
}
