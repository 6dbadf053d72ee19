//! Content codings taken off a copy of a body, under a cap on how much more comes out than went in.

use super::budget::Share;
use crate::head::{CONTENT_ENCODING, Headers};
use crate::limits::{CODINGS_MAX, DECODED_RATIO_FREE_BYTES, DECODED_RATIO_MAX, DECODER_WINDOW_BYTES_MAX};
use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use bytes::{Buf as _, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;
use seclang::verdict::Phase;
use std::io::{BufRead, BufReader, Read};

/// Bytes decoded at a time.
const STEP_BYTES: usize = 16 * 1024;

/// A content coding (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// A coding that is not known here, or more of them than anybody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// The codings of a message in the order they were applied; empty for none.
pub(super) fn codings(headers: &Headers) -> Result<Vec<Coding>, Unknown> {
    let mut found = Vec::new();
    for value in headers.get_all(&CONTENT_ENCODING) {
        for word in value.text().ok_or(Unknown)?.split(',') {
            let coding = match word.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(Unknown),
            };
            if found.len() >= CODINGS_MAX {
                return Err(Unknown);
            }
            found.push(coding);
        }
    }
    Ok(found)
}

/// How decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it.
    Whole,
    /// There is more than the limit.
    Limit,
    /// More comes out than [`DECODED_RATIO_MAX`] times what went in.
    Ratio,
    /// The memory of inspection is used up.
    Memory,
    /// It is not what the coding says, or it breaks off.
    Broken,
}

impl End {
    /// Why less than all was inspected; `None` for all.
    pub(super) fn reason(self, phase: Phase) -> Option<&'static str> {
        let request = phase == Phase::RequestBody;
        Some(match self {
            Self::Whole => return None,
            Self::Limit => {
                if request {
                    "body_limit"
                } else {
                    "response_limit"
                }
            }
            Self::Ratio => {
                if request {
                    "content_encoding_ratio"
                } else {
                    "response_encoding_ratio"
                }
            }
            Self::Memory => {
                if request {
                    "memory"
                } else {
                    "response_memory"
                }
            }
            Self::Broken => {
                if request {
                    "content_encoding"
                } else {
                    "response_encoding"
                }
            }
        })
    }
}

/// Takes the codings off, the last one first. What came out before it ended early is kept.
pub(super) fn decode(codings: &[Coding], body: &Bytes, limit: usize, share: &mut Share) -> (Bytes, End) {
    let mut source: Box<dyn BufRead + '_> = Box::new(body.clone().reader());
    for coding in codings.iter().rev() {
        source = match coding {
            Coding::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(source))),
            Coding::Deflate => deflate(source),
            Coding::Brotli => {
                let mut decoder = brotli_decompressor::Decompressor::new(source, 4096);
                // Windows beyond RFC 7932's 16 MB are not part of the content coding.
                decoder.set_parameter(BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Box::new(BufReader::new(decoder))
            }
            Coding::Zstd => match StreamingDecoder::new_with_max_window_size(source, DECODER_WINDOW_BYTES_MAX) {
                Ok(decoder) => Box::new(BufReader::new(decoder)),
                Err(_) => return (Bytes::new(), End::Broken),
            },
        };
    }
    read(&mut source, body.len(), limit, share)
}

/// `deflate` is zlib by the book (RFC 9110 section 8.4.1.2), and bare deflate from senders that read it literally.
fn deflate<'a>(mut source: Box<dyn BufRead + 'a>) -> Box<dyn BufRead + 'a> {
    let zlib = match source.fill_buf() {
        Ok([first, second, ..]) => first & 0x0F == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0,
        _ => true,
    };
    if zlib { Box::new(BufReader::new(ZlibDecoder::new(source))) } else { Box::new(BufReader::new(DeflateDecoder::new(source))) }
}

