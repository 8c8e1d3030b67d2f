//! Images as files hold them, [C, H, W], and as models read them, [H, W, C].

use autodiff::Element;

/// One row's shape in a file, from its shape in memory.
pub fn file_row(input: &[usize]) -> Vec<usize> {
    match *input {
        [h, w, c] => vec![c, h, w],
        ref other => other.to_vec(),
    }
}

/// Images in memory order, from file order.
pub fn channels_last<T: Element>(x: &[T], [h, w, c]: [usize; 3]) -> Vec<T> {
    transpose(x, c, h * w)
}

/// Images in file order, from memory order.
pub fn channels_first<T: Element>(x: &[T], [h, w, c]: [usize; 3]) -> Vec<T> {
    transpose(x, h * w, c)
}

/// Each [rows, columns] matrix of `x` as [columns, rows].
fn transpose<T: Element>(x: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut y = Vec::with_capacity(x.len());
    for matrix in x.chunks_exact(rows * columns) {
        for column in 0..columns {
            y.extend((0..rows).map(|row| matrix[row * columns + column]));
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_image() {
        let x: Vec<f64> = (0..2 * 2 * 3 * 4).map(f64::from).collect();
        let last = channels_last(&x, [3, 4, 2]);
        assert_eq!(last[..4], [0.0, 12.0, 1.0, 13.0]);
        assert_eq!(channels_first(&last, [3, 4, 2]), x);
    }
}
