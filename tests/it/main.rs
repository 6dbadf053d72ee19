//! tests
fn x() {}
