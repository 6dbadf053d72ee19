//! PEM files (RFC 7468) cut into blocks that remember where they stand, so that a mistake can be shown.

use crate::diagnostic::Diagnostic;
use crate::limits::CERTIFICATE_FILE_BYTES_MAX;
use base64::Engine as _;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

/// A file of PEM blocks.
pub(super) struct PemFile {
    /// The text, for diagnostics.
    pub(super) text: String,
    /// Its blocks in order.
    pub(super) blocks: Vec<Block>,
}

/// One `-----BEGIN X-----` block.
pub(super) struct Block {
    /// `CERTIFICATE`, `PRIVATE KEY`, ...
    pub(super) label: String,
    /// Its first line, for diagnostics.
    pub(super) span: Range<usize>,
    /// Whether it is encrypted with a passphrase, in either of the two ways.
    pub(super) encrypted: bool,
    /// The decoded content; empty where it is encrypted.
    pub(super) der: Vec<u8>,
}

impl Block {
    /// Whether it is a certificate.
    pub(super) fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE")
    }

    /// Whether it is a private key of any form.
    pub(super) fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }
}

impl PemFile {
    /// Reads and cuts a file.
    ///
    /// # Errors
    /// One diagnostic: unreadable, too long, not PEM, a block that does not end or does not decode.
    pub(super) fn read(path: &Path) -> Result<Self, Diagnostic> {
        let bytes = read_bounded(path)?;
        if bytes.first() == Some(&0x30) {
            return Err(Diagnostic::file(
                path,
                "is in binary DER form, not PEM",
                "convert it: openssl x509 -inform der -in FILE -out FILE.pem",
            ));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let blocks = cut(path, &text)?;
        Ok(Self { text, blocks })
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let cannot = |e: &std::io::Error| {
        let help = match e.kind() {
            std::io::ErrorKind::NotFound => "check the path; relative paths start at the folder of the policy file",
            std::io::ErrorKind::PermissionDenied => "let the gateway's user read it (chgrp and chmod 0640 for a key)",
            _ => "",
        };
        let why = match e.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => e.to_string(),
        };
        Diagnostic::file(path, format!("cannot be read: {why}"), help)
    };
    let metadata = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    if !metadata.is_file() {
        return Err(Diagnostic::file(path, "cannot be read: it is not a regular file", "name a PEM file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
    file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| cannot(&e))?;
    if bytes.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
        return Err(Diagnostic::file(path, "is too long for a file of certificates", "name a PEM file"));
    }
    Ok(bytes)
}

/// The label of a boundary line, as `-----BEGIN label-----`.
fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.trim().strip_prefix("-----")?.strip_suffix("-----")?.strip_prefix(word)?.strip_prefix(' ')
}

fn cut(path: &Path, text: &str) -> Result<Vec<Block>, Diagnostic> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, String)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = at..at + line.trim_end().len();
        at += line.len();
        if let Some(label) = boundary(line, "BEGIN") {
            if let Some((block, _)) = open {
                return Err(unended(path, text, &block));
            }
            let encrypted = label == "ENCRYPTED PRIVATE KEY";
            open = Some((Block { label: label.to_owned(), span, encrypted, der: Vec::new() }, String::new()));
        } else if let Some(label) = boundary(line, "END") {
            let Some((mut block, content)) = open.take() else {
                return Err(Diagnostic::at(
                    path,
                    text,
                    span,
                    "a PEM block ends that has not begun",
                    "is the first part of the file missing?",
                ));
            };
            if label != block.label {
                let message = format!("a block that began as {} ends as {label}", block.label);
                return Err(Diagnostic::at(path, text, span, message, "is a part of the file missing?"));
            }
            if !block.encrypted {
                block.der = decode(&content).ok_or_else(|| {
                    Diagnostic::at(path, text, block.span.clone(), "the content of this block is not base64", "copy the file anew")
                })?;
            }
            blocks.push(block);
        } else if let Some((block, content)) = &mut open {
            // Headers of the old form (RFC 1421): "Proc-Type: 4,ENCRYPTED" and "DEK-Info: ...".
            if line.contains(':') {
                block.encrypted |= line.contains("ENCRYPTED");
            } else {
                content.push_str(line.trim());
            }
        }
    }
    match open {
        Some((block, _)) => Err(unended(path, text, &block)),
        None => Ok(blocks),
    }
}

fn unended(path: &Path, text: &str, block: &Block) -> Diagnostic {
    Diagnostic::at(path, text, block.span.clone(), "this block does not end", "is the last part of the file missing?")
}

fn decode(content: &str) -> Option<Vec<u8>> {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
    let content: String = content.split_ascii_whitespace().collect();
    GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(content).ok()
}
