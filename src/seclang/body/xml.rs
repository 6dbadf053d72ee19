//! XML bodies: the text for `XML:/*` and the attribute values for `XML://@*`.
//!
//! A small pull parser of our own: nothing is fetched, entities expand within a bound, and nothing recurses.

mod markup;
mod path;
mod tree;

use std::collections::HashMap;

use super::{Argument, BodyError, Limits};
use markup::{Cursor, name_at};
pub use path::{Path, PathError};
use tree::Builder;
pub use tree::{Document, Selected};

/// What an XML body holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The text of the root element and all below it, in order, as XPath's string value has it: what `XML:/*` selects.
    pub text: Vec<u8>,
    /// The attributes of all elements, in order: what `XML://@*` selects. Namespace declarations are none, as in XPath.
    pub attributes: Vec<Argument>,
    /// The elements and pieces of text, where [`Limits::nodes_max`] asks for them.
    pub document: Document,
    /// The first mistake; what stood before it is kept.
    pub error: Option<BodyError>,
}

/// Most entities that one document may declare.
const ENTITIES_MAX: usize = 256;

/// Deepest nesting of entities in entities.
const ENTITY_DEPTH_MAX: usize = 8;

/// Encodings in which ASCII markup is ASCII bytes. In another one the parser of the back end would read another document.
const ENCODINGS: [&str; 8] = ["utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "latin1", "windows-1252"];

/// Reads a document (XML 1.0, without validation).
pub fn parse(input: &[u8], limits: &Limits) -> Parsed {
    let cursor = Cursor::new(input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input));
    let mut parser = Parser {
        cursor,
        limits,
        open: Vec::new(),
        rooted: false,
        entities: HashMap::new(),
        expanded: 0,
        parsed: Parsed::default(),
        tree: Builder::new(limits.nodes_max),
    };
    let error = parser.run().err();
    let document = parser.tree.finish(parser.parsed.text.len());
    Parsed { error, document, ..parser.parsed }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    limits: &'a Limits,
    /// The names of the elements that are open.
    open: Vec<&'a [u8]>,
    /// Whether the root element has begun.
    rooted: bool,
    entities: HashMap<&'a [u8], &'a [u8]>,
    /// Bytes that entities have expanded to so far.
    expanded: usize,
    parsed: Parsed,
    tree: Builder,
}

