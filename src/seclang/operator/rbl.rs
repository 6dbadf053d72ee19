//! `@rbl`: the address is listed by a real-time block list.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// Takes the list's zone. The value, usually `REMOTE_ADDR`, is looked up in it by DNS, which this crate does not do:
/// the embedder asks for [`Rbl::query`], resolves, and any address in the answer is a match. With `capture`, `TX:0` says what the
/// address means ([`Rbl::meaning`]).
///
/// `SecRule REMOTE_ADDR "@rbl sbl-xbl.spamhaus.org" "id:1,phase:1,deny"`
///
/// Manual: Operators, rbl.
#[derive(Debug)]
pub struct Rbl {
    zone: String,
}

impl Rbl {
    pub(super) fn compile(argument: &str) -> Result<Self, String> {
        let zone = argument.trim().trim_matches('.');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if zone.is_empty() || !zone.bytes().all(plain) {
            return Err(format!("`{argument}` is not the zone of a block list"));
        }
        Ok(Self { zone: zone.to_owned() })
    }

    /// Whether this is Project Honey Pot's list, `dnsbl.httpbl.org`.
    pub fn is_http_bl(&self) -> bool {
        self.zone.eq_ignore_ascii_case("dnsbl.httpbl.org")
    }

    /// The name to look up: the address backwards (RFC 5782), or a host name as it is, before the zone. None where
    /// the value is neither.
    ///
    /// Project Honey Pot's list wants a key in front, and knows IPv4 addresses only; without a key nothing is asked.
    pub fn query(&self, value: &[u8], http_bl_key: Option<&str>) -> Option<String> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let mut name = String::new();
        if self.is_http_bl() {
            text.parse::<IpAddr>().ok().filter(|address| address.to_canonical().is_ipv4())?;
            let _ = write!(name, "{}.", http_bl_key?);
        }
        match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                let _ = write!(name, "{d}.{c}.{b}.{a}.");
            }
            Ok(IpAddr::V6(address)) => {
                for byte in address.octets().iter().rev() {
                    let _ = write!(name, "{:x}.{:x}.", byte & 0x0F, byte >> 4);
                }
            }
            Err(_) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
                if text.is_empty() || text.len() > 190 || !text.bytes().all(plain) {
                    return None;
                }
                let _ = write!(name, "{}.", text.trim_matches('.'));
            }
        }
        name.push_str(&self.zone);
        Some(name)
    }

    /// What an answer for a value of this variable says, in ModSecurity's words, which rules match on: the kinds of `uribl.com` and
    /// `spamhaus.org`, and for Project Honey Pot's list kind, age and threat from `127.days.threat.kind`. The list's key is not shown.
    pub fn meaning(&self, value: &[u8], variable: &str, answer: IpAddr) -> String {
        let mut name = self.query(value, Some("")).unwrap_or_default();
        if self.is_http_bl() {
            name.remove(0);
        }
        let [first, days, threat, last] = match answer.to_canonical() {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED.octets(),
        };
        let zone = self.zone.to_ascii_lowercase();
        let said = if zone.contains("httpbl.org") {
            if first != 127 {
                return format!("RBL lookup of {name} failed: bad response");
            }
            format!(" {}: {days} days since last activity, threat score {threat}", visitor(last))
        } else if zone.contains("uribl.com") {
            format!(" ({}).", uribl(last))
        } else if zone.contains("spamhaus.org") {
            spamhaus(last).map(|kind| format!(" ({kind}).")).unwrap_or_default()
        } else {
            String::new()
        };
        match said.as_str() {
            "" => format!("RBL lookup of {name} succeeded at {variable}."),
            said if said.starts_with(" (") => format!("RBL lookup of {name} succeeded at {variable}{said}"),
            said => format!("RBL lookup of {name} succeeded at {variable}.{said}"),
        }
    }
}

/// The visitor that Project Honey Pot saw (its API's fourth octet, bits for suspicious, harvester and comment spammer).
fn visitor(kind: u8) -> &'static str {
    match kind {
        0 => "Search Engine",
        1 => "Suspicious IP",
        2 => "Harvester IP",
        3 => "Suspicious harvester IP",
        4 => "Comment spammer IP",
        5 => "Suspicious comment spammer IP",
        6 => "Harvester and comment spammer IP",
        7 => "Suspicious harvester comment spammer IP",
        _ => " ",
    }
}

fn uribl(kind: u8) -> &'static str {
    match kind {
        2 => "BLACK",
        4 => "GREY",
        8 => "RED",
        14 => "BLACK,GREY,RED",
        255 => "DNS IS BLOCKED",
        _ => "WHITE",
    }
}

fn spamhaus(kind: u8) -> Option<&'static str> {
    match kind {
        2 | 3 => Some("Static UBE sources"),
        4..=7 => Some("Illegal 3rd party exploits"),
        10 | 11 => Some("Delivering unauthenticated SMTP email"),
        _ => None,
    }
}
