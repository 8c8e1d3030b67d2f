//! The shortest vector in the convex hull of some vectors, of which only the inner products are known (Wolfe 1976).

/// The most vectors: which of them a combination is made of is the bits of a number.
pub(super) const MOST: usize = 64;

/// A convex combination, and how short it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shortest {
    /// wᵀAw, its squared norm.
    pub square: f64,
    /// wᵀAw − minᵢ (Aw)ᵢ ≥ 0, which is 0 for the shortest: the squared distance from it is no more than this.
    pub gap: f64,
}

/// w ← argmin wᵀAw over w ≥ 0, Σw = 1, for A = GᵀG, G's columns the vectors.
///
/// `gram` has A's rows, `stride` apart; `work` is at least m² + m numbers long, m the length of `weights`.
///
/// Wolfe's algorithm: w's support is affinely independent and w the shortest vector of its affine hull. The vector with the
/// least (Aw)ᵢ joins; where the shortest vector of the larger hull has a weight below 0, w goes towards it until a weight
/// is 0, which leaves, and so on. wᵀAw falls every time, so that no support comes twice.
///
/// Differs from the paper in: 1. it works on A alone, whose rounding, ε times the largest Aᵢᵢ, is what wᵀAw is uncertain
/// by; 2. it ends where that hides the fall.
///
/// # Panics
/// Where there are no vectors, or more than [`MOST`].
pub(super) fn shortest(gram: &[f64], stride: usize, weights: &mut [f64], work: &mut [f64]) -> Shortest {
    let m = weights.len();
    assert!((1..=MOST).contains(&m), "shortest: {m} vectors, 1 to {MOST} can be combined");
    let at = |i: usize, j: usize| gram[i * stride + j];
    let (factor, affine) = work.split_at_mut(m * m);
    let largest = (0..m).map(|i| at(i, i)).fold(0.0, f64::max);
    let rounding = 4.0 * f64::EPSILON * largest;
    let first = (0..m).min_by(|&i, &j| at(i, i).total_cmp(&at(j, j))).unwrap_or(0);
    weights.fill(0.0);
    weights[first] = 1.0;
    let (mut support, mut last) = (1_u64 << first, f64::INFINITY);
    loop {
        let (mut square, mut entering, mut least) = (0.0, first, f64::INFINITY);
        for i in 0..m {
            // (Aw)ᵢ
            let slope = members(support).map(|j| weights[j] * at(i, j)).sum::<f64>();
            square += weights[i] * slope;
            if slope < least {
                (entering, least) = (i, slope);
            }
        }
        let gap = (square - least).max(0.0);
        // Written so that a NaN ends it.
        if !(gap > rounding && square < last) || support & (1 << entering) != 0 {
            return Shortest { square: if square < 0.0 { 0.0 } else { square }, gap };
        }
        last = square;
        support |= 1 << entering;
        while affine_minimiser(&at, support, largest, factor, affine) {
            // Towards it, until a weight is 0.
            let (mut t, mut leaving) = (1.0, None);
            for (j, &v) in members(support).zip(&*affine) {
                let reach = weights[j] / (weights[j] - v);
                if v <= 0.0 && reach <= t {
                    (t, leaving) = (reach, Some(j));
                }
            }
            for (j, &v) in members(support).zip(&*affine) {
                weights[j] = (weights[j] + t * (v - weights[j])).max(0.0);
            }
            let Some(leaving) = leaving else { break };
            weights[leaving] = 0.0;
            support &= !(1 << leaving);
        }
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        support = members(support).filter(|&j| weights[j] > 0.0).fold(0, |s, j| s | (1 << j));
    }
}

