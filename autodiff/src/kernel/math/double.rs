//! Elementary functions of an `f64`.

use std::f64::consts::{FRAC_2_PI, LOG2_E};

/// 1.5 · 2⁵²: the sum of this and a number below 2⁵¹ has units of 1, so adding rounds the number to an integer (ties to
/// even) and leaves it in the low bits of the sum.
const MAGIC: f64 = 6755399441055744.0;

/// ln 2 = `LN2_HIGH` + `LN2_LOW`; the high part has 40 bits, so that its product with an exponent is exact.
const LN2_HIGH: f64 = 0.6931471805601177;
const LN2_LOW: f64 = -1.7239444525614835e-13;

/// Bits of the largest number below √½, as a bias that moves the cut between exponents from 1 to √½.
const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcc;
const ONE: u64 = 0x3ff0_0000_0000_0000;
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;

/// Beyond these eˣ is ∞ and 0, with every number between within the reach of two factors 2^(n/2).
const EXP_MAX: f64 = 710.0;
const EXP_MIN: f64 = -746.0;

/// Up to this |x| the argument of [`sin`] and [`cos`] is reduced exactly: 2²⁰.
pub const SIN_EXACT: f64 = 1048576.0;
/// Up to this |x| [`sin`] and [`cos`] have an answer: 2⁵⁰.
const SIN_MAX: f64 = 1125899906842624.0;

/// x ↦ (n + `bias` in the low bits, n as a number), n the integer nearest to x · `per`.
#[inline(always)]
fn round(x: f64, per: f64, bias: f64) -> (u64, f64) {
    let shifted = x * per + (MAGIC + bias);
    (shifted.to_bits(), shifted - (MAGIC + bias))
}

/// (eʳ − 1 − r) / r² for |r| ≤ ½ ln 2
#[inline(always)]
fn exp_tail(r: f64) -> f64 {
    horner!(
        r,
        0.5,
        0.1666666666666667,
        0.041666666666666644,
        0.008333333333326136,
        0.0013888888888896683,
        0.00019841269874820627,
        2.4801587300940927e-05,
        2.7557255400206422e-06,
        2.7557294125356095e-07,
        2.5105217004720745e-08,
        2.0908487319195553e-09
    )
}

/// e^(high − low), |high| ≤ ½ ln 2; low is small and high exact: the linear term takes it unrounded.
#[inline(always)]
fn exp_reduced(high: f64, low: f64) -> f64 {
    let r = high - low;
    1.0 + (high + (r * r * exp_tail(r) - low))
}

/// e^(x + low), where low is far below x: what x² rounds away, in [`erfc_tail`].
///
/// x + low = n ln 2 + r, and eˣ = 2ⁿ eʳ. Where 2ⁿ alone would leave the normal range it is applied as 2^⌊n/2⌋ · 2^⌈n/2⌉:
/// the first product is exact, so that a subnormal result is rounded once.
#[inline(always)]
fn exp_sum(x: f64, low: f64) -> f64 {
    let x = x.clamp(EXP_MIN, EXP_MAX); // keeps NaN
    let (bits, n) = round(x, LOG2_E, 2046.0); // the biases of both factors' exponents
    let y = exp_reduced(x - n * LN2_HIGH, n * LN2_LOW - low);
    let half = bits >> 1;
    y * f64::from_bits(half << 52) * f64::from_bits((bits - half) << 52)
}

/// eˣ for |x| < 700, without care for the ends of the range.
#[inline(always)]
fn exp_normal(x: f64) -> f64 {
    let (bits, n) = round(x, LOG2_E, 1023.0);
    exp_reduced(x - n * LN2_HIGH, n * LN2_LOW) * f64::from_bits(bits << 52)
}

/// eˣ
///
/// Error: 0.81 ulp. e⁻∞ = 0.
/// Source: Cody & Waite, *Software Manual for the Elementary Functions* (1980), ch. 6, with a polynomial.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    exp_sum(x, 0.0)
}

