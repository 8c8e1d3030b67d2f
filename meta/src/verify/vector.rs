//! Plain arithmetic on vectors: what is checked against shares no kernel with what is checked.

pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

pub(super) fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// y ← y + a x
pub(super) fn add(a: f64, x: &[f64], y: &mut [f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

pub(super) fn scaled(a: f64, x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| a * x).collect()
}

pub(super) fn minus(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x - y).collect()
}

/// ‖x − y‖ / ‖y‖; ‖x‖ where y is 0; infinite where anything is not finite.
pub fn relative_difference(x: &[f64], y: &[f64]) -> f64 {
    let (distance, size) = (norm(&minus(x, y)), norm(y));
    let difference = if size == 0.0 { distance } else { distance / size };
    if difference.is_finite() { difference } else { f64::INFINITY }
}
