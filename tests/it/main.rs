//! The one integration binary: what the gateway promises, tried from outside.

mod wire;
