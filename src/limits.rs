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
/// Bytes read and dropped after an answer that the client may not have waited for, so that it sees the answer, not a reset.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Time for the same; a client on a slow line has had its answer by then.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer taken from its body before they are written, and pieces of them: what one client that reads slowly holds.
pub const ANSWER_QUEUED_BYTES_MAX: usize = 256 * 1024;
/// The pieces; a write of more would be split by the kernel's own limits no later.
pub const ANSWER_QUEUED_PIECES_MAX: usize = 28;
/// Bytes of a piece up to which it is copied behind what is written before it, which costs less than a piece of its own.
pub const ANSWER_JOINED_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a PROXY protocol line (version 1), as its specification says.
pub const PROXY_LINE_BYTES_MAX: usize = 107;
/// Bytes of addresses and values in a PROXY protocol header of version 2; balancers send a few hundred.
pub const PROXY_VALUES_BYTES_MAX: usize = 4 * 1024;
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
/// Interim answers (1xx) of a backend that are passed over before the final one.
pub const BACKEND_INTERIM_ANSWERS_MAX: usize = 16;
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

/// Rest of a backend member that could not be connected to, before it is tried again in its turn.
pub const BACKEND_MEMBER_REST: Duration = Duration::from_secs(2);
/// Least time one of several addresses of a backend gets to connect, so that a dead first one leaves time for the next.
pub const BACKEND_ADDRESS_TIMEOUT_MIN: Duration = Duration::from_millis(250);
/// How often idle backend connections are looked through for ones that are over their time.
pub const BACKEND_IDLE_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Independent idle lists per member; runtime threads share one only beyond this number.
pub const BACKEND_POOL_SHARDS: usize = 16;
/// Shortest time a looked-up address is believed, whatever its TTL: a TTL of 0 would mean a lookup per connection.
pub const RESOLVE_TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time a looked-up address is believed, whatever its TTL.
pub const RESOLVE_TTL_MAX: Duration = Duration::from_secs(86_400);
/// How long after its TTL an address still serves while the name servers fail.
pub const RESOLVE_STALE_MAX: Duration = Duration::from_secs(3_600);
/// Pause before the next lookup after one that failed.
pub const RESOLVE_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Addresses of one name that are kept.
pub const RESOLVE_ADDRESSES_MAX: usize = 16;
/// Bytes copied at once in each direction of a tunnel.
pub const TUNNEL_BUFFER_BYTES: usize = 16 * 1024;
/// Silence in both directions after which a tunnel is closed; WebSocket applications ping every minute or oftener.
pub const TUNNEL_IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often a tunnel asks whether it may go on; well below [`REMOVED_USER_TUNNEL_TIMEOUT`].
pub const TUNNEL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a certificate, key or chain file; bundles of all public authorities have about 250 KB.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Left of a certificate's life when `check`, `cert status` and the log begin to warn.
pub const CERTIFICATE_EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);
/// Bits of an RSA key below which it is refused.
pub const RSA_KEY_BITS_MIN: usize = 2048;
/// TLS sessions to backends remembered for resumption, per trust setting.
pub const BACKEND_TLS_SESSIONS_MAX: usize = 256;

