//! The layers, in the order in which `stack` walks them. No layer knows another.

pub mod account_requests;
pub mod audit_wrap;
pub mod basic_auth;
pub mod door;
pub mod error_mask;
pub mod forwarding;
pub mod inspection;
pub mod ntlm_block;
pub mod rate_limit;
