//! The inner level: its steps, its curvature, its solvers.

mod adaptation;
mod curvature;
mod minibatch;
mod quadratic;
mod rate;
mod solvers;
mod steps;
mod task;
