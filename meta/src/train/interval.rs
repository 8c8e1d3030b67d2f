//! How far a mean of a few numbers may be off.

/// A mean with its 95 % confidence interval, mean ± t s/√n over n tasks: t = 1.96 for many, more for few (Student 1908).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the width.
    pub half_width: f64,
}

impl Interval {
    /// Of independent values; one alone says nothing of how far off it is: its interval is infinite.
    pub fn of(values: &[f64]) -> Self {
        Self::one_of(1, values)
    }

    /// One of `count` intervals that all hold at once with 95 % (Bonferroni).
    pub fn one_of(count: usize, values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        if values.len() < 2 {
            return Interval { mean, half_width: f64::INFINITY };
        }
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        let t = student(0.025 / count as f64, values.len() - 1);
        Interval { mean, half_width: t * (variance / n).sqrt() }
    }
}

/// About the t with P(T > t) = p < ½ of Student's T with so many degrees of freedom: exact for 1 and 2, and for more the
/// expansion around the normal distribution's (Abramowitz & Stegun 26.7.5), at p = 0.025 to a thousandth or two of it.
fn student(p: f64, degrees: usize) -> f64 {
    match degrees {
        1 => 1.0 / (std::f64::consts::PI * p).tan(),
        2 => (1.0 - 2.0 * p) / (2.0 * p * (1.0 - p)).sqrt(),
        _ => {
            let (n, normal) = (degrees as f64, normal(p));
            let z = normal * normal;
            let terms = [
                (z + 1.0) / 4.0,
                ((5.0 * z + 16.0) * z + 3.0) / 96.0,
                (((3.0 * z + 19.0) * z + 17.0) * z - 15.0) / 384.0,
                ((((79.0 * z + 776.0) * z + 1482.0) * z - 1920.0) * z - 945.0) / 92160.0,
            ];
            normal * (1.0 + terms.iter().rev().fold(0.0, |sum, term| (sum + term) / n))
        }
    }
}

/// The z with P(Z > z) = p < ½ of a standard normal Z: bisection on ½ erfc(z/√2).
fn normal(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..80 {
        let z = 0.5 * (low + high);
        if 0.5 * libm::erfc(z / std::f64::consts::SQRT_2) > p { low = z } else { high = z }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (p, z) in [(0.025, 1.959964), (0.005, 2.575829), (0.0001, 3.719016)] {
            assert!((normal(p) - z).abs() < 1e-6, "{p}");
        }
        for (degrees, t) in [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)] {
            assert!((student(0.025, degrees) / t - 1.0).abs() < 0.0015, "{degrees}: {}", student(0.025, degrees));
        }
        assert!((student(0.005, 10) - 3.169).abs() < 0.005 && (student(0.025, 1_000_000) - 1.96).abs() < 1e-4);
    }

    #[test]
    fn intervals_of_few_values_are_wider() {
        assert_eq!(Interval::of(&[0.7]), Interval { mean: 0.7, half_width: f64::INFINITY });
        let two = Interval::of(&[1.0, 3.0]);
        assert!(two.mean == 2.0 && (two.half_width - 12.706).abs() < 1e-3);
        assert!((Interval::one_of(5, &[1.0, 3.0]).half_width - 63.657).abs() < 1e-3);
    }
}
