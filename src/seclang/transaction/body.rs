//! Bodies: buffering under the limits, and handing the request's to the parser that fits.

use bytes::Bytes;

use super::request::first;
use super::{Mode, Transaction};
use crate::body::{self, json, multipart, url_encoded, xml};
use crate::value::Entry;
use crate::verdict::Cause;

/// What became of a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOutcome {
    /// It will be inspected.
    Buffered,
    /// The limit is reached and the rest will not be inspected (`ProcessPartial`, or detection-only mode).
    Partial,
    /// The limit is reached and the transaction should be refused (413 for a request, 502 for a response).
    TooLarge,
    /// Nobody asked for this body.
    Ignored,
}

impl Transaction {
    /// Whether the request's body should be handed in.
    pub fn wants_request_body(&self) -> bool {
        self.mode != Mode::Off && self.request.body_access
    }

    /// Bytes of the request's body that are inspected at most.
    pub fn request_body_limit(&self) -> u64 {
        self.request.body_limit
    }

    /// Bytes of the response's body that are inspected at most.
    pub fn response_body_limit(&self) -> u64 {
        self.response.body_limit
    }

    /// Whether the request's body went past its limit, so that the rest was not inspected (`INBOUND_DATA_ERROR`).
    pub fn request_body_is_partial(&self) -> bool {
        self.request.body_cut
    }

    /// Whether the response's body went past its limit, so that the rest was not inspected (`OUTBOUND_DATA_ERROR`).
    pub fn response_body_is_partial(&self) -> bool {
        self.response.body_cut
    }

    /// A piece of the request's body, decoded from its transfer encoding.
    pub fn request_body(&mut self, piece: &[u8]) -> BodyOutcome {
        if !self.wants_request_body() {
            return BodyOutcome::Ignored;
        }
        let settings = self.rules.settings();
        let no_files = if self.request.processor == "MULTIPART" { u64::MAX } else { settings.request_body_no_files_limit };
        let limit = self.request.body_limit.min(no_files);
        self.request.body_arrived = self.request.body_arrived.saturating_add(piece.len() as u64);
        let rejects = settings.request_body_limit_rejects && self.mode == Mode::Block;
        let fits = append(&mut self.request.buffer, piece, limit);
        self.request.body_cut |= !fits;
        outcome(fits, rejects)
    }

    /// A piece of the response's body, decoded from its transfer and content encoding.
    pub fn response_body(&mut self, piece: &[u8]) -> BodyOutcome {
        if !self.wants_response_body() {
            return BodyOutcome::Ignored;
        }
        let rejects = self.rules.settings().response_body_limit_rejects && self.mode == Mode::Block;
        let fits = append(&mut self.response.buffer, piece, self.response.body_limit);
        self.response.body_cut |= !fits;
        outcome(fits, rejects)
    }

    /// Parses what arrived of the request's body, before the rules of phase 2 see it.
    pub(crate) fn finish_request_body(&mut self) {
        if !self.wants_request_body() || self.request.body.is_some() {
            return;
        }
        let body = std::mem::take(&mut self.request.buffer).freeze();
        self.request.body = Some(body.clone());
        if body.is_empty() {
            return;
        }
        match self.request.processor {
            "URLENCODED" => self.parse_form(&body),
            "MULTIPART" => self.parse_multipart(&body),
            "JSON" => {
                let parsed = json::parse(&body, &self.body_limits());
                self.request.args_post.extend(parsed.arguments.into_iter().map(|a| Entry::new(a.name, a.value)));
                self.body_error("JSON", parsed.error);
            }
            "XML" => {
                let parsed = xml::parse(&body, &self.body_limits());
                self.found.xml_text = Some(parsed.text.into());
                self.found.xml_document = parsed.document;
                self.found.xml_attributes = parsed.attributes.into_iter().map(|a| Entry::new(a.name, a.value)).collect();
                self.body_error("XML", parsed.error);
            }
            _ => {}
        }
    }

    /// Closes the response's buffer, before the rules of phase 4 see it.
    pub(crate) fn finish_response_body(&mut self) {
        if !self.wants_response_body() || self.response.body.is_some() {
            return;
        }
        self.response.body = Some(std::mem::take(&mut self.response.buffer).freeze());
    }

    fn parse_form(&mut self, body: &Bytes) {
        let settings = self.rules.settings();
        let room = settings.arguments_limit.saturating_sub(self.request.args_get.len());
        let form = url_encoded(body, settings.argument_separator, room);
        self.request.args_post.extend(form.arguments.into_iter().map(|a| Entry::new(a.name, a.value)));
        self.found.url_encoded_error = form.invalid_encoding;
        if form.truncated {
            self.found.error = Some(Bytes::from_static(b"the body has more arguments than SecArgumentsLimit allows"));
            self.error(Cause::Limit, None, "the body has more arguments than SecArgumentsLimit allows");
        }
    }

    fn parse_multipart(&mut self, body: &Bytes) {
        let content_type = first(&self.request.headers, b"content-type").cloned().unwrap_or_default();
        let parsed = multipart::parse(body, &content_type, &self.body_limits());
        let mut field_bytes = 0;
        for part in parsed.parts {
            let name = Bytes::from(part.name);
            let content = body.get(part.content.clone()).map(|_| body.slice(part.content)).unwrap_or_default();
            self.found.part_headers.extend(part.headers.into_iter().map(|line| Entry::new(name.clone(), line)));
            self.found.part_names.push(Entry::new(name.clone(), name.clone()));
            match part.filename {
                Some(filename) => {
                    self.found.files.push(Entry::new(name.clone(), filename));
                    self.found.file_contents.push(Entry::new(name, content));
                }
                None => {
                    field_bytes += content.len() as u64;
                    self.request.args_post.push(Entry::new(name, content));
                }
            }
        }
        self.found.multipart = Some(parsed.flags);
        self.found.multipart_failed = parsed.error.is_some();
        self.body_error("Multipart", parsed.error);
        if field_bytes > self.rules.settings().request_body_no_files_limit {
            self.found.error = Some(Bytes::from_static(b"the fields are larger than SecRequestBodyNoFilesLimit allows"));
        }
    }

    fn body_limits(&self) -> body::Limits {
        let settings = self.rules.settings();
        body::Limits {
            arguments_max: settings.arguments_limit,
            depth_max: settings.json_depth,
            files_max: settings.upload_files,
            nodes_max: if settings.xml_paths { body::NODES_MAX } else { 0 },
            ..body::Limits::default()
        }
    }

    fn body_error(&mut self, processor: &str, error: Option<body::BodyError>) {
        if let Some(error) = error {
            self.found.error = Some(format!("{processor} parsing error: {error}").into());
        }
    }
}

fn append(buffer: &mut bytes::BytesMut, piece: &[u8], limit: u64) -> bool {
    let room = usize::try_from(limit.saturating_sub(buffer.len() as u64)).unwrap_or(usize::MAX);
    buffer.extend_from_slice(piece.get(..piece.len().min(room)).unwrap_or_default());
    piece.len() <= room
}

fn outcome(fits: bool, rejects: bool) -> BodyOutcome {
    match (fits, rejects) {
        (true, _) => BodyOutcome::Buffered,
        (false, true) => BodyOutcome::TooLarge,
        (false, false) => BodyOutcome::Partial,
    }
}
