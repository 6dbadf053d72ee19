//! Every limit of this crate: its name with the unit, its number, and why it is that number.

/// Bytes of one rule file. The largest file of the Core Rule Set has 205 KB; spans are 32 bits wide.
pub const RULE_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How deep `Include` may nest: deeper is a loop in practice.
pub const INCLUDE_DEPTH_MAX: usize = 16;

/// Files one load may read, so that a wildcard over the wrong folder ends.
pub const RULE_FILES_MAX: usize = 4_096;

/// Diagnostics kept by one load: behind a thousand nobody reads on.
pub const DIAGNOSTICS_MAX: usize = 1_000;

/// Rules of one set. Ten times all of the Core Rule Set with its plugins.
pub const RULES_MAX: usize = 100_000;

/// Links of one chain. The Core Rule Set uses four.
pub const CHAIN_LINKS_MAX: usize = 64;

/// Bytes of one macro expansion: a rule may repeat `%{request_body}`.
pub const EXPANSION_BYTES_MAX: usize = 64 * 1024;

/// Variables of one TX or persistent collection, and bytes of one of their values: rules may derive names from what a client sends.
pub const COLLECTION_VARIABLES_MAX: usize = 4_096;
/// See [`COLLECTION_VARIABLES_MAX`].
pub const COLLECTION_VALUE_BYTES_MAX: usize = 64 * 1024;

/// Values one rule may see: larger collections are cut with an engine error, never silently.
pub const VALUES_PER_RULE_MAX: usize = 20_000;

/// Match records of one transaction: a thousand arguments that match fifty rules must not fill the audit trail.
pub const MATCHES_MAX: usize = 1_000;

/// Match records of one rule in one phase: the reviewer needs examples, not all of them.
pub const MATCHES_PER_RULE_MAX: usize = 32;

/// Engine errors kept by one transaction; the count goes on.
pub const ENGINE_ERRORS_MAX: usize = 100;

/// Bytes of a matched value, of a message, and of log data kept in a match record.
pub const RECORD_BYTES_MAX: usize = 1_024;

/// Entries of `MATCHED_VARS`.
pub const MATCHED_VARS_MAX: usize = 1_000;

/// Fuel of one transaction, in bytes looked at times rules. A 128 KiB body against 700 rules with four transformations each
/// needs 370 million; at a byte a nanosecond this is four seconds.
pub const FUEL_MAX: u64 = 4_000_000_000;

/// What an operator run costs beyond the bytes of its value.
pub const FUEL_PER_RUN: u64 = 16;

/// Heads of requests that a thread remembers, for each what operators may match its common values; the most headers and the most bytes of names
/// and common values that a head may have. With their answers these are some ten kilobytes each.
pub const COMMON_HEADS: usize = 256;
/// See [`COMMON_HEADS`].
pub const COMMON_HEADERS_MAX: usize = 128;
/// See [`COMMON_HEADS`].
pub const COMMON_HEAD_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a piece of memory that a transaction's short texts share, and the longest text that goes into one.
pub const ARENA_PIECE_BYTES: usize = 4 * 1024;
/// See [`ARENA_PIECE_BYTES`].
pub const ARENA_TEXT_BYTES_MAX: usize = 1024;

/// Texts that a thread remembers from transaction to transaction, the longest of them, how many links each is remembered not to match, and how many
/// transformations each has gone through: with their answers less than a megabyte.
pub const MEMO_SLOTS: usize = 1024;
/// See [`MEMO_SLOTS`].
pub const MEMO_TEXT_BYTES_MAX: usize = 256;
/// See [`MEMO_SLOTS`].
pub const MEMO_REFUSED_MAX: usize = 48;
/// See [`MEMO_SLOTS`].
pub const MEMO_MADE_MAX: usize = 16;
/// Bytes of transformed values that the matching plan keeps of one transaction; behind it the rest is matched the plain way. A
/// 1 MiB form changes five times at most in the Core Rule Set.
pub const PLAN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Default of `SecRequestBodyLimit`, in bytes, as in ModSecurity 2.
pub const REQUEST_BODY_BYTES: u64 = 134_217_728;

/// Default of `SecRequestBodyNoFilesLimit`, in bytes, as in ModSecurity 2.
pub const REQUEST_BODY_NO_FILES_BYTES: u64 = 1_048_576;

/// Default of `SecResponseBodyLimit`, in bytes, as in ModSecurity 2.
pub const RESPONSE_BODY_BYTES: u64 = 524_288;

/// The largest value the body limits may be set to, in bytes: 1 GiB, as in ModSecurity 2.
pub const BODY_BYTES_MAX: u64 = 1_073_741_824;

/// Default of `SecArgumentsLimit`.
pub const ARGUMENTS_MAX: usize = 1_000;

/// Default of `SecRequestBodyJsonDepthLimit`.
pub const JSON_DEPTH_MAX: usize = 512;

/// Default of `SecUploadFileLimit`.
pub const UPLOAD_FILES_MAX: usize = 100;

/// Cookies of one request: browsers keep at most 180 of one site.
pub const COOKIES_MAX: usize = 1_000;

/// Default of `SecCollectionTimeout`, in seconds.
pub const COLLECTION_TIMEOUT_SECONDS: u64 = 3_600;

/// Records the in-memory [`crate::collections::MemoryCollections`] holds before the least recently used go.
pub const MEMORY_RECORDS_MAX: usize = 100_000;

/// Bytes of these records together.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a persistent collection's key.
pub const COLLECTION_KEY_BYTES_MAX: usize = 512;

/// Bytes of a pattern of `@rx` that is built while a transaction runs, because it holds macros: building is slow.
pub const DYNAMIC_PATTERN_BYTES_MAX: usize = 1_024;

/// Different such patterns in one transaction.
pub const DYNAMIC_PATTERNS_MAX: usize = 16;

/// Names one transaction may have resolved for `@rbl`: each costs a round trip.
pub const DNS_NAMES_MAX: usize = 16;

/// Bytes of a value that `@detectSQLi` and `@detectXSS` examine: as many as a form field may have by default. A longer value is an engine
/// error. Both take at most some tens of nanoseconds a byte (docs/seclang.md).
pub const INJECTION_BYTES_MAX: usize = 1024 * 1024;
