//! Numbers from ChaCha8, by formulas written here so that no library version can change them.
//!
//! ```text
//! key     = name (16 bytes, zero padded) ‖ seed (8, little endian) ‖ part (8)
//! stream  = k
//! ```
//!
//! `part` is the split, so that distinct splits have distinct keys: they share no stream whatever
//! `k` is, and neither do two kinds of task with the same seed.
//!
//! sin and cos are here too: the system's differ in the last bit from machine to machine, and a
//! task's bytes must not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Split;

/// One stream of random numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    /// Stream number `stream` of the family (`name`, `seed`, `part`). Names have at most 16 bytes.
    pub fn new(name: &str, seed: u64, part: u64, stream: u64) -> Random {
        let mut key = [0; 32];
        key[..name.len()].copy_from_slice(name.as_bytes());
        key[16..24].copy_from_slice(&seed.to_le_bytes());
        key[24..].copy_from_slice(&part.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Random(rng)
    }

    /// The stream of task `k` of a split.
    pub fn of_task(name: &str, seed: u64, split: Split, k: u64) -> Random {
        let part = match split {
            Split::Train => 1,
            Split::Validation => 2,
            Split::Test => 3,
        };
        Random::new(name, seed, part, k)
    }

    /// Uniform in [0, 1): ⌊w / 2⁸⌋ · 2⁻²⁴ of a 32-bit word w.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in [low, high): low + (high − low) · ⌊w / 2¹¹⌋ · 2⁻⁵³ of a 64-bit word w.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
        low + (high - low) * unit
    }

    /// Uniform in [low, high), from one 32-bit word.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Triangular in (−width, width), densest at 0: width · (u + u′ − 1).
    pub fn around_zero(&mut self, width: f32) -> f32 {
        width * (self.unit() + self.unit() - 1.0)
    }

    /// Two independent normal numbers: √(−2 ln u) (cos 2πu′, sin 2πu′) (Box & Muller 1958), u in (0, 1].
    pub fn normals(&mut self) -> [f64; 2] {
        let (u, angle) = (1.0 - self.uniform(0.0, 1.0), self.uniform(0.0, std::f64::consts::TAU));
        let (sin, cos) = sin_cos(angle);
        let radius = (-2.0 * autodiff::Real::ln(u)).sqrt();
        [radius * cos, radius * sin]
    }

    /// Uniform in 0..n, without bias: ⌊w n / 2³²⌋, drawn again in the 2³² mod n cases too many
    /// (Lemire, "Fast random integer generation in an interval", 2019).
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "a number below 0 was asked for");
        let excess = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(n);
            if product as u32 >= excess {
                return (product >> 32) as u32;
            }
        }
    }

    /// Fills `out` with distinct numbers of 0..n, every ordered choice equally likely.
    pub fn distinct(&mut self, n: u32, out: &mut [u32]) {
        assert!(out.len() <= n as usize, "{} distinct numbers below {n} were asked for", out.len());
        for i in 0..out.len() {
            out[i] = loop {
                let candidate = self.below(n);
                if !out[..i].contains(&candidate) {
                    break candidate;
                }
            };
        }
    }

    /// A uniformly random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

