//! A request head as it arrived: the raw request line and the headers in their order, in one buffer.

use super::class::are_values;
use super::names;
use bytes::Bytes;
use std::ops::Range;

/// One header line of a [`RawHead`], as ranges into its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// The name as sent, its letter case kept.
    pub name: Range<u32>,
    /// The value without the white space around it.
    pub value: Range<u32>,
    /// The name's place among the well-known ones, where name and value have been found to be such.
    pub(crate) known: u8,
}

/// The head of a request as sent: what inspection sees. Ranges point into `bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawHead {
    /// Request line and header lines, as they came.
    pub bytes: Bytes,
    /// The request line without its line end.
    pub line: Range<u32>,
    /// Method, target and version within the request line; empty ranges where the line did not split.
    pub method: Range<u32>,
    /// The request target, unaltered.
    pub target: Range<u32>,
    /// `HTTP/1.1` and the like.
    pub version: Range<u32>,
    /// The header lines in their order.
    pub headers: Vec<RawHeader>,
}

fn index(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

impl RawHead {
    /// The bytes of a range; empty when the range does not fit.
    pub fn get(&self, range: &Range<u32>) -> &[u8] {
        self.bytes.get(index(range)).unwrap_or_default()
    }

    /// The bytes of a range, sharing the buffer.
    pub fn slice(&self, range: &Range<u32>) -> Bytes {
        let range = index(range);
        if range.start <= range.end && range.end <= self.bytes.len() { self.bytes.slice(range) } else { Bytes::new() }
    }

    /// The request line.
    pub fn line(&self) -> &[u8] {
        self.get(&self.line)
    }

    /// The method as sent.
    pub fn method(&self) -> &[u8] {
        self.get(&self.method)
    }

    /// The request target as sent.
    pub fn target(&self) -> &[u8] {
        self.get(&self.target)
    }

    /// The version as sent.
    pub fn version(&self) -> &[u8] {
        self.get(&self.version)
    }

    /// Names and values in the order sent.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|h| (self.get(&h.name), self.get(&h.value)))
    }

    /// A head put together from parts, for HTTP/2 and for tests: written out as HTTP/1 would have sent it.
    pub fn from_parts<'a>(method: &[u8], target: &[u8], version: &[u8], headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut out = Vec::with_capacity(512);
        let put = |out: &mut Vec<u8>, part: &[u8]| {
            let start = out.len() as u32;
            out.extend_from_slice(part);
            start..out.len() as u32
        };
        let method = put(&mut out, method);
        out.push(b' ');
        let target = put(&mut out, target);
        out.push(b' ');
        let version = put(&mut out, version);
        let line = 0..out.len() as u32;
        out.extend_from_slice(b"\r\n");
        let mut list = Vec::with_capacity(16);
        for (name, value) in headers {
            let name = put(&mut out, name);
            out.extend_from_slice(b": ");
            let value = put(&mut out, value);
            out.extend_from_slice(b"\r\n");
            let place = names::place_of(out.get(index(&name)).unwrap_or_default());
            let known = place.filter(|_| are_values(out.get(index(&value)).unwrap_or_default())).unwrap_or(names::UNCHECKED);
            list.push(RawHeader { name, value, known });
        }
        Self { bytes: out.into(), line, method, target, version, headers: list }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_made_of_parts_gives_the_parts_back_in_order() {
        let headers = [(&b"host"[..], &b"a"[..]), (b"x-b", b"2"), (b"x-a", b"1")];
        let head = RawHead::from_parts(b"GET", b"/x?y", b"HTTP/2.0", headers.into_iter());
        assert_eq!(head.line(), b"GET /x?y HTTP/2.0");
        assert_eq!((head.method(), head.target(), head.version()), (&b"GET"[..], &b"/x?y"[..], &b"HTTP/2.0"[..]));
        assert_eq!(head.headers().collect::<Vec<_>>(), headers);
    }
}
