//! Elementary functions of an `f32`; the twins of those in [`double`], where the reasoning is written out.
//!
//! Everything a network runs on (exp, ln and what is made of them, tanh) computes in `f32`, sixteen to a vector. Sines and
//! erfc compute in `f64` inside: reduction and tail need the bits.

use std::f32::consts::LOG2_E;

use super::double;

/// 1.5 · 2²³; see [`double`].
const MAGIC: f32 = 12582912.0;
/// The same for an `f64`: 1.5 · 2⁵².
const MAGIC_DOUBLE: f64 = 6755399441055744.0;
/// 2²³: from here every `f32` is an integer.
const WHOLE: f32 = 8388608.0;

/// ln 2 = `LN2_HIGH` + `LN2_LOW`; the high part has 15 bits, so that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.69314575;
const LN2_LOW: f32 = 1.4286068e-6;

const SQRT_HALF: u32 = 0x3f35_04f3;
const ONE: u32 = 0x3f80_0000;
const MANTISSA: u32 = 0x007f_ffff;

const EXP_MAX: f32 = 89.0;
const EXP_MIN: f32 = -104.0;

/// Up to this |x| the argument of [`sin`] and [`cos`] is reduced exactly: 2²⁰.
pub const SIN_EXACT: f32 = 1048576.0;
/// Up to this |x| [`sin`] and [`cos`] have an answer: 2²⁸.
const SIN_MAX: f32 = 268435456.0;

/// x ↦ (n + `bias` in the low bits, n as a number), n the integer nearest to x / ln 2.
#[inline(always)]
fn round(x: f32, bias: f32) -> (u32, f32) {
    let shifted = x * LOG2_E + (MAGIC + bias);
    (shifted.to_bits(), shifted - (MAGIC + bias))
}

/// (eʳ − 1 − r) / r² for |r| ≤ ½ ln 2
#[inline(always)]
fn exp_tail(r: f32) -> f32 {
    horner!(r, 0.5, 0.16666667, 0.041666467, 0.0083333105, 0.001393365, 0.00019890991)
}

/// e^(high − low), |high| ≤ ½ ln 2; low is small and high exact: the linear term takes it unrounded.
#[inline(always)]
fn exp_reduced(high: f32, low: f32) -> f32 {
    let r = high - low;
    1.0 + (high + (r * r * exp_tail(r) - low))
}

/// eˣ for |x| < 80, without care for the ends of the range.
#[inline(always)]
fn exp_normal(x: f32) -> f32 {
    let (bits, n) = round(x, 127.0);
    exp_reduced(x - n * LN2_HIGH, n * LN2_LOW) * f32::from_bits(bits << 23)
}

/// eˣ for −150 < x < 700, in `f64` to the precision of `f32`.
#[inline(always)]
fn exp_wide(x: f64) -> f64 {
    let shifted = x * std::f64::consts::LOG2_E + (MAGIC_DOUBLE + 1023.0);
    let r = x - (shifted - (MAGIC_DOUBLE + 1023.0)) * std::f64::consts::LN_2;
    let tail = horner!(
        r,
        0.500000001346581,
        0.16666666681623232,
        0.041666464925285904,
        0.0083333109254809,
        0.0013933649996309251,
        0.00019890990824673654
    );
    (1.0 + (r + r * r * tail)) * f64::from_bits(shifted.to_bits() << 52)
}

/// eˣ
///
/// Error: 0.87 ulp. e⁻∞ = 0.
/// Source: as [`double::exp`].
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(EXP_MIN, EXP_MAX); // keeps NaN
    let (bits, n) = round(x, 254.0); // the biases of both factors' exponents
    let y = exp_reduced(x - n * LN2_HIGH, n * LN2_LOW);
    let half = bits >> 1;
    y * f32::from_bits(half << 23) * f32::from_bits((bits - half) << 23)
}

/// eˣ − 1, accurate near 0
///
/// Error: 1.07 ulp. expm1(−∞) = −1.
/// Source: as [`double::expm1`].
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let clamped = x.clamp(-30.0, EXP_MAX); // e⁻³⁰ − 1 is −1
    let (bits, n) = round(clamped, 126.0);
    let scale = f32::from_bits(bits << 23); // 2ⁿ⁻¹
    let high = clamped - n * LN2_HIGH;
    let low = n * LN2_LOW;
    let r = high - low;
    let lost = (high - r) - low;
    let tail = r * (r * exp_tail(r) + lost) + lost;
    let (a, b) = (scale - 0.5, scale * r);
    let sum = a + b;
    let lost_half = (scale - a) - 0.5;
    let y = 2.0 * (sum + (((a - sum) + b) + lost_half + scale * tail));
    if x.abs() < 2e-8 { x } else { y } // subnormals, −0
}