/// v ← argmin vᵀAv over Σv = 1 on a support, by (σeeᵀ + A) z = e, v = z/Σz; whether that is, to rounding, nonsingular.
fn affine_minimiser(
    at: &impl Fn(usize, usize) -> f64,
    support: u64,
    sigma: f64,
    factor: &mut [f64],
    v: &mut [f64],
) -> bool {
    let n = support.count_ones() as usize;
    // Cholesky: L's rows.
    for (a, i) in members(support).enumerate() {
        for (b, j) in members(support).take(a + 1).enumerate() {
            let (done, row) = factor.split_at_mut(a * n);
            let above = if b < a { &done[b * n..b * n + b] } else { &row[..b] };
            let entry = sigma + at(i, j) - row[..b].iter().zip(above).map(|(x, y)| x * y).sum::<f64>();
            if b < a {
                row[b] = entry / done[b * n + b];
            } else if entry > 8.0 * f64::EPSILON * sigma {
                row[b] = entry.sqrt();
            } else {
                return false;
            }
        }
    }
    for a in 0..n {
        let row = &factor[a * n..a * n + a + 1];
        v[a] = (1.0 - row[..a].iter().zip(&*v).map(|(l, z)| l * z).sum::<f64>()) / row[a];
    }
    for a in (0..n).rev() {
        let below: f64 = (a + 1..n).map(|b| factor[b * n + a] * v[b]).sum();
        v[a] = (v[a] - below) / factor[a * n + a];
    }
    let sum: f64 = v[..n].iter().sum();
    v[..n].iter_mut().for_each(|z| *z /= sum);
    true
}

