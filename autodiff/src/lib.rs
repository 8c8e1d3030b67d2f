//! Automatic differentiation of any order, from scratch, compiled to plans that run without allocating.
//!
//! **One rule per operation.** Every primitive says once what it does to a *dual number* x + ẋε (ε² = 0):
//! [`rules`]. Everything else follows:
//!
//! ```text
//! forward mode      evaluate on duals                                  jvp
//! reverse mode      evaluate on duals, record, transpose               vjp, grad
//! Hessian-vector    evaluate the gradient on duals                     hvp
//! ```
//!
//! **Reading order.** [`real`] and [`dual`]: the idea on plain numbers. [`rules`]: the derivatives.
//! [`tape`]: recording. `prim`: how recorded primitives differentiate and transpose. `transform`: forward
//! and reverse mode in a page each. [`plan`]: from a tape to steps on one arena. `kernel`: the loops.
//!
//! ```
//! use autodiff::{hessian_vector, hvp, value_and_grad, Plan, Real, Stage, Tape, Var};
//!
//! // A function, written once for any number type.
//! fn rosenbrock<S: Real>(x: S, y: S) -> S {
//!     (S::one() - x).square() + S::lit(100.0) * (y - x.square()).square()
//! }
//!
//! // On plain numbers, by nested duals:
//! let by_duals = hessian_vector(|p| rosenbrock(p[0], p[1]), &[0.5, 1.0], &[1.0, 2.0]);
//!
//! // On a tape, compiled; whatever does not depend on the direction is computed once per point.
//! let tape = Tape::new();
//! let p = tape.input("p", [2], Stage::POINT);
//! let v = tape.input("v", [2], Stage::DIRECTION);
//! let at = |i: usize| p.slice(&[i], &[i + 1]).reshape([]);
//! let f = rosenbrock(at(0), at(1));
//! let plan: Plan<f64> = Plan::compile(&tape, &[hvp(f, &[p], &[(p, v)])[0]]);
//! assert_eq!(plan.evaluate(&[&[0.5, 1.0], &[1.0, 2.0]])[0], by_duals);
//! ```

pub mod check;
mod directions;
pub mod dual;
pub mod element;
pub mod functions;
#[allow(unsafe_code)] // here and nowhere else
mod kernel;
mod once;
pub mod plan;
mod prim;
pub mod real;
pub mod rules;
pub mod shape;
pub mod tape;
mod transform;

pub use directions::Directions;
pub use dual::{Dual, derivative, gradient, hessian_vector};
pub use element::Element;
pub use functions::{Linearized, hessian, jacobian, linearize, value_and_grad};
pub use kernel::{Aligned, Arg, Block, ConvGeometry, Isa, Task};
pub use plan::{Options, Plan, StepTime, Workspace};
pub use real::Real;
pub use shape::Shape;
pub use tape::{Indices, Mask, Stage, Tape, Var};
pub use transform::{Batched, grad, hvp, jvp, jvp_structural, recompute, vjp, vjp_structural, vmap, vmap_lanes};
