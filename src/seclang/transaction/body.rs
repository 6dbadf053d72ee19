//! Bodies: buffering under the limits, and handing the request's to the parser that fits.

use bytes::Bytes;

use super::request::first;
use super::{Mode, Request, Response, Transaction};
use crate::body::multipart::Condensed;
use crate::body::{self, json, multipart, url_encoded, xml};
use crate::limits;
use crate::ruleset::Settings;
use crate::value::Entry;
use crate::verdict::Cause;

/// The caller's word on bodies, which goes before the directives'; where neither says anything, ModSecurity's defaults hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyOptions {
    /// Overrides `SecRequestBodyAccess`.
    pub request_access: Option<bool>,
    /// Overrides `SecRequestBodyLimit`, bytes.
    pub request_limit: Option<u64>,
    /// Overrides `SecRequestBodyNoFilesLimit`, bytes.
    pub request_no_files_limit: Option<u64>,
    /// Overrides `SecRequestBodyLimitAction`: true is `Reject`.
    pub request_rejects: Option<bool>,
    /// Overrides `SecResponseBodyAccess`.
    pub response_access: Option<bool>,
    /// Overrides `SecResponseBodyLimit`, bytes.
    pub response_limit: Option<u64>,
    /// Overrides `SecResponseBodyLimitAction`: true is `Reject`.
    pub response_rejects: Option<bool>,
    /// Parses JSON and XML by the media type where no rule has named a processor (`ctl:requestBodyProcessor`). ModSecurity does not.
    pub processor_by_type: bool,
}

/// A request and a response of which nothing has come yet.
pub(super) fn begin(settings: &Settings, options: &BodyOptions) -> (Request, Response) {
    let request = Request {
        body_access: options.request_access.or(settings.request_body_access).unwrap_or(false),
        body_limit: options.request_limit.or(settings.request_body_limit).unwrap_or(limits::REQUEST_BODY_BYTES),
        no_files_limit: options
            .request_no_files_limit
            .or(settings.request_body_no_files_limit)
            .unwrap_or(limits::REQUEST_BODY_NO_FILES_BYTES),
        rejects: options.request_rejects.or(settings.request_body_limit_rejects).unwrap_or(true),
        processor_by_type: options.processor_by_type,
        ..Request::default()
    };
    let response = Response {
        body_access: options.response_access.or(settings.response_body_access).unwrap_or(false),
        body_limit: options.response_limit.or(settings.response_body_limit).unwrap_or(limits::RESPONSE_BODY_BYTES),
        rejects: options.response_rejects.or(settings.response_body_limit_rejects).unwrap_or(true),
        ..Response::default()
    };
    (request, response)
}

/// A body as it comes: one piece is kept as it is, several are joined when it has ended.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    list: Vec<Bytes>,
    bytes: usize,
}

impl Pieces {
    /// Keeps as much as the limit allows; false where that is not all.
    fn append(&mut self, piece: Bytes, limit: u64) -> bool {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(self.bytes);
        let kept = piece.len().min(room);
        if kept > 0 {
            self.bytes += kept;
            self.list.push(piece.slice(..kept));
        }
        kept == piece.len()
    }

