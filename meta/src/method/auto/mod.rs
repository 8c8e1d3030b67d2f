//! Choosing a method for a problem: look at a few tasks, then decide, once, before training.
//!
//! | file | what it does |
//! |---|---|
//! | `survey` | measures: what is left of ‖∇G‖ after K steps, the ends of ∇²G's spectrum there, sizes |
//! | `decide` | a pure function of the measurements: the choice, and why |

mod choice;
mod decide;
mod survey;

pub use choice::Choice;
pub use decide::{Decision, Situation, decide};
pub use survey::Survey;
