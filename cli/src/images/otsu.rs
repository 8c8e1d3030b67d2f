//! Otsu's threshold: the one that puts the means of the two classes furthest apart.

/// Classes closer than this many shades are one.
const LEAST_CONTRAST: f64 = 16.0;

/// Classes closer than this many standard deviations within them are one that was cut: a uniform distribution cut in
/// half has 3.5, a normal one 2.7; ink on paper has 5 where it is blurred, and else more.
const LEAST_SEPARATION: f64 = 4.0;

/// A cut of shades into dark and light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Otsu {
    /// The lightest dark shade.
    pub threshold: u8,
    /// σ²_B = w₀ w₁ (μ₁ − μ₀)²: of the w₀ dark pixels of mean μ₀ from the w₁ light ones.
    pub between: f64,
}

impl Otsu {
    /// The threshold of largest σ²_B, if what it separates are two classes.
    ///
    /// It needs no parameter, does not depend on polarity, and moves with the brightness and the contrast of a scan.
    pub fn of(histogram: &[u64; 256]) -> Option<Otsu> {
        let total: u64 = histogram.iter().sum();
        let moment = |power: i32| {
            let terms = histogram.iter().enumerate().map(|(shade, &n)| n as f64 * (shade as f64).powi(power));
            terms.sum::<f64>() / total as f64
        };
        let (mean, square) = (moment(1), moment(2));
        let (mut below, mut sum) = (0.0, 0.0);
        let mut best: Option<(Otsu, f64)> = None;
        for (shade, &n) in histogram.iter().enumerate().take(255) {
            below += n as f64 / total as f64;
            sum += n as f64 / total as f64 * shade as f64;
            // A threshold at a shade that no pixel has cuts as the one before it.
            if n == 0 || below >= 1.0 {
                continue;
            }
            let contrast = (mean - sum) / (1.0 - below) - sum / below;
            let between = below * (1.0 - below) * contrast * contrast;
            if best.is_none_or(|(other, _)| between > other.between) {
                best = Some((Otsu { threshold: shade as u8, between }, contrast));
            }
        }
        let (otsu, contrast) = best?;
        let within = (square - mean * mean - otsu.between).max(0.0).sqrt();
        (contrast >= LEAST_CONTRAST && contrast >= LEAST_SEPARATION * within).then_some(otsu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_are_cut_between_them() {
        let mut histogram = [0; 256];
        for (shade, n) in [(40, 2), (50, 5), (60, 3), (200, 60), (210, 100), (220, 80)] {
            histogram[shade] = n;
        }
        let threshold = Otsu::of(&histogram).unwrap().threshold;
        assert!((60..200).contains(&threshold), "{threshold}");
    }

    #[test]
    fn one_class_is_not_cut() {
        let one_shade = std::array::from_fn(|shade| if shade == 7 { 1000 } else { 0 });
        let uniform = std::array::from_fn(|shade| if (100..200).contains(&shade) { 10 } else { 0 });
        let normal = std::array::from_fn(|shade| (1e6 * (-(shade as f64 - 128.0).powi(2) / 800.0).exp()) as u64);
        let faint = std::array::from_fn(|shade| if shade == 250 || shade == 255 { 100 } else { 0 });
        for histogram in [one_shade, uniform, normal, faint] {
            assert_eq!(Otsu::of(&histogram), None);
        }
    }
}
