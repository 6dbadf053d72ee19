//! The `portcullis` binary.

use mimalloc::MiMalloc;
use std::process::ExitCode;

// hyper and rustls allocate a handful of times per request; this allocator makes that cheap (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
