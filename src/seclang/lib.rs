//! SecLang.