/// u = 2ᵏ (1 + f) with √½ ≤ 1 + f < √2, for normal u > 0: (k, f), f without error.
#[inline(always)]
fn split(u: f32) -> (f32, f32) {
    let moved = u.to_bits().wrapping_add(ONE - SQRT_HALF);
    // An exponent under the bits of 2²³ is the number 2²³ + exponent.
    let k = f32::from_bits((moved >> 23) | 0x4b00_0000) - (WHOLE + 127.0);
    (k, f32::from_bits((moved & MANTISSA) + SQRT_HALF) - 1.0)
}

/// k ln 2 + ln(1 + f) + low
#[inline(always)]
fn ln_sum(k: f32, f: f32, low: f32) -> f32 {
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = horner!(z, 0.6666667, 0.40000123, 0.28550813, 0.23330697);
    k * LN2_HIGH - ((half_square - (s * (half_square + z * w) + (k * LN2_LOW + low))) - f)
}

/// ln x
///
/// Error: 0.84 ulp, subnormal x included. ln 0 = −∞, and ln x is NaN below 0.
/// Source: as [`double::ln`].
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let (k, f) = split(if subnormal { x * 33554432.0 } else { x }); // 2²⁵
    let y = ln_sum(if subnormal { k - 25.0 } else { k }, f, 0.0);
    let y = if x < f32::INFINITY { y } else { x }; // ∞ and NaN
    let y = if x < 0.0 { f32::NAN } else { y };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// ln(1 + x) for −1 < x < ∞, but for the sign of zero
#[inline(always)]
fn log1p_finite(x: f32) -> f32 {
    let u = 1.0 + x;
    let x_part = u - 1.0;
    let c = (1.0 - (u - x_part)) + (x - x_part);
    let (k, f) = split(u);
    ln_sum(k, f, c / u)
}

/// ln(1 + x), accurate near 0
///
/// Error: 0.87 ulp. log1p(−1) = −∞, and log1p x is NaN below −1.
/// Source: as [`double::log1p`].
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let y = log1p_finite(x);
    let y = if x < f32::INFINITY { y } else { x }; // ∞ and NaN
    let y = if x < -1.0 { f32::NAN } else { y };
    let y = if x == -1.0 { f32::NEG_INFINITY } else { y };
    if x.abs() < 2e-8 { x } else { y }
}

/// tanh x
///
/// Error: 1.31 ulp. tanh(±∞) = ±1.
/// Source: as [`double::tanh`].
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = z * horner!(z, -0.33333334, -0.0147729935);
    let q = horner!(z, 1.0, 0.44431898, 0.015822887);
    let e = exp_normal(2.0 * a.clamp(0.0, 10.0)); // tanh 10 rounds to 1
    let small = a < 0.625;
    let (numerator, denominator) = (if small { p } else { 2.0 }, if small { q } else { e + 1.0 });
    let quotient = numerator / denominator;
    (if small { a + a * quotient } else { 1.0 - quotient }).copysign(x)
}

/// 1 / (1 + e⁻ˣ)
///
/// Error: 1.97 ulp. sigmoid(−∞) = 0, sigmoid(∞) = 1.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    let denominator = 1.0 + e;
    let lost = e - (denominator - 1.0);
    let y = numerator / denominator;
    y - y * (lost * (1.0 - 0.5 * e))
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + e^(−|x|))
///
/// Error: 1.62 ulp. softplus(−∞) = 0.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    // NaN comes back through the second term.
    let ramp = if x > 0.0 { x } else { 0.0 };
    ramp + log1p_finite(exp(-x.abs()))
}

/// x ↦ (quadrant in the low bits, r): x = n π/2 + r, |r| ≤ π/4.
///
/// 33 bits of π/2 and a rest: n < 2²⁰ makes the first product exact, and no `f32` below 2²⁰ is nearer to a multiple of
/// π/2 than 2⁻²⁸ (all were tried), which leaves r more bits than an `f32` has.
#[inline(always)]
fn reduce(x: f32) -> (u64, f64) {
    // Beyond, the reduction would cost the result its precision.
    let x = f64::from(if x.abs() <= SIN_MAX { x } else { f32::NAN });
    let shifted = x * std::f64::consts::FRAC_2_PI + MAGIC_DOUBLE;
    let n = shifted - MAGIC_DOUBLE;
    (shifted.to_bits(), (x - n * 1.5707963267341256) - n * 6.077100506506192e-11)
}

/// sin r in even quadrants, cos r in odd ones, with the quadrant's sign
#[inline(always)]
fn sin_quadrant(quadrant: u64, r: f64) -> f32 {
    let z = r * r;
    let sine_tail =
        horner!(z, -0.16666666663853044, 0.008333331873837089, -0.00019840086263755443, 2.7249864655139585e-06);
    let cosine_tail =
        horner!(z, 0.04166666666431933, -0.0013888887671288108, 2.480059998353171e-05, -2.7300908167996537e-07);
    let sine = r + r * z * sine_tail;
    let cosine = 1.0 - (0.5 * z - z * z * cosine_tail);
    let y = if quadrant & 1 == 0 { sine } else { cosine };
    f64::from_bits(y.to_bits() ^ ((quadrant & 2) << 62)) as f32
}

