//! Rehearsals: requests through the real wire and stack in process, or against a running gateway, and what came of them.

mod answer;
pub mod backend;
mod coverage;
pub mod event;
pub mod ftw;
mod live;
mod setup;
mod suite;

pub use coverage::{Coverage, FileCoverage};
pub use live::{Live, Url};
pub use setup::{Scene, Setup, SetupError};
pub use suite::{Outcome, Place, Settings, StageOutcome, Status, run};
