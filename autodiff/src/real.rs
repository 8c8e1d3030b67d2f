//! The number types a rule can be evaluated on.
//!
//! A derivative rule is written once, generic over [`Real`]. Evaluated on `f32` or `f64` it is a
//! kernel; on [`Dual`](crate::Dual) it differentiates a plain Rust function; on the tape's
//! [`Var`](crate::Var) it *records*. So that rules with branches record too, `Real` has no ordering:
//! a comparison gives a mask and [`select`](Real::select) chooses.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::kernel::math;

/// A real number, or something that stands for one.
///
/// # Example
/// ```
/// use autodiff::{Dual, Real};
/// fn f<S: Real>(x: S) -> S { x.tanh() * x }
/// let y = f(Dual { primal: 0.5_f64, tangent: 1.0 });
/// assert_eq!(y.primal, f(0.5_f64));
/// assert!((y.tangent - (0.5 * (1.0 - 0.5_f64.tanh().powi(2)) + 0.5_f64.tanh())).abs() < 1e-15);
/// ```
pub trait Real:
    Copy + Debug + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// What a comparison gives.
    type Mask: Copy;

    /// The number `value`.
    fn lit(value: f64) -> Self;
    /// Whether `self < other`; false where either is NaN.
    fn less(self, other: Self) -> Self::Mask;
    /// Whether `self ≤ other`; false where either is NaN.
    fn less_equal(self, other: Self) -> Self::Mask;
    /// `yes` where the mask holds, `no` elsewhere.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// eˣ
    fn exp(self) -> Self;
    /// eˣ − 1, accurate near 0
    fn exp_m1(self) -> Self;
    /// natural logarithm
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0
    fn ln_1p(self) -> Self;
    /// √x
    fn sqrt(self) -> Self;
    /// sin x
    fn sin(self) -> Self;
    /// cos x
    fn cos(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// 1 / (1 + e⁻ˣ)
    fn sigmoid(self) -> Self;
    /// ln(1 + eˣ)
    fn softplus(self) -> Self;
    /// 2/√π ∫₀ˣ e^(−t²) dt
    fn erf(self) -> Self;
    /// 1 − erf x, accurate where erf x is near 1
    fn erfc(self) -> Self;
    /// |x|, with derivative 0 at 0
    fn abs(self) -> Self;
    /// 1 / x
    fn recip(self) -> Self;
    /// xⁿ for an integer n
    fn powi(self, n: i32) -> Self;
    /// xʸ for x > 0
    fn powf(self, y: Self) -> Self;
    /// the larger; a NaN on either side is kept; at a tie the derivative goes to `self`
    fn max(self, other: Self) -> Self;
    /// the smaller; a NaN on either side is kept; at a tie the derivative goes to `self`
    fn min(self, other: Self) -> Self;

    /// The number 0.
    fn zero() -> Self {
        Self::lit(0.0)
    }
    /// The number 1.
    fn one() -> Self {
        Self::lit(1.0)
    }
    /// x²
    fn square(self) -> Self {
        self * self
    }
    /// max(x, 0), with derivative 0 at 0; NaN is kept.
    fn relu(self) -> Self {
        Self::select(self.less_equal(Self::zero()), Self::zero(), self)
    }
    /// x Φ(x), Φ the standard normal distribution function (Hendrycks & Gimpel 2016; the exact form).
    /// Φ(x) = ½ erfc(−x/√2) keeps full relative precision in the left tail.
    fn gelu(self) -> Self {
        self * ((-self * Self::lit(std::f64::consts::FRAC_1_SQRT_2)).erfc() * Self::lit(0.5))
    }
}

macro_rules! float_is_real {
    ($float:ident, $math:ident) => {
        impl Real for $float {
            type Mask = bool;

            #[inline(always)]
            fn lit(value: f64) -> Self {
                value as $float
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self < other
            }
            #[inline(always)]
            fn less_equal(self, other: Self) -> bool {
                self <= other
            }
            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }
            #[inline(always)]
            fn exp(self) -> Self {
                math::$math::exp(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                math::$math::expm1(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                math::$math::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                math::$math::log1p(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline(always)]
            fn sin(self) -> Self {
                math::$math::sin_any_range(self)
            }
            #[inline(always)]
            fn cos(self) -> Self {
                math::$math::cos_any_range(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                math::$math::tanh(self)
            }
            #[inline(always)]
            fn sigmoid(self) -> Self {
                math::$math::sigmoid(self)
            }
            #[inline(always)]
            fn softplus(self) -> Self {
                math::$math::softplus(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                math::$math::erf(self)
            }
            #[inline(always)]
            fn erfc(self) -> Self {
                math::$math::erfc(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline(always)]
            fn recip(self) -> Self {
                1.0 / self
            }
            #[inline(always)]
            fn powi(self, n: i32) -> Self {
                let [y] = math::powi([self], n);
                y
            }
            #[inline(always)]
            fn powf(self, y: Self) -> Self {
                math::$math::powf(self, y)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // The comparison is false for NaN; adding keeps whichever side is NaN.
                let larger = if self < other { other } else { self };
                if self.is_nan() | other.is_nan() { self + other } else { larger }
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                let smaller = if other < self { other } else { self };
                if self.is_nan() | other.is_nan() { self + other } else { smaller }
            }
        }
    };
}

float_is_real!(f32, single);
float_is_real!(f64, double);
