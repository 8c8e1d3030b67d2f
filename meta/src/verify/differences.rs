//! Central differences that know how far they can be trusted.
//!
//! ```text
//! D(h) = [F(t = h) − F(t = −h)] / 2h        R(h) = [4 D(h/2) − D(h)] / 3        R(h) = F′(0) + O(h⁴)
//! ```
//!
//! (Richardson 1911; Ridders 1982.) A ladder of h from large to small: large ones are wrong by their order, or cross
//! kinks, small ones by rounding. The best is where neighbours agree best, and how well they agree is its error.

use super::vector::{minus, norm, scaled};

/// A derivative by differences.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub value: Vec<f64>,
    /// ‖value − derivative‖, estimated.
    pub error: f64,
}

/// How small an error has to be, relative, to be believed where F has kinks. Many kinks within a step look smooth from
/// afar, with a slope that is not the slope at 0, to some 10⁻⁴; below the nearest kink agreement is far better.
pub(super) const PAST_KINKS: f64 = 1e-6;

/// F′(0) of a function that is computed with relative rounding `noise`; h goes from `largest` down by halves, `rungs`
/// times. Infinite error where F is not finite.
pub(super) fn derivative(largest: f64, rungs: usize, noise: f64, mut f: impl FnMut(f64) -> Vec<f64>) -> Difference {
    let mut central = Vec::new();
    for i in 0..=rungs {
        let h = largest * 0.5_f64.powi(i as i32);
        let (ahead, behind) = (f(h), f(-h));
        let rounding = noise * norm(&ahead).max(norm(&behind)) / h;
        central.push((scaled(0.5 / h, &minus(&ahead, &behind)), rounding));
    }
    let richardson: Vec<(Vec<f64>, f64)> = central
        .windows(2)
        .map(|pair| {
            let correction = scaled(1.0 / 3.0, &minus(&pair[1].0, &pair[0].0));
            (pair[1].0.iter().zip(&correction).map(|(d, c)| d + c).collect(), 2.0 * pair[1].1)
        })
        .collect();
    // Two neighbours may agree by chance; three hardly.
    let estimate = |i: usize| {
        let apart = |j: usize| norm(&minus(&richardson[i].0, &richardson[j].0));
        let error = apart(i - 1).max(apart(i + 1)) + richardson[i].1;
        if error.is_finite() { error } else { f64::INFINITY }
    };
    let best = (1..richardson.len() - 1).min_by(|&i, &j| estimate(i).total_cmp(&estimate(j))).expect("several rungs");
    Difference { error: estimate(best), value: richardson[best].0.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_covers_the_truth() {
        let functions: [fn(f64) -> f64; 4] = [f64::exp, f64::sin, |t| (1.0 + t).ln(), |t| 3.0 * t * t * t + t];
        for (k, f) in functions.iter().enumerate() {
            let Difference { value, error } = derivative(0.1, 16, 1e-16, |t| vec![f(t)]);
            // All four have slope 1 at 0.
            assert!((value[0] - 1.0).abs() <= 4.0 * error && error < 1e-9, "{k}: {value:?} ± {error:e}");
        }
        // A kink at 10⁻⁴: small steps stay on one side of it.
        let Difference { value, error } = derivative(0.1, 24, 1e-16, |t| vec![t.exp() + (t - 1e-4).max(0.0)]);
        assert!((value[0] - 1.0).abs() <= 4.0 * error && error < 1e-6, "{value:?} ± {error:e}");
        // A kink at 0: no step does, but the two sides' mean is what symmetric differences settle on.
        let Difference { value, .. } = derivative(0.1, 16, 1e-16, |t| vec![t.max(0.0)]);
        assert_eq!(value, [0.5]);
        assert_eq!(derivative(0.1, 8, 1e-16, |_| vec![f64::NAN]).error, f64::INFINITY);
    }
}
