//! Every bound on what a stranger or a backend can make us hold, wait for or do: a name with its unit, a number, a reason.

use std::time::Duration;

/// Bytes of one request line. Browsers and proxies agree on about 8 KB; longer is 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of one request head, request line included. Kerberos tickets in headers reach 48 KB; longer is 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header lines of one request, Apache's `LimitRequestFields` default.
pub const HEADERS_MAX: usize = 100;
/// Bytes of the trailer section of a chunked body.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Bytes of one chunk-size line with its extensions.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Time for a whole head to arrive, from its first byte (or from the handshake).
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence allowed on a kept-alive connection between requests.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Silence allowed inside a request body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Slowest body allowed, measured over the whole body after a grace of [`BODY_TIMEOUT`].
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 250;
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a response may wait for the client to read on.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections over all listeners.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Connections from one address (IPv6: one /64). Offices share an address, so this is generous.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 512;
/// Time that a stop or reload waits for requests in flight.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// HTTP/2 streams open at once on a connection (RFC 9113 section 6.5.2).
pub const H2_CONCURRENT_STREAMS_MAX: u32 = 128;
/// HTTP/2 header list after decompression.
pub const H2_HEADER_LIST_BYTES_MAX: u32 = HEAD_BYTES_MAX as u32;
/// HTTP/2 flow-control window of a stream.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// HTTP/2 flow-control window of a connection.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// HTTP/2 frame size.
pub const H2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// HTTP/2 bytes of a stream waiting to be sent.
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// HTTP/2 streams reset before they were served (rapid reset, CVE-2023-44487).
pub const H2_PENDING_RESET_STREAMS_MAX: usize = 20;
/// HTTP/2 streams that we reset for protocol errors of the client (CVE-2025-8671).
pub const H2_LOCAL_ERROR_RESET_STREAMS_MAX: usize = 64;
/// HTTP/2 ping interval on a silent connection.
pub const H2_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Time for the answer to such a ping.
pub const H2_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Hops named in Via before a request counts as looping.
pub const VIA_HOPS_MAX: usize = 10;
/// Bytes of a response head from a backend.
pub const BACKEND_HEAD_BYTES_MAX: usize = 256 * 1024;
/// Header lines of a response from a backend.
pub const BACKEND_HEADERS_MAX: usize = 200;
/// Time to connect to a backend, TLS included.
pub const BACKEND_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a backend's response head, from the end of the request.
pub const BACKEND_HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Silence allowed between bytes of a backend (Apache's `ProxyTimeout`).
pub const BACKEND_BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle backend connections kept per member and runtime thread.
pub const BACKEND_IDLE_CONNECTIONS_MAX: usize = 64;
/// Time an idle backend connection is kept; below the 60 s (nginx 75, Apache 5) after which servers close.
pub const BACKEND_IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Connections to one backend member, over all threads.
pub const BACKEND_CONNECTIONS_MAX: usize = 1024;
/// Time a request waits for a free backend connection under the cap.
pub const BACKEND_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a user name.
pub const USER_NAME_BYTES_MAX: usize = 255;
/// Bytes of a password; argon2 and SHA-crypt read all of it, so it is bounded before hashing.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Proven credentials remembered at once.
pub const PROVEN_CREDENTIALS_MAX: usize = 20_000;
/// How long a proven credential is remembered.
pub const PROVEN_CREDENTIALS_LIFETIME: Duration = Duration::from_secs(300);
/// Password hashes waiting for a worker, over all addresses.
pub const HASH_QUEUE_MAX: usize = 256;
/// Password hashes waiting for a worker from one address (IPv6: one /64).
pub const HASH_QUEUE_PER_ADDRESS_MAX: usize = 8;
/// Keys remembered by login back-off and the counter of requests without credentials.
pub const BACKOFF_KEYS_MAX: usize = 65_536;
/// How often password and group files are looked at for changes.
pub const AUTH_FILES_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Within this time after a user is removed, tunnels and streams of that user end.
pub const REMOVED_USER_TUNNEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a password or group file.
pub const AUTH_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Keys of the rate limiter before new ones share the bucket of their network.
pub const RATE_KEYS_MAX: usize = 100_000;

/// Bytes of a request body held for inspection, ModSecurity's recommended `SecRequestBodyLimit`.
pub const INSPECTED_REQUEST_BODY_BYTES_MAX: usize = 13_107_200;
/// The same where the body has no files, `SecRequestBodyNoFilesLimit`.
pub const INSPECTED_REQUEST_BODY_NO_FILES_BYTES_MAX: usize = 131_072;
/// Bytes of a response body held for inspection, ModSecurity's `SecResponseBodyLimit`.
pub const INSPECTED_RESPONSE_BODY_BYTES_MAX: usize = 524_288;
/// Bytes held for inspection over all requests.
pub const INSPECTION_MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of any one field of an audit record; longer text is cut and says so.
pub const RECORD_FIELD_BYTES_MAX: usize = 4 * 1024;
/// Bytes of records waiting for the disk.
pub const AUDIT_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one audit file before the next is begun.
pub const AUDIT_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Rules named in one audit record; what comes after them is counted only by the score.
pub const RECORD_RULES_MAX: usize = 64;
/// Headers and notes, tags or groups named in one audit record.
pub const RECORD_LIST_MAX: usize = 64;
/// Bytes of one line of an audit file that a reader takes for a record; far above what the writer can make.
pub const RECORD_LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Time from a record's arrival in an idle queue to its commit: how long records gather for one write.
pub const AUDIT_COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// Time between forced writes to the disk (`fdatasync`) while records come.
pub const AUDIT_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Time between tries while the disk refuses records.
pub const AUDIT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Time a stop waits for a disk that refuses the last records.
pub const AUDIT_STOP_TIMEOUT: Duration = Duration::from_secs(5);