    fn join(&mut self) -> Bytes {
        self.bytes = 0;
        let list = std::mem::take(&mut self.list);
        match list.len() {
            0 | 1 => list.into_iter().next().unwrap_or_default(),
            _ => list.concat().into(),
        }
    }
}

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

    /// Bytes of the request's body that are inspected at most where it has no files, and of everything but the files where it has.
    pub fn request_body_no_files_limit(&self) -> u64 {
        self.request.no_files_limit
    }

    /// Whether a request's body over its limit should be refused, and not inspected in part.
    pub fn request_body_rejects(&self) -> bool {
        self.request.rejects && self.mode == Mode::Block
    }

    /// The same for a response's body.
    pub fn response_body_rejects(&self) -> bool {
        self.response.rejects && self.mode == Mode::Block
    }

    /// What will parse the request's body: `URLENCODED`, `MULTIPART`, `JSON`, `XML`, or nothing. Rules choose it in phase 1.
    pub fn request_body_processor(&self) -> &'static str {
        if !self.request.processor.is_empty() || !self.request.processor_by_type {
            return self.request.processor;
        }
        let content_type = first(&self.request.headers, b"content-type").map_or(&b""[..], |value| value.as_ref());
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match essence.as_slice() {
            b"application/json" | b"text/json" => "JSON",
            b"application/xml" | b"text/xml" => "XML",
            other if other.ends_with(b"+json") => "JSON",
            other if other.ends_with(b"+xml") && !other.starts_with(b"image/") => "XML",
            _ => "",
        }
    }

    /// The caller knows of more than it hands in (`INBOUND_DATA_ERROR`).
    pub fn request_body_was_cut(&mut self) {
        self.request.body_cut = true;
    }

    /// The same for the response (`OUTBOUND_DATA_ERROR`).
    pub fn response_body_was_cut(&mut self) {
        self.response.body_cut = true;
    }

    /// A piece of the request's body, decoded from its transfer encoding.
    pub fn request_body(&mut self, piece: &[u8]) -> BodyOutcome {
        if !self.wants_request_body() {
            return BodyOutcome::Ignored;
        }
        self.request_body_bytes(Bytes::copy_from_slice(piece))
    }

    /// The same from a buffer that the transaction may share: a body that comes in one piece is not copied.
    pub fn request_body_bytes(&mut self, piece: Bytes) -> BodyOutcome {
        if !self.wants_request_body() {
            return BodyOutcome::Ignored;
        }
        let no_files = if self.request_body_processor() == "MULTIPART" { u64::MAX } else { self.request.no_files_limit };
        let limit = self.request.body_limit.min(no_files);
        self.request.body_arrived = self.request.body_arrived.saturating_add(piece.len() as u64);
        let rejects = self.request_body_rejects();
        let fits = self.request.buffer.append(piece, limit);
        self.request.body_cut |= !fits;
        outcome(fits, rejects)
    }

    /// A whole multipart body without the rest of its files, as [`multipart::Condenser`] keeps it.
    pub fn request_body_condensed(&mut self, condensed: Condensed) -> BodyOutcome {
        self.found.file_sizes = condensed.file_sizes;
        self.request.body_cut |= condensed.is_cut;
        self.request_body_bytes(condensed.body)
    }

    /// A piece of the response's body, decoded from its transfer and content encoding.
    pub fn response_body(&mut self, piece: &[u8]) -> BodyOutcome {
        if !self.wants_response_body() {
            return BodyOutcome::Ignored;
        }
        self.response_body_bytes(Bytes::copy_from_slice(piece))
    }

    /// The same from a buffer that the transaction may share.
    pub fn response_body_bytes(&mut self, piece: Bytes) -> BodyOutcome {
        if !self.wants_response_body() {
            return BodyOutcome::Ignored;
        }
        let rejects = self.response_body_rejects();
        let fits = self.response.buffer.append(piece, self.response.body_limit);
        self.response.body_cut |= !fits;
        outcome(fits, rejects)
    }

    /// Parses what arrived of the request's body, before the rules of phase 2 see it.
    pub(crate) fn finish_request_body(&mut self) {
        if !self.wants_request_body() || self.request.body.is_some() {
            return;
        }
        let body = self.request.buffer.join();
        self.request.body = Some(body.clone());
        if body.is_empty() {
            let announced = |name| first(&self.request.headers, name).is_some();
            if self.request.processor == "MULTIPART" && (announced(b"content-length") || announced(b"transfer-encoding")) {
                let content_type = first(&self.request.headers, b"content-type").cloned().unwrap_or_default();
                let parsed = multipart::parse_boundary(&content_type);
                self.found.multipart = Some(parsed.flags);
                self.found.multipart_failed = parsed.error.is_some();
                self.body_error("Multipart", parsed.error);
            }
            return;
        }
        self.request.processor = self.request_body_processor();
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
        self.response.body = Some(self.response.buffer.join());
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
        let (mut field_bytes, mut sizes) = (0, std::mem::take(&mut self.found.file_sizes).into_iter());
        for part in parsed.parts {
            let name = Bytes::from(part.name);
            let content = body.get(part.content.clone()).map(|_| body.slice(part.content)).unwrap_or_default();
            self.found.part_headers.extend(part.headers.into_iter().map(|line| Entry::new(name.clone(), line)));
            self.found.part_names.push(Entry::new(name.clone(), name.clone()));
            match part.filename {
                Some(filename) => {
                    self.found.files.push(Entry::new(name.clone(), filename));
                    self.found.file_sizes.push(sizes.next().unwrap_or(content.len() as u64));
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
        if field_bytes > self.request.no_files_limit {
            self.found.error = Some(Bytes::from_static(b"the fields are larger than SecRequestBodyNoFilesLimit allows"));
        }
    }

    /// The bounds of the body parsers, for a [`multipart::Condenser`].
    pub fn body_limits(&self) -> body::Limits {
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
            if error.limit {
                // What lies behind was not looked at: rules may ask for it, and it is an error of the engine's all the same.
                self.error(Cause::Limit, None, format!("{processor}: {error}"));
            }
            self.found.error = Some(format!("{processor} parsing error: {error}").into());
        }
    }
}

fn outcome(fits: bool, rejects: bool) -> BodyOutcome {
    match (fits, rejects) {
        (true, _) => BodyOutcome::Buffered,
        (false, true) => BodyOutcome::TooLarge,
        (false, false) => BodyOutcome::Partial,
    }
}
