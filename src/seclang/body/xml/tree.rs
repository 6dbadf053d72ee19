//! The tree of a document, flat and in document order, and following paths through it: one look at each node.

use std::collections::HashMap;
use std::ops::Range;

use super::path::{End, Name, Path, Predicate};
use crate::body::Argument;

/// A document: its elements and pieces of text, each with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    /// Names and namespaces by number; number 0 is the empty one.
    names: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    /// The element it stands in, by number; None for the root element.
    parent: Option<u32>,
    /// None for text.
    element: Option<Element>,
    /// Where its text stands in the text of the document.
    text: Range<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    namespace: u32,
    name: u32,
    /// Its place among the elements beside it, and among those of its name, from one.
    position: u32,
    position_of_name: u32,
    /// Its attributes.
    attributes_start: u32,
    attributes_end: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    namespace: u32,
    name: u32,
    /// Its number among the attributes of the document.
    index: u32,
}

/// A value that a path selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// A range of the document's text.
    Text(Range<usize>),
    /// The number of an attribute.
    Attribute(usize),
}

/// Builds a document while it is parsed.
#[derive(Debug, Default)]
pub(super) struct Builder {
    document: Document,
    numbers: HashMap<Vec<u8>, u32>,
    open: Vec<Open>,
    /// What each prefix stands for, the innermost last.
    scopes: HashMap<Vec<u8>, Vec<u32>>,
    nodes_max: usize,
}

/// An element that has not ended.
#[derive(Debug)]
struct Open {
    node: u32,
    /// Elements in it so far, and by name.
    elements: u32,
    of_name: HashMap<(u32, u32), u32>,
    /// The prefixes it declares.
    prefixes: Vec<Vec<u8>>,
}

impl Builder {
    /// Keeps at most so many nodes; none at all for zero.
    pub(super) fn new(nodes_max: usize) -> Self {
        let mut builder = Builder { nodes_max, ..Builder::default() };
        builder.number(b"");
        builder
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.nodes_max > 0
    }

    /// The document; elements that did not end hold all text up to its end.
    pub(super) fn finish(mut self, text_bytes: usize) -> Document {
        while !self.open.is_empty() {
            self.close(text_bytes);
        }
        self.document
    }

    fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.document.names.len() as u32;
        self.document.names.push(name.to_vec());
        self.numbers.insert(name.to_vec(), number);
        number
    }

    fn resolve(&mut self, name: &[u8], defaulted: bool) -> (u32, u32) {
        let (prefix, local) = match memchr::memchr(b':', name) {
            Some(colon) => (name.get(..colon).unwrap_or_default(), name.get(colon + 1..).unwrap_or_default()),
            None => (&b""[..], name),
        };
        if prefix.is_empty() && !defaulted {
            return (0, self.number(local));
        }
        match self.scopes.get(prefix).and_then(|declared| declared.last().copied()) {
            Some(namespace) => (namespace, self.number(local)),
            // A prefix that nobody declared is part of the name.
            None => (0, self.number(name)),
        }
    }

    /// An element begins, with the namespaces it declares and its other attributes, the first of which has the number `first`. False at
    /// the limit.
    pub(super) fn open(&mut self, name: &[u8], declared: &[(&[u8], Vec<u8>)], attributes: &[Argument], first: usize, at: usize) -> bool {
        if !self.is_wanted() {
            return true;
        }
        for (prefix, name) in declared {
            let number = self.number(name);
            self.scopes.entry(prefix.to_vec()).or_default().push(number);
        }
        let prefixes = declared.iter().map(|(prefix, _)| prefix.to_vec()).collect();
        let (namespace, name) = self.resolve(name, true);
        let attributes_start = self.document.attributes.len() as u32;
        for (index, attribute) in attributes.iter().enumerate() {
            let (namespace, name) = self.resolve(&attribute.name, false);
            self.document.attributes.push(Attribute { namespace, name, index: (first + index) as u32 });
        }
        let (mut position, mut position_of_name) = (1, 1);
        if let Some(parent) = self.open.last_mut() {
            parent.elements += 1;
            position = parent.elements;
            let of_name = parent.of_name.entry((namespace, name)).or_insert(0);
            *of_name += 1;
            position_of_name = *of_name;
        }
        let attributes_end = self.document.attributes.len() as u32;
        let element = Element { namespace, name, position, position_of_name, attributes_start, attributes_end };
        let node = self.push(Some(element), at..at);
        self.open.push(Open { node, elements: 0, of_name: HashMap::new(), prefixes });
        self.document.nodes.len() <= self.nodes_max
    }

    pub(super) fn close(&mut self, at: usize) {
        let Some(open) = self.open.pop() else { return };
        for prefix in &open.prefixes {
            if let Some(declared) = self.scopes.get_mut(prefix) {
                declared.pop();
            }
        }
        if let Some(node) = self.document.nodes.get_mut(open.node as usize) {
            node.text.end = at as u32;
        }
    }

    /// A piece of text. False at the limit.
    pub(super) fn text(&mut self, range: Range<usize>) -> bool {
        if self.is_wanted() && !range.is_empty() {
            self.push(None, range);
        }
        self.document.nodes.len() <= self.nodes_max
    }

    fn push(&mut self, element: Option<Element>, text: Range<usize>) -> u32 {
        let parent = self.open.last().map(|open| open.node);
        self.document.nodes.push(Node { parent, element, text: text.start as u32..text.end as u32 });
        self.document.nodes.len() as u32 - 1
    }
}