/// What an element declares besides its attributes: prefixes and the names of their namespaces.
type Declared<'a> = Vec<(&'a [u8], Vec<u8>)>;

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), BodyError> {
        if self.cursor.rest().starts_with(b"\xFE\xFF") || self.cursor.rest().starts_with(b"\xFF\xFE") || self.cursor.rest().contains(&0) {
            return Err(self.cursor.mistake("the document is not in an encoding based on ASCII"));
        }
        self.declaration()?;
        while !self.cursor.rest().is_empty() {
            if self.cursor.eat(b"<!--") {
                self.cursor.until(b"-->", "a comment")?;
            } else if self.cursor.eat(b"<![CDATA[") {
                if self.open.is_empty() {
                    return Err(self.cursor.mistake("text stands outside the root element"));
                }
                let text = self.cursor.until(b"]]>", "a CDATA section")?;
                let start = self.parsed.text.len();
                self.parsed.text.extend_from_slice(text);
                self.grow_tree_by_text(start)?;
            } else if self.cursor.eat(b"<?") {
                self.cursor.until(b"?>", "a processing instruction")?;
            } else if self.cursor.eat(b"<!DOCTYPE") {
                self.doctype()?;
            } else if self.cursor.eat(b"</") {
                self.end_tag()?;
            } else if self.cursor.eat(b"<") {
                self.start_tag()?;
            } else {
                self.text()?;
            }
        }
        match self.open.last() {
            Some(name) => Err(self.cursor.mistake(format!("the element `{}` does not end", name.escape_ascii()))),
            None if !self.rooted => Err(self.cursor.mistake("there is no element")),
            None => Ok(()),
        }
    }

    /// `<?xml ... encoding="..."?>`: only the encoding matters.
    fn declaration(&mut self) -> Result<(), BodyError> {
        if !self.cursor.rest().starts_with(b"<?xml") {
            return Ok(());
        }
        let declaration = self.cursor.until(b"?>", "the XML declaration")?.to_ascii_lowercase();
        let Some(at) = memchr::memmem::find(&declaration, b"encoding") else { return Ok(()) };
        let value = declaration.get(at + b"encoding".len()..).unwrap_or_default().trim_ascii_start();
        let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii_start();
        let name = match value.split_first() {
            Some((quote @ (b'"' | b'\''), behind)) => behind.split(|byte| byte == quote).next().unwrap_or_default(),
            _ => b"",
        };
        if ENCODINGS.iter().any(|known| known.as_bytes() == name) {
            return Ok(());
        }
        Err(self.cursor.mistake(format!("the encoding `{}` is not read here", name.escape_ascii())))
    }

    fn start_tag(&mut self) -> Result<(), BodyError> {
        if self.open.is_empty() && self.rooted {
            return Err(self.cursor.mistake("there is more than one root element"));
        }
        if self.open.len() >= self.limits.depth_max {
            return Err(self.cursor.limit(format!("elements nest deeper than {}", self.limits.depth_max)));
        }
        self.rooted = true;
        let name = self.cursor.name("an element")?;
        let first = self.parsed.attributes.len();
        let mut declared = Declared::new();
        loop {
            let spaced = self.cursor.skip_blanks();
            if self.cursor.eat(b"/>") {
                self.grow_tree(name, &declared, first)?;
                self.tree.close(self.parsed.text.len());
                return Ok(());
            }
            if self.cursor.eat(b">") {
                self.grow_tree(name, &declared, first)?;
                self.open.push(name);
                return Ok(());
            }
            if !spaced {
                return Err(self.cursor.mistake("a blank is missing before an attribute"));
            }
            self.attribute(&mut declared)?;
        }
    }

    fn grow_tree(&mut self, name: &[u8], declared: &Declared<'_>, first: usize) -> Result<(), BodyError> {
        let attributes = self.parsed.attributes.get(first..).unwrap_or_default();
        if self.tree.open(name, declared, attributes, first, self.parsed.text.len()) { Ok(()) } else { Err(self.too_many_nodes()) }
    }

    fn grow_tree_by_text(&mut self, start: usize) -> Result<(), BodyError> {
        if self.tree.text(start..self.parsed.text.len()) { Ok(()) } else { Err(self.too_many_nodes()) }
    }

    fn too_many_nodes(&self) -> BodyError {
        self.cursor.limit(format!("there are more than {} elements and pieces of text", self.limits.nodes_max))
    }

    fn attribute(&mut self, declared: &mut Declared<'a>) -> Result<(), BodyError> {
        let name = self.cursor.name("an attribute")?;
        self.cursor.skip_blanks();
        if !self.cursor.eat(b"=") {
            return Err(self.cursor.mistake("an attribute has no value"));
        }
        self.cursor.skip_blanks();
        let raw = self.cursor.quoted("the value of an attribute")?;
        if raw.contains(&b'<') {
            return Err(self.cursor.mistake("the value of an attribute holds a `<`"));
        }
        if self.parsed.attributes.len() + declared.len() >= self.limits.arguments_max {
            return Err(self.cursor.limit(format!("there are more than {} attributes", self.limits.arguments_max)));
        }
        let mut value = Vec::with_capacity(raw.len());
        self.expand(raw, &mut value, 0)?;
        match tree::declared_prefix(name) {
            Some(prefix) => declared.push((prefix, value)),
            None => self.parsed.attributes.push(Argument { name: name.to_vec(), value }),
        }
        Ok(())
    }

    fn end_tag(&mut self) -> Result<(), BodyError> {
        let name = self.cursor.name("an element")?;
        self.cursor.skip_blanks();
        if !self.cursor.eat(b">") {
            return Err(self.cursor.mistake("an end tag does not end"));
        }
        self.tree.close(self.parsed.text.len());
        match self.open.pop() {
            Some(open) if open == name => Ok(()),
            Some(open) => Err(self.cursor.mistake(format!("`{}` ends where `{}` is open", name.escape_ascii(), open.escape_ascii()))),
            None => Err(self.cursor.mistake(format!("`{}` ends but is not open", name.escape_ascii()))),
        }
    }

    fn text(&mut self) -> Result<(), BodyError> {
        let raw = self.cursor.before(b'<');
        if self.open.is_empty() {
            return if raw.trim_ascii().is_empty() { Ok(()) } else { Err(self.cursor.mistake("text stands outside the root element")) };
        }
        let mut text = std::mem::take(&mut self.parsed.text);
        let start = text.len();
        let result = self.expand(raw, &mut text, 0);
        self.parsed.text = text;
        self.grow_tree_by_text(start)?;
        result
    }

    /// Appends text with its references replaced. Markup inside an entity stays as it is written: rules should see it.
    fn expand(&mut self, raw: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), BodyError> {
        let mut rest = raw;
        while let Some(at) = memchr::memchr(b'&', rest) {
            let (before, behind) = rest.split_at(at);
            out.extend_from_slice(before);
            let reference = behind.get(1..).unwrap_or_default();
            let Some(end) = reference.iter().take(64).position(|&byte| byte == b';') else {
                return Err(self.cursor.mistake("an ampersand begins no reference"));
            };
            let name = reference.get(..end).unwrap_or_default();
            rest = reference.get(end + 1..).unwrap_or_default();
            if let Some(character) = markup::predefined(name) {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let Some(&text) = self.entities.get(name) else {
                return Err(self.cursor.mistake(format!("the entity `{}` is not declared in the document", name.escape_ascii())));
            };
            // One more than the text, so that empty entities do not expand for nothing either.
            self.expanded += text.len() + 1;
            if depth >= ENTITY_DEPTH_MAX || self.expanded > self.limits.entity_bytes_max {
                return Err(self.cursor.limit(format!("entities expand to more than {} bytes", self.limits.entity_bytes_max)));
            }
            self.expand(text, out, depth + 1)?;
        }
        out.extend_from_slice(rest);
        Ok(())
    }

    /// The document type: entities with their text are kept, all else is skipped. What lies outside the document is an
    /// error where it is an entity, since no rule could see what it stands for.
    fn doctype(&mut self) -> Result<(), BodyError> {
        if self.rooted {
            return Err(self.cursor.mistake("the document type stands behind the root element"));
        }
        loop {
            self.cursor.skip_to(b"[>\"'")?;
            match self.cursor.rest().first() {
                Some(b'"' | b'\'') => {
                    self.cursor.quoted("the document type")?;
                }
                Some(b'[') => {
                    self.cursor.eat(b"[");
                    self.subset()?;
                }
                _ => {
                    self.cursor.eat(b">");
                    return Ok(());
                }
            }
        }
    }

    /// What stands between the brackets of the document type.
    fn subset(&mut self) -> Result<(), BodyError> {
        loop {
            self.cursor.skip_blanks();
            if self.cursor.eat(b"]") {
                return Ok(());
            } else if self.cursor.eat(b"<!--") {
                self.cursor.until(b"-->", "a comment")?;
            } else if self.cursor.eat(b"<?") {
                self.cursor.until(b"?>", "a processing instruction")?;
            } else if self.cursor.eat(b"<!ENTITY") {
                self.entity()?;
            } else if self.cursor.eat(b"<!") {
                self.skip_declaration()?;
            } else {
                return Err(self.cursor.mistake("the document type holds something that is no declaration"));
            }
        }
    }

    fn entity(&mut self) -> Result<(), BodyError> {
        self.cursor.skip_blanks();
        if self.cursor.rest().first() == Some(&b'%') {
            return Err(self.cursor.mistake("parameter entities are not read"));
        }
        let name = self.cursor.name("an entity")?;
        self.cursor.skip_blanks();
        if name_at(self.cursor.rest()) > 0 {
            return Err(self.cursor.mistake(format!("the entity `{}` lies outside the document and is not fetched", name.escape_ascii())));
        }
        let text = self.cursor.quoted("the text of an entity")?;
        self.cursor.skip_blanks();
        if !self.cursor.eat(b">") {
            return Err(self.cursor.mistake("the declaration of an entity does not end"));
        }
        if self.entities.len() >= ENTITIES_MAX {
            return Err(self.cursor.limit(format!("there are more than {ENTITIES_MAX} entities")));
        }
        // The first declaration of a name counts (XML 1.0, section 4.2).
        self.entities.entry(name).or_insert(text);
        Ok(())
    }

    fn skip_declaration(&mut self) -> Result<(), BodyError> {
        loop {
            self.cursor.skip_to(b">\"'")?;
            if self.cursor.eat(b">") {
                return Ok(());
            }
            self.cursor.quoted("a declaration")?;
        }
    }
}
