//! The grammar of `host:port`, in the narrow form a gateway can route (RFC 9112 section 3.2, RFC 3986 section 3.2.2).

use std::net::Ipv6Addr;

/// DNS names end at 253 bytes; a little more is left for the port and a final dot.
const HOST_BYTES_MAX: usize = 262;

/// Whether `value` is a host with an optional port of 1-5 digits up to 65535. Names are letters, digits, `-`, `.`, `_` and `~`:
/// the sub-delims that RFC 3986 adds occur in no name, and percent-encoding and user information exist to deceive.
pub(super) fn is_host(value: &[u8]) -> bool {
    split(value).is_some()
}

/// The same with the port required: the authority form of CONNECT (RFC 9112 section 3.2.3).
pub(super) fn is_host_with_port(value: &[u8]) -> bool {
    split(value) == Some(true)
}

/// `None` when the value is no host, else whether a port follows it.
fn split(value: &[u8]) -> Option<bool> {
    if value.len() > HOST_BYTES_MAX {
        return None;
    }
    let rest = if let [b'[', inner @ ..] = value {
        let end = inner.iter().position(|b| *b == b']')?;
        std::str::from_utf8(inner.get(..end)?).ok()?.parse::<Ipv6Addr>().ok()?;
        inner.get(end + 1..)?
    } else {
        let end = value.iter().position(|b| *b == b':').unwrap_or(value.len());
        let name = value.get(..end)?;
        if name.is_empty() || !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
            return None;
        }
        value.get(end..)?
    };
    match rest {
        [] => Some(false),
        [b':', port @ ..] => is_port(port).then_some(true),
        _ => None,
    }
}

fn is_port(port: &[u8]) -> bool {
    if port.is_empty() || port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
        return false;
    }
    port.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_with_or_without_a_port() {
        for good in ["a", "a.example.", "10.0.0.1:80", "[::1]", "[2001:db8::1]:65535", "a_b:0", "xn--bcher-kva.example:00443"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:65536",
            "a:123456",
            "a:8 0",
            "a:+1",
            "u@a",
            "a%41",
            "a,b",
            "a/b",
            "a b",
            "a\t",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "::1",
            "a#b",
            "a?b",
            "a\\b",
            "a:80:80",
            "\u{fc}.example",
            "a\0",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_host(&[b'a'; 300]));
        assert!(is_host_with_port(b"a:443") && !is_host_with_port(b"a"));
    }
}
