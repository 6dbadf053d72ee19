//! What rules do, one promise a test (the reference manual's words, as ModSecurity 2 keeps them).
