//! Eigenvalues of a small symmetric matrix in place, without allocating: cyclic Jacobi rotations (Golub & Van Loan,
//! section 8.5).

/// Sweeps at most; they end where nothing off the diagonal would change an eigenvalue.
const SWEEPS: usize = 30;

/// A ← diag(eigenvalues), descending; the columns of V are the eigenvectors. Both are n × n, column after column.
///
/// # Panics
/// Where a slice is shorter than n².
pub(super) fn symmetric_eigen(n: usize, a: &mut [f64], v: &mut [f64]) {
    let (a, v) = (&mut a[..n * n], &mut v[..n * n]);
    v.fill(0.0);
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let (app, aqq, apq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
                if apq.abs() <= f64::EPSILON * 0.5 * (app * aqq).abs().sqrt() || apq.abs() < f64::MIN_POSITIVE {
                    continue;
                }
                rotated = true;
                let tau = (aqq - app) / (2.0 * apq);
                let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (akp, akq) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * akp - s * akq, s * akp + c * akq);
                }
                for k in 0..n {
                    let (apk, aqk) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * apk - s * aqk, s * apk + c * aqk);
                }
                for k in 0..n {
                    let (vkp, vkq) = (v[p * n + k], v[q * n + k]);
                    (v[p * n + k], v[q * n + k]) = (c * vkp - s * vkq, s * vkp + c * vkq);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    // Selection: n is small.
    for i in 0..n {
        // The first of equals: `max_by` takes the last.
        let largest = (i..n).rev().max_by(|&j, &k| a[j * n + j].total_cmp(&a[k * n + k])).unwrap_or(i);
        a.swap(i * n + i, largest * n + largest);
        if largest != i {
            (0..n).for_each(|k| v.swap(i * n + k, largest * n + k));
        }
    }
    for (i, entry) in a.iter_mut().enumerate() {
        if i % (n + 1) != 0 {
            *entry = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    #[test]
    fn as_a_library_of_its_own_has_it() {
        for (n, shift) in [(1, 0.0), (2, 0.0), (7, -1.0), (12, 3.0)] {
            let entry = |i: usize, j: usize| {
                ((i * 7 + j * 7) as f64).sin() + ((i * j) as f64).cos() + if i == j { shift } else { 0.0 }
            };
            let matrix = DMatrix::from_fn(n, n, entry);
            let (mut a, mut v) = (matrix.as_slice().to_vec(), vec![0.0; n * n]);
            symmetric_eigen(n, &mut a, &mut v);
            let mut expected = matrix.clone().symmetric_eigenvalues().as_slice().to_vec();
            expected.sort_by(|x, y| y.total_cmp(x));
            let size = matrix.norm();
            for i in 0..n {
                // Both are backward stable: n roundings of ‖A‖.
                assert!(
                    (a[i * n + i] - expected[i]).abs() <= 1e-14 * size,
                    "{n}: {} and {}",
                    a[i * n + i],
                    expected[i]
                );
            }
            // A V = V Λ and VᵀV = I
            let (v, values) = (DMatrix::from_column_slice(n, n, &v), DMatrix::from_column_slice(n, n, &a));
            assert!((&matrix * &v - &v * values).norm() <= 1e-13 * size);
            assert!((v.transpose() * &v - DMatrix::identity(n, n)).norm() <= 1e-13);
        }
    }

    #[test]
    fn zero_and_diagonal_matrices() {
        let (mut a, mut v) = ([0.0; 9], [0.0; 9]);
        symmetric_eigen(3, &mut a, &mut v);
        assert_eq!((a, v), ([0.0; 9], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
        let mut a = [1.0, 0.0, 0.0, 3.0];
        symmetric_eigen(2, &mut a, &mut v[..4]);
        assert_eq!((a, &v[..4]), ([3.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 0.0][..]));
    }
}
