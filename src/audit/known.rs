//! What one record taught that holds for the next: user agents, hosts and header names come again and again.

use super::escape::is_plain;
use super::redact::{Redactor, Shape};
use std::borrow::Cow;

/// Texts remembered, one to a slot.
const SLOTS: usize = 64;
/// Bytes of a text that is worth remembering.
const TEXT_BYTES_MAX: usize = 256;
/// Header names remembered.
const NAMES_MAX: usize = 32;

/// What a thread remembers of one redactor's verdicts; never a text with a secret in it.
#[derive(Default)]
pub(super) struct Known {
    redactor: u64,
    /// Texts that are written as they stand: no secret in them, nothing to escape.
    clean: Vec<Vec<u8>>,
    names: Vec<(&'static str, bool)>,
}

impl Known {
    /// Forgets everything where another redactor judges now.
    pub(super) fn of(&mut self, redactor: &Redactor) {
        if self.redactor != redactor.id() || self.clean.is_empty() {
            *self = Self { redactor: redactor.id(), clean: vec![Vec::new(); 2 * SLOTS], names: Vec::new() };
        }
    }

    /// Whether this text is known to be written as it stands.
    pub(super) fn is_clean(&self, text: &[u8], shape: Shape) -> bool {
        !text.is_empty() && self.clean.get(slot(text, shape)).is_some_and(|known| known == text)
    }

    /// Remembers a text in which no secret was found, if nothing in it needs escaping either.
    pub(super) fn found_clean(&mut self, text: &[u8], shape: Shape) {
        if text.len() <= TEXT_BYTES_MAX
            && is_plain(text)
            && let Some(place) = self.clean.get_mut(slot(text, shape))
        {
            place.clear();
            place.extend_from_slice(text);
        }
    }

    /// [`Redactor::secret_header`], asked once for each of our own names.
    #[allow(clippy::ptr_arg, reason = "a name that is borrowed is one of ours and lives for ever; a &str does not tell")]
    pub(super) fn secret_header(&mut self, redactor: &Redactor, name: &Cow<'static, str>) -> bool {
        let Cow::Borrowed(name) = name else { return redactor.secret_header(name) };
        if let Some((_, secret)) = self.names.iter().find(|(known, _)| std::ptr::eq(*known, *name)) {
            return *secret;
        }
        let secret = redactor.secret_header(name);
        if self.names.len() < NAMES_MAX {
            self.names.push((name, secret));
        }
        secret
    }
}

/// By the length and both ends; texts that share a slot take turns in it.
fn slot(text: &[u8], shape: Shape) -> usize {
    let edge = |part: &[u8]| {
        let mut bytes = [0; 8];
        let length = part.len().min(8);
        bytes[..length].copy_from_slice(&part[..length]);
        u64::from_le_bytes(bytes)
    };
    let mix = edge(text) ^ edge(&text[text.len().saturating_sub(8)..]).rotate_left(29) ^ ((text.len() as u64) << 17);
    let place = (mix.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize;
    place + if shape == Shape::Url { SLOTS } else { 0 }
}
