//! One file per command; `source` and `measured` are what several share.

pub mod adapt;
pub mod compare;
pub mod daml;
pub mod demo;
pub mod derivative;
pub mod eval;
pub mod export_episode;
pub mod measured;
pub mod predict;
pub mod report;
pub mod source;
pub mod train;
pub mod verify;
