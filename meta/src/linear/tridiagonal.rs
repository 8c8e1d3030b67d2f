//! Eigenvalues of a symmetric tridiagonal matrix in place: implicit QL (Golub & Van Loan, section 8.3). Every Newton
//! iteration of a task asks for some, so nothing is allocated, as `nalgebra`'s would.

/// Iterations for one eigenvalue: two or three are usual.
const ITERATIONS: usize = 60;

/// d ← the eigenvalues of tridiag(e, d, e), in no order; Z ← Z Q, whose columns are the eigenvectors where Z was I.
///
/// `e[i]` is beside `d[i]` and `d[i + 1]`, the last is not used; all are overwritten. Z has n columns of any length, one
/// after the other: with the first unit row alone, Q's first row costs O(n²).
///
/// # Panics
/// Where the length of Z is no multiple of n, or `e` is shorter than `d`.
pub(crate) fn tridiagonal_eigen(d: &mut [f64], e: &mut [f64], z: &mut [f64]) {
    let n = d.len();
    if n == 0 {
        return;
    }
    assert_eq!(z.len() % n, 0, "tridiagonal_eigen: Z has {} numbers for {n} columns", z.len());
    let rows = z.len() / n;
    e[n - 1] = 0.0;
    for first in 0..n {
        for _ in 0..ITERATIONS {
            // The block that `first` belongs to, up to where nothing couples it with the next.
            let coupled = |i: usize| e[i].abs() > f64::EPSILON * 0.5 * (d[i].abs() + d[i + 1].abs());
            let last = (first..n - 1).find(|&i| !coupled(i)).unwrap_or(n - 1);
            if last == first {
                break;
            }
            chase(first, last, d, e, z, rows);
        }
    }
}

/// One QL sweep with Wilkinson's shift over the block `first..=last`.
fn chase(first: usize, last: usize, d: &mut [f64], e: &mut [f64], z: &mut [f64], rows: usize) {
    let half = (d[first + 1] - d[first]) / (2.0 * e[first]);
    let mut g = d[last] - d[first] + e[first] / (half + half.hypot(1.0).copysign(half));
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (first..last).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let r = f.hypot(g);
        e[i + 1] = r;
        if r == 0.0 {
            // The block falls apart here.
            d[i + 1] -= p;
            e[last] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = d[i + 1] - p;
        let r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        let (left, right) = z[i * rows..(i + 2) * rows].split_at_mut(rows);
        for (left, right) in left.iter_mut().zip(right) {
            (*left, *right) = (c * *left - s * *right, s * *left + c * *right);
        }
    }
    d[first] -= p;
    e[first] = g;
    e[last] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(n: usize) -> Vec<f64> {
        (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect()
    }

    #[test]
    fn of_second_differences_they_are_known() {
        for n in [1, 2, 3, 10, 57] {
            let (mut d, mut e, mut z) = (vec![2.0; n], vec![-1.0; n], identity(n));
            tridiagonal_eigen(&mut d, &mut e, &mut z);
            let mut sorted = d.clone();
            sorted.sort_by(f64::total_cmp);
            for (k, value) in sorted.iter().enumerate() {
                let angle = std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64;
                // Some roundings of the norm, 4.
                assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-14 * n as f64, "{n} {k}");
            }
            // T q = w q, column by column, and the columns are orthonormal.
            for (j, &w) in d.iter().enumerate() {
                let q = &z[j * n..(j + 1) * n];
                for i in 0..n {
                    let beside = |i: Option<usize>| i.and_then(|i| q.get(i)).copied().unwrap_or(0.0);
                    let t = 2.0 * q[i] - beside(i.checked_sub(1)) - beside(Some(i + 1));
                    assert!((t - w * q[i]).abs() < 1e-14 * n as f64, "{n} {j} {i}");
                }
                for k in 0..=j {
                    let dot: f64 = q.iter().zip(&z[k * n..]).map(|(a, b)| a * b).sum();
                    assert!((dot - if j == k { 1.0 } else { 0.0 }).abs() < 1e-14 * n as f64, "{n} {j} {k}");
                }
            }
        }
    }

    #[test]
    fn graded_and_decoupled_matrices_and_single_rows() {
        // Blocks of one, two and one; sizes from 1e-12 to 1e3.
        let (d, e) = ([1e-12, 1e3, -1e3, 5.0], [0.0, 2e3, 0.0, 7.0]);
        let (mut values, mut beside, mut row) = (d, e, [1.0, 0.0, 0.0, 0.0]);
        tridiagonal_eigen(&mut values, &mut beside, &mut row);
        let root = 5e6_f64.sqrt();
        for (expected, e1) in [(1e-12, 1.0), (root, 0.0), (-root, 0.0), (5.0, 0.0)] {
            let found = values.iter().position(|v| (v - expected).abs() <= 1e-15 * expected.abs()).unwrap();
            assert_eq!(row[found], e1);
        }
        let mut nan = [f64::NAN, 1.0];
        tridiagonal_eigen(&mut nan, &mut [1.0, 0.0], &mut []);
        assert!(nan.iter().any(|v| v.is_nan()));
    }
}
