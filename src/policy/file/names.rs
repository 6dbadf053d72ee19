//! Host names, addresses, networks, origins in one canonical spelling.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with a text, and what would be right (an empty string where nobody can know).
pub(super) type Wrong = (String, String);

/// A host in its canonical form: lower case, IDNA, no trailing dot; IPv6 addresses in brackets.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return inner
            .parse::<Ipv6Addr>()
            .map(|a| format!("[{a}]"))
            .map_err(|_| (format!("\"{text}\" is not an IPv6 address"), String::new()));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Err((format!("an IPv6 address as a host stands in brackets: \"{text}\""), format!("[{address}]")));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let name = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return Err((format!("a host name has no scheme: \"{text}\""), name.to_owned()));
    }
    if let Some((name, _)) = text.split_once('/') {
        return Err((format!("a host name has no path: \"{text}\""), name.to_owned()));
    }
    if let Some((name, port)) = text.rsplit_once(':') {
        let right = if port.bytes().all(|b| b.is_ascii_digit()) { name.to_owned() } else { String::new() };
        return Err((format!("a host name has no port: \"{text}\""), right));
    }
    if text.contains('*') {
        return Err((format!("\"{text}\" is a pattern, not a host name"), String::new()));
    }
    let not = |why: &str| (format!("\"{text}\" is not a host name: {why}"), String::new());
    let ascii = idna::domain_to_ascii(text).map_err(|_| not("it cannot be written in IDNA"))?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.is_empty() {
        return Err(not("it is empty"));
    }
    if name.len() > 253 {
        return Err(not("it is longer than 253 characters"));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(not("two dots follow each other"));
        }
        if label.len() > 63 {
            return Err(not("a part between two dots is longer than 63 characters"));
        }
        if let Some(c) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
            return Err(not(&format!("it contains {c:?}")));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(not("a part begins or ends with a hyphen"));
        }
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(not("it ends in a number, yet is no IPv4 address"));
    }
    Ok(name.to_owned())
}

/// The address that a canonical host is, if it is one.
pub(super) fn host_address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A network: `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    if let Ok(net) = text.parse::<IpNet>() {
        let trunc = net.trunc();
        if trunc != net {
            return Err((format!("{text} has bits set after its prefix"), trunc.to_string()));
        }
        if net.prefix_len() == 0 {
            return Err((format!("{text} is every address there is"), String::new()));
        }
        return Ok(net);
    }
    let not = format!("\"{text}\" is not a network");
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(address), Ok(mask)) = (address.parse::<IpAddr>(), mask.parse::<IpAddr>())
        && let Ok(net) = IpNet::with_netmask(address, mask)
    {
        return Err((not, net.trunc().to_string()));
    }
    // Apache's short form: `10.1` is 10.1.0.0/16.
    let parts: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    if parts.len() < 4 && parts.iter().all(|p| p.parse::<u8>().is_ok()) {
        let mut full = parts.clone();
        full.resize(4, "0");
        return Err((not, format!("{}/{}", full.join("."), parts.len() * 8)));
    }
    Err((not, String::new()))
}

/// An origin as browsers send it: scheme, host and a port that is not the scheme's own.
pub(super) fn origin(text: &str) -> Result<String, Wrong> {
    if matches!(text, "*" | "null") {
        return Err((format!("{text:?} would let every site in"), String::new()));
    }
    let wrong = |right: String| (format!("\"{text}\" is not an origin: scheme and host, nothing after it"), right);
    let Some((scheme, rest)) = text.split_once("://").filter(|(s, _)| matches!(*s, "https" | "http")) else {
        let name = host(text).map(|h| format!("https://{h}")).unwrap_or_default();
        return Err(wrong(name));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let own = if scheme == "https" { 443 } else { 80 };
    let (name, port) = host_and_port(authority, own)?;
    let origin = if port == own { format!("{scheme}://{name}") } else { format!("{scheme}://{name}:{port}") };
    if authority.len() == rest.len() { Ok(origin) } else { Err(wrong(origin)) }
}

/// `host` or `host:port`.
pub(super) fn host_and_port(text: &str, default: u16) -> Result<(String, u16), Wrong> {
    let after = text.rfind(']').map_or(0, |i| i + 1);
    let (name, port) = match text.get(after..).and_then(|t| t.rfind(':')) {
        Some(i) if after > 0 || text.matches(':').count() == 1 => text.split_at(after + i),
        _ => (text, ""),
    };
    let port = match port.strip_prefix(':') {
        None => default,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
            _ => return Err((format!("\"{}\" is not a port from 1 to 65535", digits), String::new())),
        },
    };
    Ok((host(name)?, port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_spelling() {
        assert_eq!(host("Mail.Example.COM.").unwrap(), "mail.example.com");
        assert_eq!(host("bücher.example").unwrap(), "xn--bcher-kva.example");
        assert_eq!(host("[2001:DB8:0::1]").unwrap(), "[2001:db8::1]");
        assert_eq!(host("10.0.0.1").unwrap(), "10.0.0.1");
        for bad in ["", ".", "a..b", "a:80", "http://a", "a/b", "-a", "a b", "*.a", "127.1", "0x7f.0x1", "::1", "a\0b", "a@b", "%61"] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_network_that_is_nearly_right_is_corrected() {
        assert_eq!(network("10.0.0.1/8").unwrap_err().1, "10.0.0.0/8");
        assert_eq!(network("10.0.0.0/255.0.0.0").unwrap_err().1, "10.0.0.0/8");
        assert_eq!(network("10.1").unwrap_err().1, "10.1.0.0/16");
        assert_eq!(network("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
        assert!(network("0.0.0.0/0").is_err() && network("::/0").is_err() && network("x").is_err());
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        assert_eq!(origin("https://A.example:443").unwrap(), "https://a.example");
        assert_eq!(origin("https://a.example:8443").unwrap(), "https://a.example:8443");
        assert_eq!(origin("a.example").unwrap_err().1, "https://a.example");
        assert_eq!(origin("https://a.example/").unwrap_err().1, "https://a.example");
        assert_eq!(host_and_port("[::1]:8080", 80).unwrap(), ("[::1]".into(), 8080));
        assert!(host_and_port("a:0", 80).is_err() && host_and_port("a:+8", 80).is_err() && host_and_port("::1", 80).is_err());
    }
}
