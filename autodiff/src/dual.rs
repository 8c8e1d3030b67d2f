//! Dual numbers: forward-mode differentiation of plain Rust functions.
//!
//! A dual number x + ẋε, ε² = 0, carries a primal x and a tangent ẋ. Evaluating a program on duals
//! evaluates its derivative in the direction of the tangents alongside. `Dual<Dual<f64>>` nests: its
//! innermost tangent is a second derivative. This is the engine's idea in its smallest form and the
//! oracle that the tape is tested against.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::real::Real;
use crate::rules::{Binary, Unary, for_each_unary, ops};

/// x + ẋε with ε² = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual<S> {
    /// x
    pub primal: S,
    /// ẋ
    pub tangent: S,
}

impl<S: Real> Dual<S> {
    /// x + 0ε
    pub fn constant(primal: S) -> Self {
        Dual { primal, tangent: S::zero() }
    }

    /// x + 1ε
    pub fn variable(primal: S) -> Self {
        Dual { primal, tangent: S::one() }
    }

    fn unary(self, rule: impl Unary) -> Self {
        let y = rule.f(self.primal);
        Dual { primal: y, tangent: rule.df(self.primal, y) * self.tangent }
    }

    fn binary(self, other: Self, rule: impl Binary) -> Self {
        let (x, y) = (self.primal, other.primal);
        let z = rule.f(x, y);
        Dual { primal: z, tangent: rule.dfdx(x, y, z) * self.tangent + rule.dfdy(x, y, z) * other.tangent }
    }
}

macro_rules! operator {
    ($($trait:ident $method:ident),*) => {$(
        impl<S: Real> $trait for Dual<S> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.binary(other, ops::$trait)
            }
        }
    )*};
}
operator!(Add add, Sub sub, Mul mul, Div div);

impl<S: Real> Neg for Dual<S> {
    type Output = Self;
    fn neg(self) -> Self {
        Dual { primal: -self.primal, tangent: -self.tangent }
    }
}

macro_rules! dual_methods {
    ($($rule:ident $method:ident),*) => {
        impl<S: Real> Real for Dual<S> {
            type Mask = S::Mask;

            fn lit(value: f64) -> Self {
                Dual::constant(S::lit(value))
            }
            fn less(self, other: Self) -> S::Mask {
                self.primal.less(other.primal)
            }
            fn less_equal(self, other: Self) -> S::Mask {
                self.primal.less_equal(other.primal)
            }
            fn select(mask: S::Mask, yes: Self, no: Self) -> Self {
                Dual {
                    primal: S::select(mask, yes.primal, no.primal),
                    tangent: S::select(mask, yes.tangent, no.tangent),
                }
            }
            $(fn $method(self) -> Self {
                self.unary(ops::$rule)
            })*
            fn powi(self, n: i32) -> Self {
                self.unary(ops::Powi(n))
            }
            fn powf(self, y: Self) -> Self {
                self.binary(y, ops::Powf)
            }
            fn max(self, other: Self) -> Self {
                self.binary(other, ops::Max)
            }
            fn min(self, other: Self) -> Self {
                self.binary(other, ops::Min)
            }
        }
    };
}
for_each_unary!(dual_methods);

/// f′(x) of a plain function of one number.
///
/// ```
/// use autodiff::{derivative, Real};
/// assert!((derivative(|x| x.sin(), 0.3_f64) - 0.3_f64.cos()).abs() < 1e-15);
/// ```
pub fn derivative<S: Real>(f: impl Fn(Dual<S>) -> Dual<S>, x: S) -> S {
    f(Dual::variable(x)).tangent
}

/// ∇f(x) of a plain function ℝⁿ → ℝ, one evaluation per coordinate.
///
/// For more than a handful of coordinates record the function on a tape instead: see
/// [`value_and_grad`](crate::value_and_grad).
///
/// ```
/// let f = |x: &[autodiff::Dual<f64>]| x[0] * x[0] * x[1];
/// assert_eq!(autodiff::gradient(f, &[3.0, 2.0]), [12.0, 9.0]);
/// ```
pub fn gradient<S: Real>(f: impl Fn(&[Dual<S>]) -> Dual<S>, x: &[S]) -> Vec<S> {
    let mut duals: Vec<_> = x.iter().copied().map(Dual::constant).collect();
    (0..x.len())
        .map(|i| {
            duals[i].tangent = S::one();
            let derivative = f(&duals).tangent;
            duals[i].tangent = S::zero();
            derivative
        })
        .collect()
}

/// ∇²f(x) v of a plain function ℝⁿ → ℝ, by nested dual numbers: the gradient, evaluated on duals.
///
/// # Panics
/// Where `x` and `v` differ in length.
///
/// ```
/// use autodiff::Dual;
/// let f = |x: &[Dual<Dual<f64>>]| x[0] * x[0] * x[1];
/// assert_eq!(autodiff::hessian_vector(f, &[3.0, 2.0], &[1.0, 0.0]), [4.0, 6.0]);
/// ```
#[track_caller]
pub fn hessian_vector<S: Real>(f: impl Fn(&[Dual<Dual<S>>]) -> Dual<Dual<S>>, x: &[S], v: &[S]) -> Vec<S> {
    assert_eq!(x.len(), v.len(), "hessian_vector: the point has {} coordinates, the direction {}", x.len(), v.len());
    let point: Vec<_> = x.iter().zip(v).map(|(&primal, &tangent)| Dual { primal, tangent }).collect();
    gradient(f, &point).into_iter().map(|g| g.tangent).collect()
}
