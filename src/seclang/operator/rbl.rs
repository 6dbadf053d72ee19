//! `@rbl`: the address is listed by a real-time block list.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Takes the list's zone. The value, usually `REMOTE_ADDR`, is looked up in it by DNS, which this crate does not do:
/// the embedder asks for [`Rbl::query`], resolves, and treats any address in the answer as a match.
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
}
