//! The PROXY protocol, versions 1 and 2: a load balancer in front says whose connection it hands on.
//!
//! Read before anything else of a connection, byte-exact: what follows the header is untouched. Strict, since whoever could bend it
//! would choose the address that is logged, limited and let in.

use crate::limits::{PROXY_LINE_BYTES_MAX, PROXY_VALUES_BYTES_MAX};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How a version 2 header begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Why there is no header.
#[derive(Debug)]
pub(super) enum Failure {
    /// What came is not a header of either version.
    Malformed,
    /// The connection ended or broke first.
    Broken,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Reads the header; the client's address, or `None` where the connection is the balancer's own (`LOCAL`, `UNKNOWN`).
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Failure> {
    // Both versions have at least so many bytes.
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await?;
    if begin == SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        let [command, family, high, low] = rest;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > PROXY_VALUES_BYTES_MAX {
            return Err(Failure::Malformed);
        }
        let mut values = vec![0; length];
        stream.read_exact(&mut values).await?;
        return second(command, family, &values).ok_or(Failure::Malformed);
    }
    if !begin.starts_with(b"PROXY ") {
        return Err(Failure::Malformed);
    }
    let mut line = begin.to_vec();
    // Byte by byte, so that nothing behind the line is taken: once per connection.
    while !line.ends_with(b"\n") {
        if line.len() >= PROXY_LINE_BYTES_MAX {
            return Err(Failure::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    first(&line).ok_or(Failure::Malformed)
}

/// Version 1: `PROXY TCP4 source destination port port`, one space each, CRLF.
fn first(line: &[u8]) -> Option<Option<SocketAddr>> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    if text.bytes().any(|b| !(b.is_ascii_graphic() || b == b' ')) {
        return None;
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, source, destination, source_port, destination_port] => {
            let address = |text: &str| match family {
                "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
                "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                _ => None,
            };
            address(destination)?;
            port(destination_port)?;
            Some(Some(SocketAddr::new(address(source)?, port(source_port)?)))
        }
        _ => None,
    }
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Version 2: addresses in binary, then values (type, length, bytes) of which only the lengths matter here.
fn second(command: u8, family: u8, values: &[u8]) -> Option<Option<SocketAddr>> {
    let (address, more) = match (command, family) {
        // Whatever a LOCAL header carries is to be ignored.
        (0x20, _) => return Some(None),
        (0x21, 0x00) => return Some(None),
        (0x21, 0x11) => {
            let (addresses, more) = values.split_first_chunk::<12>()?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            (SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])), more)
        }
        (0x21, 0x21) => {
            let (addresses, more) = values.split_first_chunk::<36>()?;
            let (source, rest) = addresses.split_first_chunk::<16>()?;
            let port = u16::from_be_bytes([*rest.get(16)?, *rest.get(17)?]);
            (SocketAddr::new(Ipv6Addr::from(*source).into(), port), more)
        }
        _ => return None,
    };
    let mut rest = more;
    while !rest.is_empty() {
        let ([_, high, low], after) = rest.split_first_chunk::<3>()?;
        rest = after.get(usize::from(u16::from_be_bytes([*high, *low]))..)?;
    }
    Some(Some(address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is read, and what is left for the next reader.
    fn read_from(bytes: &[u8]) -> (Result<Option<SocketAddr>, Failure>, usize) {
        let mut rest = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(read(&mut rest));
        (outcome, rest.len())
    }

    fn v2(command: u8, family: u8, values: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(values.len() as u16).to_be_bytes(), values].concat()
    }

    #[test]
    fn both_versions_name_the_client_and_leave_what_follows() {
        let four = [&[203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 0, 80][..], &[4, 0, 2, 7, 7]].concat();
        let six = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 16], &[1, 2, 3, 4]].concat();
        let cases: [(Vec<u8>, Option<&str>); 8] = [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 80\r\n".to_vec(), Some("203.0.113.9:8080")),
            (b"PROXY TCP6 2001:db8::1 ::1 65535 443\r\n".to_vec(), Some("[2001:db8::1]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ff::1 ff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &four), Some("203.0.113.9:8080")),
            (v2(0x21, 0x21, &six), Some("[::1]:258")),
            (v2(0x20, 0x00, b""), None),
            (v2(0x20, 0x11, b"whatever"), None),
        ];
        for (header, expected) in cases {
            let (outcome, left) = read_from(&[header.clone(), b"GET / HTTP/1.1\r\n".to_vec()].concat());
            assert_eq!(outcome.unwrap(), expected.map(|text| text.parse().unwrap()), "{}", String::from_utf8_lossy(&header));
            assert_eq!(left, 16);
        }
    }

    #[test]
    fn whatever_is_bent_is_malformed() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        for bad in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 80\n",
            b"PROXY TCP4 203.0.113.9  10.0.0.1 8080 80\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 80 \r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 08080 80\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 70000 80\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 +80 80\r\n",
            b"PROXY TCP4 ::1 10.0.0.1 80 80\r\n",
            b"PROXY TCP4 203.0.113.009 10.0.0.1 80 80\r\n",
            b"PROXY TCP6 203.0.113.9 ::1 80 80\r\n",
            b"PROXY UDP4 203.0.113.9 10.0.0.1 80 80\r\n",
            b"PROXY TCP4 203.0.113.9\t10.0.0.1 80 80\r\n",
            b"proxy TCP4 203.0.113.9 10.0.0.1 80 80\r\n",
            &long,
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x12, &[0; 12]),
            &v2(0x21, 0x31, &[0; 216]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x11, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]),
            &v2(0x21, 0x11, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 9, 1]),
            &v2(0x21, 0x11, &[0; 5000]),
        ] {
            assert!(matches!(read_from(bad).0, Err(Failure::Malformed)), "{}", String::from_utf8_lossy(bad));
        }
        assert!(matches!(read_from(b"PROXY TCP4 203").0, Err(Failure::Broken)));
        assert!(matches!(read_from(&SIGNATURE).0, Err(Failure::Broken)));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), second in any::<bool>()) {
            let bytes = if second { [&SIGNATURE[..], &bytes].concat() } else { [b"PROXY TCP4 ".to_vec(), bytes].concat() };
            let _ = read_from(&bytes);
        }
    }
}
