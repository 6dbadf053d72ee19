//! Portcullis: a security gateway, as a library for its own binary and tests. Modules in floor order, lowest first.

// F0: words everybody uses
pub mod clock;
pub mod diagnostic;
pub mod form;
pub mod head;
pub mod limits;
pub mod refusal;

// F1: what walks through the stack
pub mod message;

// F2: framing, password and group files, records
pub mod audit;
pub mod identity;
pub mod wire;

// F3: settings, questions about the trail, counters
pub mod metrics;
pub mod policy;
pub mod search;

// F4: what the layers hand to each other, certificates, the operational log
pub mod evidence;
pub mod log;
pub mod tls;

// F5: connections to backends, records on their way to other machines
pub mod ship;
pub mod upstream;

// F6: the layers; the web console, which sees the trail and never the stack
pub mod console;
pub mod layers;

// F7: the order
pub mod stack;

// F8: the running gateway
pub mod server;

// F9: the stack in process, with a scripted backend
pub mod rehearse;

// F10: the command line
pub mod cli;
