//! The header fields of a message: lines of the head that arrived, and those that we add.
//!
//! A line that came is kept as places in the bytes that came, so that reading a head copies nothing, and lines that go on unchanged go
//! on as they were spelled. Names are compared in lower case.

use super::class::are_values;
use super::names::{self, Name, NameSet, OTHER};
use super::raw::{RawHead, RawHeader};
use super::value::Value;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// Where the parts of a line stand.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// A well-known name's place, or [`OTHER`].
    known: u8,
    /// The bytes are among our own, not among those that came.
    own_name: bool,
    own_value: bool,
    /// Where the whole line begins in what came; [`ADDED`] where it did not.
    line: u32,
    name: u32,
    name_bytes: u32,
    value: u32,
    value_bytes: u32,
}

const ADDED: u32 = u32::MAX;
/// Lines for which there is room beyond those that came.
const ROOM: usize = 8;
/// Bytes of them.
const OWN_BYTES: usize = 256;

/// Header fields in their order; a name may occur more than once.
#[derive(Clone, Default)]
pub struct Headers {
    came: Bytes,
    own: Vec<u8>,
    lines: Vec<Line>,
    /// The well-known names that are there, a bit for each, so that nobody looks for one that is not.
    known: u128,
    /// Lines of other names.
    others: usize,
}

impl Headers {
    /// None yet.
    pub const fn new() -> Self {
        Self { came: Bytes::new(), own: Vec::new(), lines: Vec::new(), known: 0, others: 0 }
    }

    /// None yet, of a head of so many lines.
    pub fn of_bytes(came: Bytes, lines: usize) -> Self {
        Self { came, own: Vec::new(), lines: Vec::with_capacity(lines + ROOM), known: 0, others: 0 }
    }

    /// The fields of a head, and whether all of them are in it: what is no field is left out.
    pub fn of_head(head: &RawHead) -> (Self, bool) {
        let mut headers = Self::of_bytes(head.bytes.clone(), head.headers.len());
        // Room for what the layers add.
        headers.own.reserve(OWN_BYTES);
        let mut whole = true;
        for line in &head.headers {
            whole &= match line.known {
                names::UNCHECKED => headers.came(&line.name, &line.value),
                _ => {
                    headers.checked(line, head.get(&line.name));
                    true
                }
            };
        }
        (headers, whole)
    }

    /// Adds a plain line, with its name as it came; the bytes follow with [`Headers::with_bytes`].
    #[inline]
    pub(crate) fn plain(&mut self, line: &RawHeader, name: &[u8]) {
        self.checked(line, name);
    }

    /// The same with the bytes in which the lines stand.
    pub(crate) fn with_bytes(mut self, came: Bytes) -> Self {
        self.came = came;
        self
    }

    /// Adds a line that stands in the bytes that came; false where it is no field.
    pub fn came(&mut self, name: &Range<u32>, value: &Range<u32>) -> bool {
        let places = |range: &Range<u32>| range.start as usize..range.end as usize;
        let (Some(text), Some(bytes)) = (self.came.get(places(name)), self.came.get(places(value))) else { return false };
        if !are_values(bytes) {
            return false;
        }
        let Some(known) = names::place_of(text) else { return false };
        let text = self.came.slice(places(name));
        self.checked(&RawHeader { name: name.clone(), value: value.clone(), known }, &text);
        true
    }

    #[inline]
    fn checked(&mut self, line: &RawHeader, text: &[u8]) {
        let RawHeader { name, value, known } = line;
        let (mut at, mut own_name) = (name.start, false);
        if *known == OTHER && text.iter().any(u8::is_ascii_uppercase) {
            (at, own_name) = (self.own.len() as u32, true);
            self.own.extend(text.iter().map(u8::to_ascii_lowercase));
        }
        self.push(Line {
            known: *known,
            own_name,
            own_value: false,
            line: name.start,
            name: at,
            name_bytes: name.end - name.start,
            value: value.start,
            value_bytes: value.end - value.start,
        });
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn bytes(&self, own: bool, at: u32, bytes: u32) -> &[u8] {
        let all: &[u8] = if own { &self.own } else { &self.came };
        all.get(at as usize..(at + bytes) as usize).unwrap_or_default()
    }

    fn name_of(&self, line: &Line) -> &str {
        if line.known != OTHER {
            return names::text(line.known);
        }
        // A token is ASCII.
        std::str::from_utf8(self.bytes(line.own_name, line.name, line.name_bytes)).unwrap_or_default()
    }

    fn value_of(&self, line: &Line) -> Value<'_> {
        Value(self.bytes(line.own_value, line.value, line.value_bytes))
    }

    #[inline]
    fn is(&self, line: &Line, name: &Name) -> bool {
        let place = name.place();
        line.known == place && (place != OTHER || self.name_of(line) == name.as_str())
    }

    /// Whether lines of this name may be there; surely not where this says no.
    #[inline]
    fn may_have(&self, name: &Name) -> bool {
        match name.place() {
            OTHER => self.others > 0,
            place => self.known & names::bit(place) != 0,
        }
    }

    fn find(&self, name: &Name) -> Option<&Line> {
        if self.may_have(name) { self.lines.iter().find(|line| self.is(line, name)) } else { None }
    }