/// The prefix that `xmlns` or `xmlns:prefix` declares.
pub(super) fn declared_prefix(name: &[u8]) -> Option<&[u8]> {
    match name.strip_prefix(b"xmlns")? {
        [] => Some(b""),
        [b':', prefix @ ..] => Some(prefix),
        _ => None,
    }
}

impl Document {
    /// What a path selects, in document order. `value` gives the value of an attribute by its number.
    pub fn select<'a>(&self, path: &Path, value: impl Fn(usize) -> Option<&'a [u8]>) -> Vec<Selected> {
        let last = path.steps.len();
        // Of each node: the steps whose last element it is, and the same of it and all around it. Bit 0 is the document itself.
        let mut reached: Vec<(u64, u64)> = Vec::with_capacity(self.nodes.len());
        let mut selected = Vec::new();
        for node in &self.nodes {
            let parent = node.parent.map_or(Some(&(1, 1)), |parent| reached.get(parent as usize));
            let (on_parent, around) = parent.copied().unwrap_or_default();
            let mut on = 0_u64;
            if let Some(element) = &node.element {
                for (index, step) in path.steps.iter().enumerate() {
                    let from = if step.descendant { around } else { on_parent };
                    if from >> index & 1 == 1 && self.is(element, &step.name) && self.holds(element, &step.name, &step.predicate, &value) {
                        on |= 1 << (index + 1);
                    }
                }
            }
            let all = on | around;
            reached.push((on, all));
            let arrives = |below: bool, on: u64| (if below { all } else { on }) >> last & 1 == 1;
            match (&path.end, &node.element) {
                (End::Element, Some(_)) if on >> last & 1 == 1 => {
                    selected.push(Selected::Text(node.text.start as usize..node.text.end.max(node.text.start) as usize));
                }
                (End::Text(below), None) if arrives(*below, on_parent) => {
                    selected.push(Selected::Text(node.text.start as usize..node.text.end as usize));
                }
                (End::Attribute(name, below), Some(element)) if arrives(*below, on) => {
                    let named =
                        self.attributes_of(element).iter().filter(|attribute| self.named(attribute.namespace, attribute.name, name));
                    selected.extend(named.map(|attribute| Selected::Attribute(attribute.index as usize)));
                }
                _ => {}
            }
        }
        selected
    }

    fn attributes_of(&self, element: &Element) -> &[Attribute] {
        self.attributes.get(element.attributes_start as usize..element.attributes_end as usize).unwrap_or_default()
    }

    fn is(&self, element: &Element, name: &Name) -> bool {
        self.named(element.namespace, element.name, name)
    }

    fn named(&self, namespace: u32, local: u32, name: &Name) -> bool {
        let is = |number: u32, text: &Option<Vec<u8>>| {
            text.as_ref().is_none_or(|text| self.names.get(number as usize).is_some_and(|known| known == text))
        };
        is(local, &name.local) && is(namespace, &name.namespace)
    }

    fn holds<'a>(&self, element: &Element, name: &Name, predicate: &Option<Predicate>, value: &impl Fn(usize) -> Option<&'a [u8]>) -> bool {
        match predicate {
            None => true,
            Some(Predicate::Number(wanted)) => {
                let position = if name.local.is_none() { element.position } else { element.position_of_name };
                position == *wanted
            }
            Some(Predicate::Attribute(name, wanted)) => self.attributes_of(element).iter().any(|attribute| {
                self.named(attribute.namespace, attribute.name, name)
                    && wanted.as_ref().is_none_or(|wanted| value(attribute.index as usize) == Some(wanted.as_slice()))
            }),
        }
    }
}
