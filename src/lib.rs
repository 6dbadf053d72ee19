//! Portcullis: a security gateway, as a library for its own binary and tests. Modules in floor order, lowest first.

// F0: words everybody uses
pub mod clock;
pub mod diagnostic;
pub mod head;
pub mod limits;
pub mod message;
pub mod refusal;

// F1: settings, records, framing
pub mod audit;
pub mod identity;
pub mod policy;
pub mod wire;

// F3: what the layers hand to each other, certificates
pub mod evidence;
pub mod tls;

// F4: connections to backends
pub mod upstream;

// F5: the layers
pub mod layers;
