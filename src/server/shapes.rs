//! Header maps by the names in them: clients send the same names in the same order again and again.
//!
//! Making a map means to check, lower and hash every name. A thread keeps a few maps without values; a head whose names are, byte
//! for byte, those of one of them is that map's copy with its own values put in.

use crate::head::RawHead;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::cell::RefCell;

/// Maps kept per thread.
const SHAPES: usize = 32;
/// Names of a head, and their bytes, up to which its map is kept.
const NAMES_MAX: usize = 48;
const NAMES_BYTES_MAX: usize = 1024;
/// Room for the headers that the layers add.
const ADDED: usize = 8;

/// A map without values, and the names it was made of, each with a line end.
#[derive(Default)]
struct Shape {
    names: Vec<u8>,
    map: HeaderMap,
}

#[derive(Default)]
struct Shapes {
    names: Vec<u8>,
    kept: Vec<Shape>,
}

thread_local! {
    static KEPT: RefCell<Shapes> = RefCell::default();
}

/// The headers of a head, and whether all of them are in it: those that these types do not take are left out.
pub(super) fn headers(head: &RawHead) -> (HeaderMap, bool) {
    match KEPT.with_borrow_mut(|shapes| shapes.headers(head)) {
        Some(map) => (map, true),
        None => (usable(head), false),
    }
}

fn usable(head: &RawHead) -> HeaderMap {
    let lines = head.headers.iter().map(|header| {
        let name = HeaderName::from_bytes(head.get(&header.name)).ok()?;
        Some((name, HeaderValue::from_maybe_shared(head.slice(&header.value)).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in lines.flatten() {
        map.append(name, value);
    }
    map
}

impl Shapes {
    fn headers(&mut self, head: &RawHead) -> Option<HeaderMap> {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        for header in &head.headers {
            names.extend_from_slice(head.get(&header.name));
            names.push(b'\n');
        }
        let map = self.of(&names, head);
        self.names = if names.len() > NAMES_BYTES_MAX { Vec::new() } else { names };
        map
    }

    fn of(&mut self, names: &[u8], head: &RawHead) -> Option<HeaderMap> {
        if head.headers.len() > NAMES_MAX || names.len() > NAMES_BYTES_MAX {
            return made(head);
        }
        if self.kept.is_empty() {
            self.kept.resize_with(SHAPES, Shape::default);
        }
        let place = &mut self.kept[slot(names)];
        if place.names == names && !names.is_empty() {
            let mut map = place.map.clone();
            map.reserve(ADDED);
            for (value, header) in map.values_mut().zip(&head.headers) {
                *value = HeaderValue::from_maybe_shared(head.slice(&header.value)).ok()?;
            }
            return Some(map);
        }
        let map = made(head)?;
        // Names that repeat, or stand in another order than they came, have no such short cut.
        let same = |(ours, header): (&HeaderName, _)| ours.as_str().as_bytes().eq_ignore_ascii_case(head.get(header));
        if map.keys_len() == head.headers.len() && map.keys().zip(head.headers.iter().map(|h| &h.name)).all(same) {
            place.names.clear();
            place.names.extend_from_slice(names);
            place.map = map.clone();
            // No value of a client's is kept.
            place.map.values_mut().for_each(|value| *value = HeaderValue::from_static(""));
        }
        Some(map)
    }
}

fn made(head: &RawHead) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(head.headers.len() + ADDED);
    for header in &head.headers {
        let name = HeaderName::from_bytes(head.get(&header.name)).ok()?;
        map.append(name, HeaderValue::from_maybe_shared(head.slice(&header.value)).ok()?);
    }
    Some(map)
}

/// FNV-1a over eight bytes at a time.
fn slot(names: &[u8]) -> usize {
    let hash = names.chunks(8).fold(0xCBF2_9CE4_8422_2325_u64, |hash, part| {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    ((hash ^ (hash >> 29)) as usize) % SHAPES
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(headers: &[(String, String)]) -> RawHead {
        RawHead::from_parts(b"GET", b"/", b"HTTP/1.1", headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
    }

    proptest! {
        #[test]
        fn a_map_of_a_known_shape_is_the_map_made_anew(
            heads in proptest::collection::vec(proptest::collection::vec(("[aA]|[b-d]|[Hh]ost|x-[a-c]", "[a-z]{0,4}"), 0..6), 1..40)
        ) {
            let mut shapes = Shapes::default();
            // Each head twice, with other values: the second time its shape is known.
            for headers in heads.iter().chain(&heads) {
                let head = head(headers);
                let (ours, anew) = (shapes.headers(&head).unwrap(), made(&head).unwrap());
                let lines = |map: &HeaderMap| map.iter().map(|(n, v)| (n.clone(), v.clone())).collect::<Vec<_>>();
                prop_assert_eq!(lines(&ours), lines(&anew));
                prop_assert!(shapes.kept.iter().all(|shape| shape.map.values().all(HeaderValue::is_empty)));
            }
        }
    }

    #[test]
    fn what_these_types_do_not_take_is_refused_also_where_the_shape_is_known() {
        let mut shapes = Shapes::default();
        let with = |value: &str| head(&[("a".into(), value.into())]);
        assert!(shapes.headers(&with("fine")).is_some() && shapes.headers(&with("fine")).is_some());
        assert!(shapes.headers(&with("not\u{1}fine")).is_none());
        let (rest, whole) = headers(&head(&[("accept".into(), "text/html".into()), ("a".into(), "\u{1}".into())]));
        assert!(!whole && rest.len() == 1 && rest.contains_key("accept"));
    }
}