/// Bytes of a user name.
pub const USER_NAME_BYTES_MAX: usize = 255;
/// Bytes of a password; argon2 and SHA-crypt read all of it, so it is bounded before hashing.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Cheapest bcrypt cost the algorithm has.
pub const BCRYPT_COST_MIN: u32 = 4;
/// Costliest bcrypt in a users file, Apache's own `htpasswd` limit: about seven seconds of a core.
pub const BCRYPT_COST_MAX: u32 = 17;
/// bcrypt cost of new hashes: about 0.2 s of a core, once per user and cache lifetime.
pub const BCRYPT_COST_NEW: u32 = 12;
/// Fewest rounds of `$5$` and `$6$` (crypt(5)).
pub const SHA_CRYPT_ROUNDS_MIN: u32 = 1_000;
/// Most rounds of `$5$` and `$6$` in a users file: about a second of a core.
pub const SHA_CRYPT_ROUNDS_MAX: u32 = 1_000_000;
/// Rounds of new `$6$` hashes: about 0.1 s of a core.
pub const SHA_CRYPT_ROUNDS_NEW: u32 = 100_000;
/// Most memory of an argon2id hash in a users file, in KiB; every hashing thread may hold that much.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most passes of an argon2id hash in a users file.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Most lanes of an argon2id hash in a users file; ours run one after the other.
pub const ARGON2_LANES_MAX: u32 = 16;
/// Memory of new argon2id hashes in KiB, OWASP's recommendation.
pub const ARGON2_MEMORY_KIB_NEW: u32 = 19 * 1024;
/// Passes of new argon2id hashes, OWASP's recommendation.
pub const ARGON2_PASSES_NEW: u32 = 2;
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
/// Time after which a failed login is forgotten, where the back-off it caused does not last longer.
pub const BACKOFF_MEMORY: Duration = Duration::from_secs(15 * 60);
/// Failed logins of one user, over all addresses, before further guesses at that user are slowed.
pub const USER_FAILURES_BEFORE_DELAY: u32 = 10;
/// The first delay of such a guess; it doubles with every failure.
pub const USER_DELAY_MIN: Duration = Duration::from_millis(50);
/// The longest delay of such a guess: a correct password from elsewhere waits this long at most, and is not refused.
pub const USER_DELAY_MAX: Duration = Duration::from_secs(2);
/// How often password and group files are looked at for changes.
pub const AUTH_FILES_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Within this time after a user is removed, tunnels and streams of that user end.
pub const REMOVED_USER_TUNNEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a password or group file.
pub const AUTH_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of the form in which somebody asks for an account.
pub const ACCOUNT_FORM_BYTES_MAX: usize = 8 * 1024;
/// Time in which such a form has to be sent back.
pub const ACCOUNT_FORM_LIFETIME: Duration = Duration::from_secs(3_600);
/// Characters of the name that a person gives for themselves.
pub const ACCOUNT_NAME_CHARACTERS_MAX: usize = 100;
/// Characters of what they say beside it.
pub const ACCOUNT_MESSAGE_CHARACTERS_MAX: usize = 500;
/// Fewest characters of a password, where the policy does not say: NIST SP 800-63B asks for fifteen where nothing else proves who it
/// is, and for eight where something does; a gateway slows guesses.
pub const ACCOUNT_PASSWORD_CHARACTERS_MIN: usize = 12;
/// Account requests from one address (IPv6: one /64) in an hour.
pub const ACCOUNT_REQUESTS_PER_ADDRESS_PER_HOUR: u32 = 5;
/// Account requests of one site in an hour: each costs a hash of [`BCRYPT_COST_NEW`].
pub const ACCOUNT_REQUESTS_PER_HOUR: u32 = 60;
/// Looks at the page, and forms with mistakes, from one address in a minute.
pub const ACCOUNT_PAGES_PER_MINUTE: u32 = 60;
/// Account requests of one site that wait.
pub const ACCOUNT_WAITING_MAX: usize = 100;
/// Days after which an account request that nobody answered is forgotten.
pub const ACCOUNT_EXPIRE_DAYS: u64 = 30;
/// Account requests of all sites that wait, and answers on their way into the trail.
pub const ACCOUNT_QUEUE_MAX: usize = 10_000;
/// Time for the trail to take an answer down before it is told again a second later.
pub const ACCOUNT_RECORD_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of the file they stand in: a request has about 500.
pub const ACCOUNT_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Keys of the rate limiter before new ones share the bucket of their network.
pub const RATE_KEYS_MAX: usize = 100_000;

/// Bytes of a request body held for inspection, ModSecurity's recommended `SecRequestBodyLimit`.
pub const INSPECTED_REQUEST_BODY_BYTES_MAX: usize = 13_107_200;
/// The same where the body has no files, and of everything but the files where it has: ModSecurity's own default of
/// `SecRequestBodyNoFilesLimit`. A form or a JSON document is seldom longer.
pub const INSPECTED_REQUEST_BODY_NO_FILES_BYTES_MAX: usize = 1_048_576;
/// First bytes of each uploaded file that are inspected; the rest streams past.
pub const INSPECTED_FILE_BYTES_MAX: usize = 256 * 1024;
/// First bytes of a body of an unknown type in which a control character means that it is no text.
pub const BODY_SNIFF_BYTES: usize = 512;
/// Bytes of a response body held for inspection, ModSecurity's `SecResponseBodyLimit`.
pub const INSPECTED_RESPONSE_BODY_BYTES_MAX: usize = 524_288;
/// Bytes held in memory for inspection over all requests; what comes beyond goes to unlinked files.
pub const INSPECTION_MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes held in unlinked files for inspection over all requests.
pub const INSPECTION_DISK_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Time a body that was held in a file waits for memory to be inspected in.
pub const INSPECTION_MEMORY_WAIT: Duration = Duration::from_secs(5);
/// Bytes of head and body that are inspected on the event loop; more goes to threads of their own. At the hundred nanoseconds a
/// byte that a large rule set may take, this is under a millisecond.
pub const INSPECTION_INLINE_BYTES_MAX: usize = 8 * 1024;
/// Inputs waiting for such a thread; each holds a body.
pub const INSPECTION_QUEUE_MAX: usize = 1_024;
/// Time a stop waits for inputs that are still looked at; their records are written then.
pub const INSPECTION_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How many times more than what came in may come out of a content coding. Text gives 5 to 20; deflate's most is 1,032.
pub const DECODED_RATIO_MAX: usize = 100;
/// Bytes that may come out whatever came in: small documents of one repeated character are no bombs.
pub const DECODED_RATIO_FREE_BYTES: usize = 64 * 1024;
/// Content codings one over another; senders use one.
pub const CODINGS_MAX: usize = 3;
/// Window of a zstd decoder, in bytes: RFC 9659 allows 8 MB on the web.
pub const DECODER_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Silence after which a response that is held for inspection is let go and followed instead: it is a stream.
pub const RESPONSE_HOLD_SILENCE: Duration = Duration::from_secs(1);
/// Time after which it is let go although bytes come.
pub const RESPONSE_HOLD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a block list's answer; without one an address is not listed.
pub const RBL_TIMEOUT: Duration = Duration::from_secs(1);
/// Shortest time an answer is believed; a list with shorter TTLs would be asked for every request.
pub const RBL_TTL_MIN: Duration = Duration::from_secs(60);
/// Longest time an answer is believed.
pub const RBL_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Pause before a list that did not answer is asked again for the same address.
pub const RBL_RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Answers of block lists that are remembered.
pub const RBL_NAMES_MAX: usize = 50_000;
/// Bytes of a database of places: the largest city databases have a few hundred megabytes.
pub const GEO_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Records of persistent collections over all rule sets.
pub const COLLECTIONS_RECORDS_MAX: usize = 100_000;
/// Bytes of these records; the least recently stored go first.
pub const COLLECTIONS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Parts of the persistent collections, each behind a lock of its own.
pub const COLLECTION_SHARDS: usize = 16;

