//! Addresses: the set behind `@ipMatch` and `@ipMatchFromFile`.

use std::net::IpAddr;

/// Addresses and networks as ranges that are sorted and do not overlap, so that a list of any length is a
/// binary search. IPv4 stands at its mapped place in IPv6, so both spellings of an address are one.
#[derive(Debug, Default)]
pub struct Addresses {
    ranges: Vec<(u128, u128)>,
}

impl Addresses {
    /// Builds the set from `ADDRESS` or `ADDRESS/PREFIX` words.
    pub(super) fn build<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut ranges = words.map(range).collect::<Result<Vec<_>, _>>()?;
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Ok(Self { ranges: merged })
    }

    /// Whether the value is an address in the set. What is no address is in no set.
    pub(super) fn contain(&self, value: &[u8]) -> bool {
        let address = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
        let Some(address) = address.map(number) else { return false };
        let after = self.ranges.partition_point(|range| range.0 <= address);
        after.checked_sub(1).and_then(|index| self.ranges.get(index)).is_some_and(|range| address <= range.1)
    }
}

/// An address at its place among all IPv6 addresses.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first and last address of a word.
fn range(word: &str) -> Result<(u128, u128), String> {
    let (text, prefix) = match word.split_once('/') {
        Some((text, prefix)) => (text, Some(prefix)),
        None => (word, None),
    };
    let address: IpAddr = text.parse().map_err(|_| format!("`{word}` is neither an address nor a network"))?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(prefix) => prefix
            .parse::<u32>()
            .ok()
            .filter(|&bits| bits <= width)
            .ok_or_else(|| format!("`{word}` has a prefix that is not 0 to {width}"))?,
    };
    let hosts = 1_u128.checked_shl(width - prefix).map_or(u128::MAX, |size| size - 1);
    let number = number(address);
    Ok((number & !hosts, number | hosts))
}