    /// The first value of a name.
    pub fn get(&self, name: &Name) -> Option<Value<'_>> {
        self.find(name).map(|line| self.value_of(line))
    }

    /// All values of a name, in order.
    pub fn get_all(&self, name: &Name) -> impl Iterator<Item = Value<'_>> {
        let lines: &[Line] = if self.may_have(name) { &self.lines } else { &[] };
        lines.iter().filter(move |line| self.is(line, name)).map(|line| self.value_of(line))
    }

    /// Whether a name is there.
    pub fn contains(&self, name: &Name) -> bool {
        self.find(name).is_some()
    }

    /// Whether one of the names is.
    pub fn contains_any(&self, names: &NameSet) -> bool {
        self.known & names.known() != 0
            || (self.others > 0 && self.lines.iter().any(|line| line.known == OTHER && names.has(OTHER, || self.name_of(line))))
    }

    /// Names in lower case and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.lines.iter().map(|line| (self.name_of(line), self.value_of(line)))
    }

    #[inline]
    fn push(&mut self, line: Line) {
        self.known |= names::bit(line.known);
        self.others += usize::from(line.known == OTHER);
        self.lines.push(line);
    }

    /// Adds a line behind the others.
    pub fn append(&mut self, name: &Name, value: Value<'_>) {
        self.append_parts(name, [value]);
    }

    /// The same with a value in parts.
    pub fn append_parts<'v>(&mut self, name: &Name, parts: impl IntoIterator<Item = Value<'v>>) {
        let line = self.added(name, parts);
        self.push(line);
    }

    fn added<'v>(&mut self, name: &Name, parts: impl IntoIterator<Item = Value<'v>>) -> Line {
        let at = self.own.len();
        if name.place() == OTHER {
            self.own.extend_from_slice(name.as_str().as_bytes());
        }
        let value = self.own.len();
        for part in parts {
            self.own.extend_from_slice(part.0);
        }
        Line {
            known: name.place(),
            own_name: true,
            own_value: true,
            line: ADDED,
            name: at as u32,
            name_bytes: (value - at) as u32,
            value: value as u32,
            value_bytes: (self.own.len() - value) as u32,
        }
    }

    /// Puts a line in the place of all others of its name.
    pub fn insert(&mut self, name: &Name, value: Value<'_>) {
        self.insert_parts(name, [value]);
    }

    /// The same with a value in parts.
    pub fn insert_parts<'v>(&mut self, name: &Name, parts: impl IntoIterator<Item = Value<'v>>) {
        let line = self.added(name, parts);
        let place = if self.may_have(name) { self.lines.iter().position(|line| self.is(line, name)) } else { None };
        match place {
            None => self.push(line),
            Some(place) => {
                self.lines[place] = line;
                let mut at = 0;
                self.keep(|headers, line| {
                    at += 1;
                    at - 1 <= place || !headers.is(line, name)
                });
            }
        }
    }

    /// Adds a line with the first value of another name, if that is there.
    pub fn repeat(&mut self, of: &Name, name: &Name) {
        let Some(line) = self.find(of).copied() else { return };
        let fresh = self.added(name, []);
        let Line { own_value, value, value_bytes, .. } = line;
        self.push(Line { own_value, value, value_bytes, ..fresh });
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &Name) {
        if self.contains(name) {
            self.keep(|headers, line| !headers.is(line, name));
        }
    }

    /// Removes all of the names.
    pub fn remove_any(&mut self, names: &NameSet) {
        if self.contains_any(names) {
            self.keep(|headers, line| !names.has(line.known, || headers.name_of(line)));
        }
    }

    fn keep(&mut self, mut keeps: impl FnMut(&Self, &Line) -> bool) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.retain(|line| keeps(self, line));
        (self.known, self.others) = (0, 0);
        for line in &lines {
            self.known |= names::bit(line.known);
            self.others += usize::from(line.known == OTHER);
        }
        self.lines = lines;
    }

    /// Appends the lines as they stand in a head. Neighbours that came as they go out are copied together.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut run = 0..0;
        for line in &self.lines {
            if let Some(range) = self.untouched(line) {
                if range.start == run.end {
                    run.end = range.end;
                } else {
                    out.extend_from_slice(self.came.get(run).unwrap_or_default());
                    run = range;
                }
                continue;
            }
            out.extend_from_slice(self.came.get(std::mem::take(&mut run)).unwrap_or_default());
            out.extend_from_slice(self.name_of(line).as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.value_of(line).0);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.came.get(run).unwrap_or_default());
    }

    /// A line with its end in the bytes that came, where it stands there as we would write it, but for the letter case of its name.
    fn untouched(&self, line: &Line) -> Option<Range<usize>> {
        let (start, value) = (line.line as usize, line.value as usize);
        let end = value + line.value_bytes as usize + 2;
        let plain = line.line != ADDED
            && !line.own_value
            && value == start + line.name_bytes as usize + 2
            && self.came.get(value - 2..value) == Some(b": ")
            && self.came.get(end - 2..end) == Some(b"\r\n");
        plain.then_some(start..end)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'v> FromIterator<(Name, Value<'v>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (Name, Value<'v>)>>(lines: I) -> Self {
        let mut headers = Self::new();
        lines.into_iter().for_each(|(name, value)| headers.append(&name, value));
        headers
    }
}
