//! The `portcullis` binary.

use mimalloc::MiMalloc;
use std::process::ExitCode;

// A request allocates a few dozen times; this allocator makes that cheap (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