/// sin x
///
/// Error: 0.501 ulp for |x| ≤ 2²⁰ ([`SIN_EXACT`]). From there to 2²⁸ an absolute error of 2⁻²⁴ is added, and beyond it
/// is NaN: see [`sin_any_range`]. sin(±∞) is NaN.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    let (quadrant, r) = reduce(x);
    let y = sin_quadrant(quadrant, r);
    if x == 0.0 { x } else { y } // −0
}

/// cos x
///
/// Error: 0.501 ulp for |x| ≤ 2²⁰ ([`SIN_EXACT`]). From there to 2²⁸ an absolute error of 2⁻²⁴ is added, and beyond it
/// is NaN: see [`cos_any_range`]. cos(±∞) is NaN.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    let (quadrant, r) = reduce(x);
    sin_quadrant(quadrant.wrapping_add(1), r)
}

/// sin x, for any x; as [`double::sin_any_range`]
#[inline]
pub fn sin_any_range(x: f32) -> f32 {
    if x.abs() <= SIN_EXACT { sin(x) } else { libm::sin(f64::from(x)) as f32 }
}

/// cos x, for any x; as [`double::sin_any_range`]
#[inline]
pub fn cos_any_range(x: f32) -> f32 {
    if x.abs() <= SIN_EXACT { cos(x) } else { libm::cos(f64::from(x)) as f32 }
}

/// erf x = 2/√π ∫₀ˣ e^(−t²) dt
///
/// |x| < 1: x + x e(x²). Beyond: 1 − e^l(|x|), where the polynomial l is the logarithm of erfc: it only has to be good
/// to the last bit of 1.
///
/// Error: 1.32 ulp. erf(±∞) = ±1.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let e = horner!(
        z,
        0.12837917,
        -0.37612638,
        0.11283782,
        -0.02686543,
        0.0052210316,
        -0.00084840803,
        0.00011265959,
        -9.667045e-06
    );
    let u = a.clamp(0.0, 4.0) - 1.0; // erf 4 rounds to 1
    let l = horner!(
        u,
        -1.8496056,
        -2.638968,
        -0.84310085,
        -0.041590456,
        0.01010486,
        -0.002081732,
        0.0003363859,
        -3.8454644e-05,
        2.6392431e-06,
        -7.582682e-08
    );
    let tail = (1.0 - exp_normal(l)).copysign(x);
    if a < 1.0 { x + x * e } else { tail }
}

/// 1 − erf x, accurate where erf x is near 1
///
/// Error: 0.54 ulp. erfc(∞) = 0, erfc(−∞) = 2.
/// Source: as [`double::erfc`].
#[inline(always)]
pub fn erfc(x: f32) -> f32 {
    let x = f64::from(x);
    let a = x.abs();
    let z = x * x;
    let e = horner!(
        z,
        0.12837916584835093,
        -0.37612626666720334,
        0.11283594715160218,
        -0.026854212010626412,
        0.005189087423433974,
        -0.000801686428716587,
        7.875875062685488e-05
    );
    let clamped = if a > 10.5 { 10.5 } else { a }; // erfc 10.5 rounds to 0; keeps NaN
    let t = (clamped - 2.5) / (clamped + 2.5);
    let p = horner!(
        t,
        1.2648381831523237,
        -0.12235675705216699,
        -0.09902437809426964,
        0.1576298485019785,
        -0.10297049629443386,
        0.03275930830542988,
        0.0009576368301338598,
        -0.004360265045550933,
        0.0004125250264136417,
        0.0005467280100957635
    );
    let tail = exp_wide(-clamped * clamped) * p / (1.0 + 2.0 * clamped);
    let tail = if x < 0.0 { 2.0 - tail } else { tail };
    (if a < 0.5 { 1.0 - (x + x * e) } else { tail }) as f32
}

/// xʸ, with the edge values of C: x⁰ = 1ʸ = 1, whatever the other is; NaN for x < 0 unless y is an integer.
///
/// e^(y ln |x|) in `f64`, whose 29 spare bits leave the rounding to `f32` as the only error that counts.
///
/// Error: 0.501 ulp.
#[inline(always)]
pub fn powf(x: f32, y: f32) -> f32 {
    let magnitude = double::exp(f64::from(y) * double::ln(f64::from(x.abs()))) as f32;
    // Not left to y ln x, which is 0·∞ or NaN there; (−1)^(±∞) = 1 too.
    let one = (y == 0.0) | (x == 1.0) | ((x == -1.0) & (y.abs() == f32::INFINITY));
    let magnitude = if one { 1.0 } else { magnitude };
    let whole = is_whole(y.abs());
    let odd = whole & !is_whole(0.5 * y.abs());
    let signed = if odd { magnitude.copysign(x) } else { magnitude };
    let undefined = (x < 0.0) & (x > f32::NEG_INFINITY) & !whole;
    if undefined { f32::NAN } else { signed }
}

/// Whether a ≥ 0 is an integer, as ∞ is here.
#[inline(always)]
fn is_whole(a: f32) -> bool {
    ((a + WHOLE) - WHOLE == a) | (a >= WHOLE)
}