fn read(source: &mut dyn Read, encoded_bytes: usize, limit: usize, share: &mut Share) -> (Bytes, End) {
    let most = encoded_bytes.saturating_mul(DECODED_RATIO_MAX).max(DECODED_RATIO_FREE_BYTES);
    let mut out = Vec::new();
    let mut step = vec![0; STEP_BYTES];
    let end = loop {
        let count = match source.read(&mut step) {
            Ok(0) => break End::Whole,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break End::Broken,
        };
        let room = limit - out.len();
        let count_kept = count.min(room);
        if !share.take(count_kept) {
            break End::Memory;
        }
        out.extend_from_slice(step.get(..count_kept).unwrap_or_default());
        if count > room {
            break End::Limit;
        }
        if out.len() > most {
            break End::Ratio;
        }
    };
    (out.into(), end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::budget::Budget;
    use super::*;
    use crate::policy::InspectionLimits;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write as _;

    fn unpack(codings: &[Coding], body: &[u8], limit: usize) -> (Bytes, End) {
        let (spill_directory, rbl_name_servers) = (None, Vec::new());
        let limits = InspectionLimits { memory_bytes_max: 64 << 20, disk_bytes_max: 0, spill_directory, rbl_name_servers };
        decode(codings, &Bytes::copy_from_slice(body), limit, &mut Budget::new(&limits).share())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// `hello hello hello hello` in brotli and zstd, as their own tools write them.
    const BROTLI: &[u8] = b"\x1b\x16\x00\xf8\x8d\x94\x6e\xde\x44\x55\x86\x96\x6c\x20\x6f\x21\x4f\x1c\xe0\x38";

    #[test]
    fn every_coding_is_taken_off_also_one_over_another() {
        let text = b"hello hello hello hello".as_slice();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(text).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(text).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Uncompressed);
        let (zlib, bare) = (zlib.finish().unwrap(), bare.finish().unwrap());
        let twice = gzip(&zlib);
        for (codings, body) in [
            (&[Coding::Gzip][..], gzip(text).as_slice()),
            (&[Coding::Deflate], &zlib),
            (&[Coding::Deflate], &bare),
            (&[Coding::Brotli], BROTLI),
            (&[Coding::Zstd], &zstd),
            (&[Coding::Deflate, Coding::Gzip], &twice),
        ] {
            assert_eq!(unpack(codings, body, 100), (Bytes::from_static(text), End::Whole), "{codings:?}");
            assert_eq!(unpack(codings, body, 5), (Bytes::from_static(b"hello"), End::Limit), "{codings:?}");
            let cut = unpack(codings, &body[..body.len() - 3], 100).1;
            assert!(cut == End::Broken || codings == [Coding::Deflate], "{codings:?}: {cut:?}");
            assert_eq!(unpack(codings, b"\xff\xff nothing of the kind", 100).1, End::Broken, "{codings:?}");
        }
    }

    #[test]
    fn a_bomb_is_noticed_before_it_is_unpacked() {
        let bomb = gzip(&vec![b'0'; 32 << 20]);
        let (seen, end) = unpack(&[Coding::Gzip], &bomb, 64 << 20);
        assert_eq!(end, End::Ratio);
        assert!(seen.len() <= bomb.len() * DECODED_RATIO_MAX + STEP_BYTES, "{}", seen.len());
        let small = gzip(&vec![b'0'; DECODED_RATIO_FREE_BYTES / 2]);
        assert_eq!(unpack(&[Coding::Gzip], &small, 64 << 20).1, End::Whole, "a small one harms nobody");
    }

    #[test]
    fn codings_are_read_as_they_are_written() {
        let of = |values: &[&'static str]| {
            let mut headers = Headers::new();
            for value in values {
                headers.append(&CONTENT_ENCODING, crate::head::Value::from_static(value));
            }
            codings(&headers)
        };
        assert_eq!(of(&[]), Ok(vec![]));
        assert_eq!(of(&["identity"]), Ok(vec![]));
        assert_eq!(of(&["GZip, br", " zstd"]), Ok(vec![Coding::Gzip, Coding::Brotli, Coding::Zstd]));
        assert_eq!(of(&["compress"]), Err(Unknown));
        assert_eq!(of(&["gzip, gzip, gzip, gzip"]), Err(Unknown));
    }
}
