//! Differentiating through training: bi-level problems and their meta-gradients.
//!
//! ```text
//! inner objective   G(φ, θ) = L_support(φ) + ½ λ ‖φ − θ‖²
//! inner solution    φ*(θ)   = argmin_φ G(φ, θ)
//! outer objective   F(θ)    = mean over tasks of L_query(φ*(θ))
//! ```
//!
//! A [`Problem`] records G and the outer loss on a tape. A [`method::Method`] turns it into dF/dθ: by implicit
//! differentiation at the inner solution, by backpropagation through the inner steps, or by one of the
//! approximations that need neither. They share one signature, so they can be swapped and compared.
//!
//! | module | what it holds |
//! |---|---|
//! | [`problem`] | G and f on a tape; few-shot learning with a model |
//! | [`convex`] | heads and quadratics, recorded and in closed form |
//! | [`error`] | how far a meta-gradient is from the exact one |
//! | [`daml`] | a learned inner loss across a domain shift, and a world to try it in |
//! | [`inner`] | the recorded inner step: running it, and its pullback |
//! | [`linear`] | solvers of A x = b for operators that only multiply |
//! | [`method`] | meta-gradients |
//! | [`predict`] | what a network says after adaptation |
//! | [`tasks`] | reproducible streams of few-shot tasks |
//! | [`train`] | outer optimisers, the training loop, evaluation |
//! | [`tutorial`] | the ideas from the beginning, on a problem small enough to check by hand |
//! | [`verify`] | a meta-gradient every way there is, compared |

pub mod convex;
pub mod daml;
pub mod error;
pub mod inner;
pub mod linear;
pub mod method;
pub mod predict;
pub mod problem;
pub mod tasks;
pub mod train;
pub mod tutorial;
pub mod verify;

pub use method::{Method, Report};
pub use problem::{FewShot, Problem};
