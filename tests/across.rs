//! Tests across the crates, a file a subject: `cargo test -p integration SUBJECT` runs those of one.

mod abreast;
mod auto;
mod certificates;
mod daml;
mod estimates;
mod implicit_solves;
mod inner;
mod learned;
mod meta_gradients;
mod methods;
mod networks;
mod not_finite;
mod programs;
mod solvers;
mod verify;