/// eˣ − 1, accurate near 0
///
/// With x = n ln 2 + r and t = eʳ − 1 − r, eˣ − 1 = (2ⁿ − 1) + 2ⁿ r + 2ⁿ t. The first two are summed exactly (Dekker's
/// Fast2Sum) and t, what is left of r after rounding included, is small: one rounding counts.
///
/// Error: 1.01 ulp. expm1(−∞) = −1.
/// Source: the reduction as in [`exp`]; Dekker, *A floating-point technique for extending the available precision* (1971).
#[inline(always)]
pub fn expm1(x: f64) -> f64 {
    let clamped = x.clamp(-50.0, EXP_MAX); // e⁻⁵⁰ − 1 is −1
    let (bits, n) = round(clamped, LOG2_E, 1022.0);
    // 2ⁿ⁻¹, as 2ⁿ overflows before eˣ − 1 does; the missing factor 2 comes last.
    let scale = f64::from_bits(bits << 52);
    let high = clamped - n * LN2_HIGH;
    let low = n * LN2_LOW;
    let r = high - low;
    let lost = (high - r) - low;
    let tail = r * (r * exp_tail(r) + lost) + lost;
    let (a, b) = (scale - 0.5, scale * r);
    let sum = a + b;
    let lost_half = (scale - a) - 0.5; // where 2ⁿ outgrows the ½
    let y = 2.0 * (sum + (((a - sum) + b) + lost_half + scale * tail));
    // Halving loses the last bit of a subnormal, and −0 its sign.
    if x.abs() < 5e-17 { x } else { y }
}

/// u = 2ᵏ (1 + f) with √½ ≤ 1 + f < √2, for normal u > 0: (k, f), f without error.
#[inline(always)]
fn split(u: f64) -> (f64, f64) {
    let moved = u.to_bits().wrapping_add(ONE - SQRT_HALF);
    // An exponent under the bits of 2⁵² is the number 2⁵² + exponent.
    let k = f64::from_bits((moved >> 52) | 0x4330_0000_0000_0000) - (4503599627370496.0 + 1023.0);
    (k, f64::from_bits((moved & MANTISSA) + SQRT_HALF) - 1.0)
}

/// k ln 2 + ln(1 + f) + low
///
/// ln(1 + f) = 2 artanh s with s = f/(2 + f), written so that the exact f is added last.
#[inline(always)]
fn ln_sum(k: f64, f: f64, low: f64) -> f64 {
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = horner!(
        z,
        0.666666666666667,
        0.3999999999989938,
        0.28571428626031065,
        0.2222221112572281,
        0.18182889786191042,
        0.15331699633543858,
        0.14616721179861816
    );
    k * LN2_HIGH - ((half_square - (s * (half_square + z * w) + (k * LN2_LOW + low))) - f)
}

/// ln x
///
/// Error: 0.79 ulp, subnormal x included. ln 0 = −∞, and ln x is NaN below 0.
/// Source: FreeBSD's `e_log.c` (Ng, 1993) for the form of the sum; coefficients are ours.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    let subnormal = x < f64::MIN_POSITIVE;
    let (k, f) = split(if subnormal { x * 18014398509481984.0 } else { x }); // 2⁵⁴
    let y = ln_sum(if subnormal { k - 54.0 } else { k }, f, 0.0);
    let y = if x < f64::INFINITY { y } else { x }; // ∞ and NaN
    let y = if x < 0.0 { f64::NAN } else { y };
    if x == 0.0 { f64::NEG_INFINITY } else { y }
}

/// ln(1 + x) for −1 < x < ∞, but for the sign of zero
///
/// With u = 1 + x rounded and c what rounding lost (Knuth's TwoSum), ln(u + c) = ln u + c/u to first order, which is
/// all there is in double precision.
#[inline(always)]
fn log1p_finite(x: f64) -> f64 {
    let u = 1.0 + x;
    let x_part = u - 1.0;
    let c = (1.0 - (u - x_part)) + (x - x_part);
    let (k, f) = split(u);
    ln_sum(k, f, c / u)
}

/// ln(1 + x), accurate near 0
///
/// Error: 0.77 ulp. log1p(−1) = −∞, and log1p x is NaN below −1.
/// Source: as [`ln`]; Knuth, *Seminumerical Algorithms*, 4.2.2, for the sum.
#[inline(always)]
pub fn log1p(x: f64) -> f64 {
    let y = log1p_finite(x);
    let y = if x < f64::INFINITY { y } else { x }; // ∞ and NaN
    let y = if x < -1.0 { f64::NAN } else { y };
    let y = if x == -1.0 { f64::NEG_INFINITY } else { y };
    if x.abs() < 5e-17 { x } else { y }
}

