//! Elementary functions as polynomials of our own, for [`f32`](single) and [`f64`](double).
//!
//! Every function is scalar, `#[inline(always)]` and a straight line of additions, multiplications, divisions, integer
//! operations on the bits and selects: no branch, no table, no call, no fused multiply-add. So
//! - a loop over a slice that calls one vectorises for whatever the enclosing `#[target_feature]` function allows, and
//! - the result is the same bits on every machine, in every instruction set and in every lane.
//!
//! The pattern is always the same: *reduce* the argument to a small interval around 0, *evaluate* a polynomial there,
//! *reconstruct*. The largest term of the last sum is exact or nearly so and everything that was rounded before is much
//! smaller than it, which keeps the error close to the half ulp nobody can avoid. `tools/polynomials.py` makes the
//! coefficients; `tools/math_reference.py` makes `reference.csv`, the truth that the tests measure against.
//!
//! Errors are in ulps, units in the last place of the exact result, and measured. Those stated for `f32` are the largest
//! over every argument with 2⁻¹⁴ ≤ |x| < 2⁷, where these functions do their work, and every 61st elsewhere; those for `f64`
//! the largest on 10⁵ random arguments per function, against 34 digits.
//! Unless a function says otherwise, NaN gives NaN, ±∞ the limit, a result too large ±∞, and a result below the normal
//! numbers the rounded subnormal; odd functions keep the sign of zero.
//!
//! Only `f64`'s [`powf`](double::powf) and the sines of any range, which no vector loop calls, branch; and [`powi`] does, the
//! same way for every lane.

use crate::real::Real;

/// c₀ + c₁ z + c₂ z² + …, by Horner's rule, as one expression: nothing is left for a loop optimiser to miss.
macro_rules! horner {
    ($z:expr, $c:expr $(,)?) => { $c };
    ($z:expr, $c:expr, $($rest:expr),+ $(,)?) => { $c + $z * horner!($z, $($rest),+) };
}

pub mod double;
pub mod single;

#[cfg(test)]
mod tests;

/// xⁿ of each lane, by squaring and multiplying; a negative power is the reciprocal of the positive one.
///
/// The loop over the digits of n is around the lanes, which are vectors that way.
#[inline(always)]
pub fn powi<S: Real, const LANES: usize>(mut base: [S; LANES], n: i32) -> [S; LANES] {
    let (mut k, mut y) = (n.unsigned_abs(), [S::one(); LANES]);
    while k > 0 {
        if k & 1 == 1 {
            y.iter_mut().zip(&base).for_each(|(y, &x)| *y = *y * x);
        }
        base.iter_mut().for_each(|x| *x = *x * *x);
        k >>= 1;
    }
    if n < 0 {
        y.iter_mut().for_each(|y| *y = S::one() / *y);
    }
    y
}
