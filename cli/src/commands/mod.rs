//! One file per command.

pub mod demo;
pub mod derivative;
pub mod eval;
pub mod train;