/// The bits of a set, ascending.
fn members(mut set: u64) -> impl Iterator<Item = usize> + Clone {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            lowest as usize
        })
    })
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVector};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    /// Columns as vectors: their Gram matrix, row by row.
    fn gram(vectors: &DMatrix<f64>) -> Vec<f64> {
        (vectors.transpose() * vectors).as_slice().to_vec()
    }

    /// w, and what it says, checked for what has to be true of any.
    fn solve(vectors: &DMatrix<f64>) -> (DVector<f64>, Shortest) {
        let (m, a) = (vectors.ncols(), gram(vectors));
        let (mut w, mut work) = (vec![f64::NAN; m], vec![f64::NAN; m * (m + 1)]);
        let found = shortest(&a, m, &mut w, &mut work);
        let largest = (0..m).map(|i| a[i * m + i]).fold(0.0, f64::max);
        assert!(w.iter().all(|&w| w >= 0.0) && (w.iter().sum::<f64>() - 1.0).abs() <= 4.0 * f64::EPSILON, "{w:?}");
        // KKT: gᵢᵀv ≥ vᵀv for all, and equal where wᵢ > 0, which vᵀv = Σwᵢgᵢᵀv says. A and Aw are rounded, m terms each.
        let rounding = 4.0 * m as f64 * f64::EPSILON * largest;
        let w = DVector::from_vec(w);
        let v = vectors * &w;
        let slopes = vectors.transpose() * &v;
        assert!((v.norm_squared() - found.square).abs() <= rounding, "{} {found:?}", v.norm_squared());
        assert!(slopes.min() >= found.square - rounding, "{} {found:?}", slopes.min());
        for (slope, _) in slopes.iter().zip(&w).filter(|(_, w)| **w > 0.0) {
            assert!((slope - found.square).abs() <= 16.0 * rounding, "{slope} {found:?}");
        }
        (w, found)
    }

    fn random(seed: u64, dim: usize, count: usize, offset: f64) -> DMatrix<f64> {
        let mut words = ChaCha8Rng::seed_from_u64(seed);
        let mut number = || (words.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        let mut vectors = DMatrix::from_fn(dim, count, |_, _| number());
        vectors.row_mut(0).add_scalar_mut(offset);
        vectors
    }

    #[test]
    fn closed_forms() {
        // One; and two, of which the segment's nearest point is an end or between.
        assert_eq!(solve(&DMatrix::from_column_slice(2, 1, &[3.0, 4.0])).1.square, 25.0);
        let (w, found) = solve(&DMatrix::from_column_slice(2, 2, &[1.0, 1.0, 3.0, 2.0]));
        assert_eq!((w[0], found.square), (1.0, 2.0));
        let (w, found) = solve(&DMatrix::from_column_slice(2, 2, &[1.0, 1.0, -2.0, 1.0]));
        assert!((w[0] - 2.0 / 3.0).abs() <= 1e-15 && (found.square - 1.0).abs() <= 1e-15);
        // Orthogonal ones of lengths aᵢ: wᵢ ∝ aᵢ⁻², vᵀv = 1/Σaᵢ⁻².
        let lengths = [1.0, 0.1, 30.0, 2.0, 7.0];
        let (w, found) = solve(&DMatrix::from_diagonal(&DVector::from_row_slice(&lengths)));
        let sum: f64 = lengths.iter().map(|a| 1.0 / (a * a)).sum();
        // A's rounding is 900 ε, of which the shortest's square is 0.01.
        assert!((found.square * sum - 1.0).abs() <= 1e-10, "{found:?}");
        for (w, a) in w.iter().zip(lengths) {
            assert!((w * a * a * sum - 1.0).abs() <= 1e-10, "{a}");
        }
        // 0 is the mean of a simplex's corners eᵢ and −Σeᵢ.
        let corners = DMatrix::from_fn(4, 5, |i, j| if j == 4 { -1.0 } else { f64::from(u8::from(i == j)) });
        let (w, found) = solve(&corners);
        assert!(found.square <= 1e-15 && w.iter().all(|w| (w - 0.2).abs() <= 1e-14), "{w} {found:?}");
        assert_eq!(solve(&DMatrix::zeros(3, 3)).1.square, 0.0);
    }

    /// The least vᵀv over all supports on which the affine minimiser is a convex combination.
    fn by_all_supports(vectors: &DMatrix<f64>) -> f64 {
        let m = vectors.ncols();
        let of = |set: u64| {
            let part = vectors.select_columns(&members(set).collect::<Vec<_>>());
            let n = part.ncols();
            let mut kkt = DMatrix::from_element(n + 1, n + 1, 1.0);
            kkt.view_mut((0, 0), (n, n)).copy_from(&(part.transpose() * &part));
            kkt[(n, n)] = 0.0;
            let mut one = DVector::zeros(n + 1);
            one[n] = 1.0;
            let w = kkt.lu().solve(&one)?.rows(0, n).into_owned();
            (w.min() >= 0.0).then(|| (part * w).norm_squared())
        };
        (1..1_u64 << m).filter_map(of).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn it_is_the_least_over_all_supports() {
        for seed in 0..200 {
            let (dim, count) = (1 + seed as usize % 7, 1 + seed as usize % 9);
            // From 0 well within the hull to far outside.
            let vectors = random(seed, dim, count, [0.0, 0.3, 1.0, 3.0][seed as usize % 4]);
            let (expected, (_, found)) = (by_all_supports(&vectors), solve(&vectors));
            // More vectors than dimensions make singular systems, which lose digits there: not below where 0 is in the hull.
            assert!((found.square - expected).abs() <= 1e-12, "{seed}: {found:?} and {expected}");
        }
    }

    #[test]
    fn large_bundles_copies_and_near_copies_end_at_the_shortest() {
        for seed in 0..20 {
            solve(&random(seed, 100, MOST, 0.2));
            solve(&random(seed, 20, MOST, 0.9));
        }
        let vectors = random(1, 10, 12, 0.5);
        let (_, once) = solve(&vectors);
        let twice = DMatrix::from_fn(10, 24, |i, j| vectors[(i, j % 12)]);
        assert!((solve(&twice).1.square - once.square).abs() <= 1e-14);
        // Apart by less than A can show: it may end with the one or the other, and says how little that leaves.
        let near = DMatrix::from_fn(10, 24, |i, j| vectors[(i, j % 12)] + if j < 12 { 0.0 } else { 1e-10 * i as f64 });
        let (mut w, mut work) = ([0.0; 24], [0.0; 600]);
        let found = shortest(&gram(&near), 24, &mut w, &mut work);
        assert!((found.square - once.square).abs() <= 1e-8 && found.gap <= 1e-8, "{found:?} {once:?}");
        // Of sizes from 1e-6 to 1e6: the longest's rounding is what A shows the others with.
        let graded = DMatrix::from_fn(10, 12, |i, j| vectors[(i, j)] * 10.0_f64.powi(j as i32 - 6));
        solve(&graded);
    }

    #[test]
    fn what_is_not_finite_ends() {
        let (mut w, mut work) = ([0.0; 2], [0.0; 6]);
        let found = shortest(&[f64::NAN; 4], 2, &mut w, &mut work);
        assert!(found.square.is_nan(), "{found:?}");
    }
}
