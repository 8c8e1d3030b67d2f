//! Errors in ulps and edge values. `cargo test -p autodiff math -- --nocapture` prints what was measured.

use std::f32::consts::{FRAC_1_SQRT_2, LN_2, PI, SQRT_2};

use super::{double, single};

/// A function with its reference and the largest error it is allowed, in ulps.
struct Case<F, R> {
    name: &'static str,
    f: fn(F) -> F,
    reference: fn(R) -> R,
    allowed: f64,
}

fn sigmoid_reference(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

fn softplus_reference(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

macro_rules! cases {
    ($math:ident: $($name:ident $reference:expr, $allowed:expr;)*) => {
        [$(Case { name: stringify!($name), f: $math::$name, reference: $reference, allowed: $allowed }),*]
    };
}

fn single_cases() -> [Case<f32, f64>; 11] {
    cases! { single:
        exp libm::exp, 1.0;
        expm1 libm::expm1, 1.0;
        ln libm::log, 1.0;
        log1p libm::log1p, 1.0;
        tanh libm::tanh, 1.5;
        sigmoid sigmoid_reference, 2.0;
        softplus softplus_reference, 2.0;
        sin libm::sin, 1.0;
        cos libm::cos, 1.0;
        erf libm::erf, 1.5;
        erfc libm::erfc, 1.0;
    }
}

fn double_cases() -> [Case<f64, f64>; 11] {
    cases! { double:
        exp libm::exp, 1.0;
        expm1 libm::expm1, 1.0;
        ln libm::log, 1.0;
        log1p libm::log1p, 1.0;
        tanh libm::tanh, 1.5;
        sigmoid sigmoid_reference, 2.0;
        softplus softplus_reference, 2.0;
        sin libm::sin, 1.0;
        cos libm::cos, 1.0;
        erf libm::erf, 1.5;
        erfc libm::erfc, 4.0;
    }
}

/// The distance between neighbours in the binade of y, for a format of `bits` significant bits and smallest exponent `low`.
fn ulp(y: f64, bits: i32, low: i32) -> f64 {
    let exponent = ((y.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    libm::ldexp(1.0, exponent.max(low) - (bits - 1))
}

/// |y − truth| in ulps of an `f32`; 0 where both are the same NaN or infinity, ∞ where only one is.
fn single_error(y: f32, truth: f64) -> f64 {
    let rounded = truth as f32;
    if (y == rounded && y.is_infinite()) || (y.is_nan() && rounded.is_nan()) {
        return 0.0;
    }
    if !y.is_finite() || !rounded.is_finite() {
        // At the threshold of overflow one side may round to ∞ where the other stays below.
        let clamp = |v: f64| v.clamp(-2f64.powi(128), 2f64.powi(128));
        return (clamp(f64::from(y)) - clamp(truth)).abs() / ulp(f64::from(f32::MAX), 24, -126);
    }
    (f64::from(y) - truth).abs() / ulp(truth, 24, -126)
}

/// Every 9973rd `f32`, and every one in small windows around 0, 1 and the thresholds.
fn singles() -> impl Iterator<Item = f32> {
    let windows = [0.0, f32::MIN_POSITIVE, 0.5 * LN_2, 0.5, 0.625, FRAC_1_SQRT_2, 1.0, SQRT_2, PI]
        .into_iter()
        .chain([4.0, 9.0, 10.05, 16.635532, 87.33655, 88.72284, 103.97208, f32::MAX])
        .flat_map(|c| {
            let bits = c.to_bits();
            bits.saturating_sub(2000)..=bits + 2000
        });
    let all = (0..=f32::INFINITY.to_bits()).step_by(9973);
    windows.chain(all).flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
}

#[test]
fn single_errors() {
    for Case { name, f, reference, allowed } in single_cases() {
        let periodic = matches!(name, "sin" | "cos");
        let (mut worst, mut at) = (0.0, 0.0);
        for x in singles().filter(|x| !periodic || x.abs() <= single::SIN_EXACT) {
            let error = single_error(f(x), reference(f64::from(x)));
            if error > worst || error.is_nan() {
                (worst, at) = (error, x);
            }
        }
        println!("f32 {name:9} {worst:.3} ulp at {at:e}");
        if worst > allowed {
            println!("FAIL");
        }
        assert!(worst <= allowed, "{name}: {worst} ulp at {at:e}");
    }
}

/// Against 60 digits: `tools/math_reference.py`.
#[test]
fn double_errors() {
    let table = include_str!("reference.csv");
    for Case { name, f, allowed, .. } in double_cases() {
        let (mut worst, mut at, mut rows) = (0.0, 0.0, 0);
        for line in table.lines().filter(|line| line.split(',').next() == Some(name)) {
            let field: Vec<&str> = line.split(',').collect();
            let number = |text| f64::from_bits(u64::from_str_radix(text, 16).unwrap());
            let (x, truth, fraction): (f64, f64, f64) = (number(field[1]), number(field[2]), field[3].parse().unwrap());
            let error = ((f(x) - truth) / ulp(truth, 53, -1022) - fraction).abs();
            if error > worst || error.is_nan() {
                (worst, at) = (error, x);
            }
            rows += 1;
        }
        println!("f64 {name:9} {worst:.3} ulp at {at:e}, {rows} arguments");
        assert!(rows > 100 && worst <= allowed, "{name}: {worst} ulp at {at:e}, {rows} arguments");
    }
}

/// 60 000 arguments per function, in the intervals where it varies and over all magnitudes, by a splitmix sequence.
fn doubles() -> impl Iterator<Item = f64> {
    let mut state = 0_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
    .take(15_000)
    .flat_map(|bits| {
        let unit = (bits >> 11) as f64 / 2f64.powi(52) - 1.0;
        [3.0 * unit, 40.0 * unit, 750.0 * unit, f64::from_bits(bits)]
    })
}

/// `libm` itself errs by up to 1 ulp (tanh by 2, the composed sigmoid and softplus by 2), and both may round apart.
#[test]
fn double_agrees_with_libm() {
    for Case { name, f, reference, allowed } in double_cases() {
        let slack = if matches!(name, "tanh" | "sigmoid" | "softplus") { 2.0 } else { 1.0 };
        let periodic = matches!(name, "sin" | "cos");
        let mut worst = 0.0_f64;
        for x in doubles().filter(|x| !periodic || x.abs() <= double::SIN_EXACT) {
            let (y, truth) = (f(x), reference(x));
            if y == truth || (y.is_nan() && truth.is_nan()) {
                continue;
            }
            let error = (y - truth).abs() / ulp(truth, 53, -1022);
            assert!(error <= allowed + slack, "{name}({x:e}) = {y:e}, libm {truth:e}: {error} ulp");
            worst = worst.max(error);
        }
        println!("f64 {name:9} {worst} ulp from libm");
    }
}

macro_rules! edge_values {
    ($test:ident, $float:ident, $math:ident) => {
        #[test]
        fn $test() {
            const INF: $float = $float::INFINITY;
            const TINY: $float = $float::from_bits(1);
            let same =
                |y: $float, expected: $float| y.to_bits() == expected.to_bits() || (y.is_nan() && expected.is_nan());
            let functions: [(&str, fn($float) -> $float, [$float; 5]); 11] = [
                // f                        at       0    -0     ∞          -∞         NaN
                ("exp", $math::exp, [1.0, 1.0, INF, 0.0, $float::NAN]),
                ("expm1", $math::expm1, [0.0, -0.0, INF, -1.0, $float::NAN]),
                ("ln", $math::ln, [-INF, -INF, INF, $float::NAN, $float::NAN]),
                ("log1p", $math::log1p, [0.0, -0.0, INF, $float::NAN, $float::NAN]),
                ("tanh", $math::tanh, [0.0, -0.0, 1.0, -1.0, $float::NAN]),
                ("sigmoid", $math::sigmoid, [0.5, 0.5, 1.0, 0.0, $float::NAN]),
                ("softplus", $math::softplus, [$math::ln(2.0), $math::ln(2.0), INF, 0.0, $float::NAN]),
                ("sin", $math::sin, [0.0, -0.0, $float::NAN, $float::NAN, $float::NAN]),
                ("cos", $math::cos, [1.0, 1.0, $float::NAN, $float::NAN, $float::NAN]),
                ("erf", $math::erf, [0.0, -0.0, 1.0, -1.0, $float::NAN]),
                ("erfc", $math::erfc, [1.0, 1.0, 0.0, 2.0, $float::NAN]),
            ];
            for (name, f, expected) in functions {
                for (x, expected) in [0.0, -0.0, INF, -INF, $float::NAN].into_iter().zip(expected) {
                    assert!(same(f(x), expected), "{name}({x}) = {}, not {expected}", f(x));
                }
                assert!(f(-$float::NAN).is_nan(), "{name}");
            }
            for f in [$math::expm1, $math::log1p, $math::tanh, $math::sin] {
                assert!(same(f(TINY), TINY) && same(f(-TINY), -TINY));
                assert!(same(f($float::MIN_POSITIVE), $float::MIN_POSITIVE));
            }
            assert!($math::ln(-TINY).is_nan() && $math::ln($float::MIN).is_nan());
            assert!(same($math::ln(1.0), 0.0));
            assert!(same($math::log1p(-1.0), -INF) && $math::log1p(-1.0 - $float::EPSILON).is_nan());
            assert!(same($math::exp($float::MAX), INF) && same($math::exp($float::MIN), 0.0));
            assert!(same($math::expm1($float::MAX), INF) && same($math::expm1($float::MIN), -1.0));
            assert!(same($math::softplus($float::MAX), $float::MAX) && same($math::softplus($float::MIN), 0.0));
            assert!(same($math::tanh($float::MAX), 1.0) && same($math::erf($float::MIN), -1.0));
            assert!(same($math::sigmoid($float::MIN), 0.0) && same($math::erfc($float::MAX), 0.0));
            // Beyond their range sin and cos have no answer rather than a wrong one; the others that cover it do.
            assert!($math::sin($float::MAX).is_nan() && $math::cos($float::MIN).is_nan());
            let huge: $float = 1e22;
            assert!(same($math::sin_any_range(huge), libm::sin(huge.into()) as $float));
            assert!(same($math::cos_any_range(huge), libm::cos(huge.into()) as $float));
            assert!(
                same($math::sin_any_range(3.0), $math::sin(3.0)) && same($math::cos_any_range(3.0), $math::cos(3.0))
            );
        }
    };
}

edge_values!(single_edge_values, f32, single);
edge_values!(double_edge_values, f64, double);

/// The bits of C's pow, for every pair out of these, whatever the signs.
#[test]
fn single_powf() {
    let mut values = vec![0.0, f32::from_bits(1), 1e-40, 0.3, 0.5, 1.0, 1.0000001, 1.5, 2.0, 3.0, 7.0, 8388607.0];
    values.extend([8388608.5, 16777215.0, 16777216.0, 1e30, f32::MAX, f32::INFINITY, f32::NAN]);
    values.extend((1..200).map(|i| i as f32 * 0.0973));
    let mut worst = 0.0_f64;
    for &a in &values {
        for &b in &values {
            for (x, y) in [(a, b), (a, -b), (-a, b), (-a, -b)] {
                let (z, truth) = (single::powf(x, y), libm::pow(f64::from(x), f64::from(y)));
                let error = single_error(z, truth);
                assert!(error <= 0.51, "{x}^{y} = {z}, not {truth}");
                assert_eq!(z.is_nan() || z.is_sign_negative(), z.is_nan() || truth.is_sign_negative(), "{x}^{y} = {z}");
                worst = worst.max(error);
            }
        }
    }
    println!("f32 powf      {worst:.3} ulp");
}

/// Between the exact range and the end of the range the errors stay what the documentation says.
#[test]
fn far_sines() {
    for i in 0..20_000 {
        let x = libm::exp2(20.0 + 30.0 * f64::from(i) / 20_000.0);
        let slack = 2.0 * ulp(x, 53, -1022) + f64::EPSILON;
        assert!((double::sin(x) - libm::sin(x)).abs() <= slack, "sin {x:e}");
        assert!((double::cos(x) - libm::cos(x)).abs() <= slack, "cos {x:e}");
        let x = libm::exp2(20.0 + 8.0 * f64::from(i) / 20_000.0) as f32;
        let slack = 2f64.powi(-24) + 2f64.powi(-25);
        assert!((f64::from(single::sin(x)) - libm::sin(f64::from(x))).abs() <= slack, "sin {x:e}");
        assert!((f64::from(single::cos(x)) - libm::cos(f64::from(x))).abs() <= slack, "cos {x:e}");
    }
}