/// tanh x
///
/// |x| < 5/8: x + x z P(z)/Q(z), z = x². Beyond: 1 − 2/(e^(2|x|) + 1). One division serves both.
///
/// Error: 1.26 ulp. tanh(±∞) = ±1.
/// Source: Cody & Waite, ch. 13, for the two ranges; coefficients are ours.
#[inline(always)]
pub fn tanh(x: f64) -> f64 {
    let a = x.abs();
    let z = x * x;
    let p = z * horner!(z, -0.3333333333333333, -0.020498799708498872, -0.0001991780435861287);
    let q = horner!(z, 1.0, 0.4614963991254931, 0.02329133187629886, 0.0002065337374875025);
    // tanh 20 rounds to 1; the clamp keeps NaN.
    let e = exp_normal(2.0 * a.clamp(0.0, 20.0));
    let small = a < 0.625;
    let (numerator, denominator) = (if small { p } else { 2.0 }, if small { q } else { e + 1.0 });
    let quotient = numerator / denominator;
    (if small { a + a * quotient } else { 1.0 - quotient }).copysign(x)
}

/// 1 / (1 + e⁻ˣ)
///
/// With e = e^(−|x|): 1/(1 + e) for x ≥ 0, e/(1 + e) below, so that nothing overflows and the left tail keeps its
/// relative precision. What 1 + e loses to rounding is put back; 1 − e/2 is near enough to 1/(1 + e) for that.
///
/// Error: 1.73 ulp. sigmoid(−∞) = 0, sigmoid(∞) = 1.
#[inline(always)]
pub fn sigmoid(x: f64) -> f64 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    let denominator = 1.0 + e;
    let lost = e - (denominator - 1.0);
    let y = numerator / denominator;
    y - y * (lost * (1.0 - 0.5 * e))
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + e^(−|x|))
///
/// Error: 1.41 ulp. softplus(−∞) = 0.
#[inline(always)]
pub fn softplus(x: f64) -> f64 {
    // NaN comes back through the second term.
    let ramp = if x > 0.0 { x } else { 0.0 };
    ramp + log1p_finite(exp(-x.abs()))
}

/// x ↦ (quadrant in the low bits, r, what r rounds away): x = n π/2 + r, |r| ≤ π/4.
///
/// π/2 is the sum of three parts of 33 bits and a rest. n < 2²⁰, so the first three products are exact; TwoSum keeps what
/// the subtractions lose, so r is good to its last bit even at the doubles nearest to multiples of π/2.
///
/// Source: Cody & Waite, ch. 8, to more parts.
#[inline(always)]
fn reduce(x: f64) -> (u64, f64, f64) {
    // Beyond, a double says nothing about its quadrant.
    let x = if x.abs() <= SIN_MAX { x } else { f64::NAN };
    let (quadrant, n) = round(x, FRAC_2_PI, 0.0);
    let first = x - n * 1.5707963267341256;
    let (second, lost_second) = two_sum(first, -n * 6.077100506303966e-11);
    let (third, lost_third) = two_sum(second, -n * 2.0222662487111665e-21);
    let low = (lost_second + lost_third) - n * 8.4784276603689e-32;
    let r = third + low;
    (quadrant, r, (third - r) + low)
}

/// a + b = (sum, what rounding the sum lost), exactly (Knuth)
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// sin(r + low) in even quadrants, cos(r + low) in odd ones, with the quadrant's sign
#[inline(always)]
fn sin_quadrant(quadrant: u64, r: f64, low: f64) -> f64 {
    let z = r * r;
    let half = 0.5 * z;
    let sine_tail = horner!(
        z,
        -0.16666666666666666,
        0.008333333333333331,
        -0.0001984126984126506,
        2.7557319219335453e-06,
        -2.5052106231157904e-08,
        1.605853141458901e-10,
        -7.586685070091267e-13
    );
    let sine = r + (r * z * sine_tail + (low - half * low));
    let cosine_tail = horner!(
        z,
        0.041666666666666664,
        -0.0013888888888887395,
        2.4801587298763433e-05,
        -2.7557317270560326e-07,
        2.0876146024689747e-09,
        -1.1382614868556325e-11
    );
    let w = 1.0 - half;
    let cosine = w + (((1.0 - w) - half) + (z * z * cosine_tail - r * low));
    let y = if quadrant & 1 == 0 { sine } else { cosine };
    f64::from_bits(y.to_bits() ^ ((quadrant & 2) << 62))
}

/// sin x
///
/// Error: 0.74 ulp for |x| ≤ 2²⁰ ([`SIN_EXACT`]). From there to 2⁵⁰ it is the sine of a number within 2 ulp of x, and
/// beyond NaN: see [`sin_any_range`]. sin(±∞) is NaN.
#[inline(always)]
pub fn sin(x: f64) -> f64 {
    let (quadrant, r, low) = reduce(x);
    let y = sin_quadrant(quadrant, r, low);
    if x == 0.0 { x } else { y } // −0
}