/// (sin x, cos x) for |x| < 10⁵, to some 2·10⁻¹⁶, the same bits on every machine.
///
/// x = k π/2 + r, then the Taylor polynomials of degree 15 and 16 in r.
pub(crate) fn sin_cos(x: f64) -> (f64, f64) {
    let (k, r) = quarters(x);
    let (sin, cos) = (series(r, &SINE) * r, series(r, &COSINE));
    match k {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// The sines of several numbers, with the bits that [`sin_cos`] has: a series waits for one division after the other, and
/// several do so together.
pub(crate) fn sines<const N: usize>(x: [f64; N]) -> [f64; N] {
    let parts = x.map(quarters);
    let squares = parts.map(|(_, r)| r * r);
    // The cosine has a term more: where there is none, 1 − y/∞ is 1.
    let divisors = parts.map(|(k, _)| if k % 2 == 0 { &SINE } else { &COSINE });
    let mut y = [1.0; N];
    for n in 0..TERMS {
        for ((y, square), divisors) in y.iter_mut().zip(squares).zip(divisors) {
            *y = 1.0 - *y * square / divisors[n];
        }
    }
    for (y, (k, r)) in y.iter_mut().zip(parts) {
        *y *= [r, 1.0, -r, -1.0][k as usize];
    }
    y
}

/// k mod 4 and r of x = k π/2 + r with |r| ≤ π/4: π/2 in two parts, the first with 33 bits so that its product with k is
/// exact.
fn quarters(x: f64) -> (i64, f64) {
    let half_pi_high = f64::from_bits(0x3FF9_21FB_5440_0000);
    let half_pi_low = f64::from_bits(0x3DD0_B461_1A62_6331);
    let k = (x * std::f64::consts::FRAC_2_PI).round();
    ((k as i64).rem_euclid(4), (x - k * half_pi_high) - k * half_pi_low)
}

const TERMS: usize = 8;

/// sin r = r (1 − r²/(2·3) (1 − r²/(4·5) (…))): from the last term on.
const SINE: [f64; TERMS] = [f64::INFINITY, 210.0, 156.0, 110.0, 72.0, 42.0, 20.0, 6.0];
/// cos r = 1 − r²/(1·2) (1 − r²/(3·4) (…))
const COSINE: [f64; TERMS] = [240.0, 182.0, 132.0, 90.0, 56.0, 30.0, 12.0, 2.0];

/// 1 − r²/d (1 − r²/d (…))
fn series(r: f64, divisors: &[f64]) -> f64 {
    divisors.iter().fold(1.0, |y, d| 1.0 - y * (r * r) / d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sin_and_cos_agree_with_the_system() {
        for i in -2000..2000 {
            let x = f64::from(i) * 0.013_7;
            let (sin, cos) = sin_cos(x);
            let several = [x, 0.3, -x];
            assert_eq!(sines(several).map(f64::to_bits), several.map(|x| sin_cos(x).0.to_bits()), "{x}");
            assert!((sin - x.sin()).abs() < 4e-16, "sin {x}");
            assert!((cos - x.cos()).abs() < 4e-16, "cos {x}");
        }
    }

    #[test]
    fn splits_names_seeds_and_tasks_have_streams_of_their_own() {
        let mut first_words = Vec::new();
        for name in ["sinusoid", "glyphs"] {
            for seed in [0, 1, 1 << 40] {
                for split in Split::ALL {
                    for k in [0, 1, 1 << 62, u64::MAX] {
                        let mut rng = Random::of_task(name, seed, split, k);
                        first_words.push((rng.0.next_u64(), rng.0.next_u64()));
                    }
                }
            }
        }
        let count = first_words.len();
        first_words.sort_unstable();
        first_words.dedup();
        assert_eq!(first_words.len(), count);
    }

    /// The numbers themselves are promised: a change here changes every result. These come from an
    /// implementation of ChaCha8 of its own, outside this program.
    #[test]
    fn numbers_do_not_change_with_library_versions() {
        let mut rng = Random::of_task("sinusoid", 1, Split::Train, 2);
        let words: Vec<u32> = (0..4).map(|_| rng.below(1_000_000)).collect();
        assert_eq!(words, WORDS);
    }
    const WORDS: [u32; 4] = [434_254, 879_013, 929_589, 55_920];

    #[test]
    fn below_is_uniform_and_distinct_is_distinct() {
        let mut rng = Random::new("test", 0, 0, 0);
        let mut counts = [0; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (9_600..10_400).contains(c)), "{counts:?}");

        let mut all = [0; 30];
        rng.distinct(30, &mut all);
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..30));
    }

    #[test]
    fn normals_have_the_moments_of_a_normal_distribution() {
        let mut rng = Random::new("test", 0, 0, 2);
        const N: usize = 100_000;
        let values: Vec<f64> = (0..N / 2).flat_map(|_| rng.normals()).collect();
        // xᵏ has the variance (2k − 1)!! − (k − 1)!!² (the latter for even k); five standard errors.
        for (k, moment, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let mean = values.iter().map(|x| x.powi(k)).sum::<f64>() / N as f64;
            assert!((mean - moment).abs() < 5.0 * f64::sqrt(variance / N as f64), "moment {k}: {mean}");
        }
        let covariance = values.chunks_exact(2).map(|v| v[0] * v[1]).sum::<f64>() / (N / 2) as f64;
        assert!(covariance.abs() < 5.0 / f64::sqrt((N / 2) as f64), "{covariance}");
    }

    #[test]
    fn floats_stay_in_their_ranges() {
        let mut rng = Random::new("test", 0, 0, 1);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&rng.unit()));
            assert!((-2.0..3.0).contains(&rng.uniform(-2.0, 3.0)));
            assert!(rng.around_zero(0.5).abs() <= 0.5);
        }
    }
}