/// `[[exclusion]]`s of one policy: each is looked at for every request of its site.
pub const EXCLUSIONS_MAX: usize = 10_000;
/// Entries of `variables` at one level; the Core Rule Set has about sixty settings.
pub const RULE_VARIABLES_MAX: usize = 200;
/// Bytes of a name or value in `variables`; the longest of the Core Rule Set has 600.
pub const RULE_VARIABLE_BYTES_MAX: usize = 8 * 1024;

/// Bytes of any one field of an audit record; longer text is cut and says so.
pub const RECORD_FIELD_BYTES_MAX: usize = 4 * 1024;
/// Rules named in one audit record; what comes after them is counted only by the score.
pub const RECORD_RULES_MAX: usize = 64;
/// Bytes of records waiting for the disk.
pub const AUDIT_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one audit file before the next is begun.
pub const AUDIT_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Series of one metric that a thread counts apart; what comes under further labels is counted together.
pub const METRIC_SERIES_MAX: usize = 4096;

/// Bytes of `gateway.toml`: thousands of sites fit; more is a wrong file.
pub const POLICY_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Mistakes shown for one `gateway.toml`: nobody reads on, and a wrong file may have one in every line.
pub const POLICY_FILE_DIAGNOSTICS_MAX: usize = 500;
/// Bytes of a `replace_credentials_file`: one user name and password.
pub const CREDENTIALS_FILE_BYTES_MAX: u64 = 4 * 1024;
/// Requests without credentials per minute and address: a page of a hundred parts loads before its login is known.
pub const UNAUTHENTICATED_PER_MINUTE: u32 = 120;
/// Wrong passwords per user and address before waiting begins: people mistype a few times.
pub const LOGIN_FAILURES_BEFORE_BACKOFF: u32 = 5;
/// The longest wait after wrong passwords: 288 guesses a day are none.
pub const LOGIN_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Headers and notes, tags or groups named in one audit record.
pub const RECORD_LIST_MAX: usize = 64;
/// Bytes of one line of an audit file that a reader takes for a record; far above what the writer can make.
pub const RECORD_LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of text in one block of a compressed audit file: what must be unpacked to show one record.
pub const CLOSED_BLOCK_BYTES: usize = 256 * 1024;
/// Bytes of the file being written that are read for every question before the index takes them in: about 50 ms.
pub const AUDIT_INDEX_TAIL_BYTES: u64 = 16 * 1024 * 1024;
/// Time from a record's arrival in an idle queue to its commit: how long records gather for one write.
pub const AUDIT_COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// Time between forced writes to the disk (`fdatasync`) while records come.
pub const AUDIT_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Time between signed checkpoints of the audit trail while records come: what an intruder could rewrite without the key.
pub const AUDIT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of records in the spill folder: an hour of a busy gateway, less than would fill a small disk.
pub const AUDIT_SPILL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Time between tries to leave the spill folder.
pub const AUDIT_SPILL_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of the file with the copies of signed lines before it gives way to a new one; the one before it is kept.
pub const AUDIT_HEADS_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Fewest requests that a killed process may have begun unseen: an idle gateway declares no more than these.
pub const AUDIT_RESERVE_MIN: u64 = 8;
/// Most such requests: the reserve follows the traffic up to here.
pub const AUDIT_RESERVE_MAX: u64 = 4096;
/// Refusals before auth written one by one, per second and address (IPv6: one /64); an office behind one address stays below.
pub const FLOOD_RECORDS_PER_SECOND: u32 = 20;
/// Seconds of that rate that may come at once.
pub const FLOOD_BURST_SECONDS: u32 = 10;
/// Bytes of such records per second over all addresses: 22 GB a day at the worst.
pub const FLOOD_RECORD_BYTES_PER_SECOND: u32 = 256 * 1024;
/// Time for which refusals are merged before their flood record is written.
pub const FLOOD_WINDOW: Duration = Duration::from_secs(10);
/// Addresses that are told apart within one window; what comes from others is counted together.
pub const FLOOD_ADDRESSES_MAX: usize = 256;
/// Samples in a flood record.
pub const FLOOD_SAMPLES_MAX: usize = 5;
/// Bytes of any one text in such a sample.
pub const FLOOD_SAMPLE_TEXT_BYTES_MAX: usize = 256;
/// Receivers of the trail's records; each is a thread and a connection.
pub const AUDIT_SHIP_RECEIVERS_MAX: usize = 16;
/// Records sent to a receiver at once.
pub const AUDIT_SHIP_BATCH_RECORDS_MAX: usize = 512;
/// Bytes of records, in the receiver's form, that are sent at once and held in memory until then. One record may exceed it.
pub const AUDIT_SHIP_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one syslog message; what is longer is cut. Receivers take 2 to 8 KB unless told otherwise (RFC 5425 section 4.3.1).
pub const AUDIT_SHIP_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one syslog message over UDP: what a datagram holds, less some for headers.
pub const AUDIT_SHIP_DATAGRAM_BYTES_MAX: usize = 65_000;
/// Time between two looks for new records.
pub const AUDIT_SHIP_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Time between two savings of a receiver's place; what was sent since comes again after a crash.
pub const AUDIT_SHIP_SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which what was sent by syslog, which has no acknowledgement, counts as received while the connection stands.
pub const AUDIT_SHIP_DOUBT: Duration = Duration::from_secs(5);
/// Time to connect to a receiver, TLS included.
pub const AUDIT_SHIP_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a batch to be taken, and for the answer to it.
pub const AUDIT_SHIP_SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that a stop or a reload waits for a receiver to take what is under way.
pub const AUDIT_SHIP_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause after a receiver failed; it doubles with every failure.
pub const AUDIT_SHIP_PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest such pause.
pub const AUDIT_SHIP_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest pause that a receiver may ask for with `Retry-After`.
pub const AUDIT_SHIP_RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// Bytes of a receiver's answer that are read.
pub const AUDIT_SHIP_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Time between tries while the disk refuses records.
pub const AUDIT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Time a stop waits for a disk that refuses the last records.
pub const AUDIT_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two looks for what the index does not have.
pub const AUDIT_INDEX_INTERVAL: Duration = Duration::from_secs(5);
/// Memory in which the running gateway builds parts of the index.
pub const AUDIT_INDEX_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Sessions of the console open at once; the one that was not seen longest ends for a new one.
pub const CONSOLE_SESSIONS_MAX: usize = 256;
/// Silence after which a session of the console ends.
pub const CONSOLE_SESSION_IDLE_MAX: Duration = Duration::from_secs(3_600);
/// Time after which a session of the console ends however busy it is: a working day.
pub const CONSOLE_SESSION_LIFETIME_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Passwords that the console checks at once; each takes a thread and the hash's memory.
pub const CONSOLE_CHECKS_MAX: usize = 4;
/// Bytes of a form sent to the console.
pub const CONSOLE_FORM_BYTES_MAX: usize = 16 * 1024;
/// Time for such a form to arrive.
pub const CONSOLE_FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions that the console answers at once; each takes a thread or two.
pub const CONSOLE_ANSWERS_MAX: usize = 4;
/// Connections to the admin listener.
pub const ADMIN_CONNECTIONS_MAX: usize = 128;
/// Time between two checks of what is new in the trail.
pub const CHAIN_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How many times as long as it works such a check rests: it takes a fifth of a core at most.
pub const CHAIN_CHECK_REST: u32 = 4;
/// Bytes of a note on a group of events.
pub const REVIEW_NOTE_BYTES_MAX: usize = 2_000;
/// Bytes of the file of marks and notes: some fifty thousand of them.
pub const REVIEWS_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