/// cos x
///
/// Error: 0.74 ulp for |x| ≤ 2²⁰ ([`SIN_EXACT`]). From there to 2⁵⁰ it is the cosine of a number within 2 ulp of x, and
/// beyond NaN: see [`cos_any_range`]. cos(±∞) is NaN.
#[inline(always)]
pub fn cos(x: f64) -> f64 {
    let (quadrant, r, low) = reduce(x);
    sin_quadrant(quadrant.wrapping_add(1), r, low)
}

/// sin x, for any x
///
/// [`sin`] up to [`SIN_EXACT`], `libm` (Payne–Hanek reduction) beyond. It branches: a loop asks once per block whether
/// every |x| ≤ `SIN_EXACT` and calls `sin` then, which gives the same bits.
#[inline]
pub fn sin_any_range(x: f64) -> f64 {
    if x.abs() <= SIN_EXACT { sin(x) } else { libm::sin(x) }
}

/// cos x, for any x; as [`sin_any_range`]
#[inline]
pub fn cos_any_range(x: f64) -> f64 {
    if x.abs() <= SIN_EXACT { cos(x) } else { libm::cos(x) }
}

/// (erf x)/x − 1 for z = x² ≤ 1
#[inline(always)]
fn erf_head(z: f64) -> f64 {
    horner!(
        z,
        0.1283791670955126,
        -0.37612638903183754,
        0.1128379167095512,
        -0.02686617064512984,
        0.0052239776254232985,
        -0.000854832702193483,
        0.00012055332902888736,
        -1.4925647567519332e-05,
        1.6462045441468418e-06,
        -1.6364642158167616e-07,
        1.4792401209404813e-08,
        -1.216456005728345e-09,
        8.709045129053106e-11,
        -4.230945824295338e-12
    )
}

/// erfc a for a ≥ ½: e^(−a²) R(t) / (1 + 2a), t = (a − 7/2)/(a + 7/2)
///
/// a² is high² + (a − high)(a + high), where high has 26 bits and an exact square.
///
/// Source: Shepherd & Laframboise, *Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞* (1981).
#[inline(always)]
fn erfc_tail(a: f64) -> f64 {
    let a = if a > 28.0 { 28.0 } else { a }; // e^(−28²) is 0; keeps NaN
    let t = (a - 3.5) / (a + 3.5);
    let p = horner!(
        t,
        1.2423492448711544,
        -0.1400091801376194,
        -0.010555596332218151,
        0.09751909515325563,
        -0.11508959816020042,
        0.08798315382497571,
        -0.04882332582769667,
        0.01909933094056669,
        -0.004215019910384933,
        -0.00030226786092849803,
        0.0005643844370842721,
        -0.00012151250870843876,
        -4.278232062220953e-05,
        2.4261220716444518e-05,
        2.3285625617049886e-06,
        -3.814991076700576e-06,
        -4.466283205177847e-08,
        6.00951725853741e-07,
        -7.545055693454484e-09,
        -9.361273365147815e-08,
        4.2783298300506434e-10,
        1.0591622351425399e-08
    );
    let high = f64::from_bits(a.to_bits() & !0x07ff_ffff);
    exp_sum(-(high * high), -((a - high) * (a + high))) * (p / (1.0 + 2.0 * a))
}

/// erf x = 2/√π ∫₀ˣ e^(−t²) dt
///
/// |x| < 1: x + x e(x²), e a polynomial. Beyond: 1 − erfc |x|.
///
/// Error: 1.14 ulp. erf(±∞) = ±1.
#[inline(always)]
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    let head = x + x * erf_head(x * x);
    let tail = (1.0 - erfc_tail(a)).copysign(x);
    if a < 1.0 { head } else { tail }
}

/// 1 − erf x, accurate where erf x is near 1
///
/// |x| < ½: 1 − (x + x e(x²)). Beyond: the tail by its own polynomial, reflected for x < 0.
///
/// Error: 3.2 ulp. erfc(∞) = 0, erfc(−∞) = 2.
#[inline(always)]
pub fn erfc(x: f64) -> f64 {
    let a = x.abs();
    let head = 1.0 - (x + x * erf_head(x * x));
    let tail = erfc_tail(a);
    let tail = if x < 0.0 { 2.0 - tail } else { tail };
    if a < 0.5 { head } else { tail }
}

/// xʸ
///
/// `libm`'s: under 1 ulp, with the edge values of C (x⁰ = 1ʸ = 1, whatever the other is). It branches; the bits are the
/// same on every machine all the same.
#[inline(always)]
pub fn powf(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}
