//! The language's syntax: text in, directives with their places out.

pub mod action_list;
pub mod ast;
pub mod directive;
mod lexer;
pub mod parser;
pub mod target;
pub mod text;
