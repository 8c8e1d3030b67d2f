//! Losses: means over the rows of a batch.

use autodiff::{Indices, Real, Shape, Var};

/// Mean squared error over all elements, Σ (a − b)² / n.
///
/// # Panics
/// Where the shapes differ.
#[track_caller]
pub fn mse<'t>(output: Var<'t>, target: Var<'t>) -> Var<'t> {
    assert_eq!(output.shape(), target.shape(), "mse: output and target differ in shape");
    (output - target).square().mean_all()
}

/// Softmax cross-entropy: the mean over rows of logsumexp(z) − `z[label]`.
///
/// `logits` are \[n, classes\], `labels` \[n\].
///
/// # Panics
/// Where the shapes do not fit or a label could be no class.
#[track_caller]
pub fn softmax_cross_entropy<'t>(logits: Var<'t>, labels: Indices<'t>) -> Var<'t> {
    let shape = check_labels("softmax_cross_entropy", logits, labels);
    let picked = (labels.one_hot() * logits).sum_all();
    (logits.logsumexp(&[1]).sum_all() - picked) / shape[0] as f64
}

/// Softmax cross-entropy row by row, `[n]`: for rows that count differently.
///
/// # Panics
/// Where the shapes do not fit or a label could be no class.
#[track_caller]
pub fn softmax_cross_entropy_of_rows<'t>(logits: Var<'t>, labels: Indices<'t>) -> Var<'t> {
    check_labels("softmax_cross_entropy_of_rows", logits, labels);
    logits.logsumexp(&[1]) - (labels.one_hot() * logits).sum(&[1])
}

/// The shape of the logits.
#[track_caller]
fn check_labels(name: &str, logits: Var<'_>, labels: Indices<'_>) -> Shape {
    let (shape, rows) = (logits.shape(), labels.shape());
    assert!(
        shape.rank() == 2 && rows.dims() == &shape.dims()[..1] && labels.bound() == shape[1],
        "{name}: logits {shape}, labels {rows} below {}",
        labels.bound()
    );
    shape
}

/// Cross-entropy of soft targets: the mean over rows of −Σ_c t_c ln softmax(z)_c.
///
/// `logits` and `targets` are \[n, classes\]. A row that does not sum to 1 weighs as much as its sum; one-hot rows give
/// [`softmax_cross_entropy`].
///
/// # Panics
/// Where the shapes differ or are not of rank 2.
#[track_caller]
pub fn soft_cross_entropy<'t>(logits: Var<'t>, targets: Var<'t>) -> Var<'t> {
    let (shape, other) = (logits.shape(), targets.shape());
    assert!(shape.rank() == 2 && shape == other, "soft_cross_entropy: logits {shape}, targets {other}");
    let weighted = (logits.logsumexp(&[1]) * targets.sum(&[1])).sum_all();
    (weighted - (targets * logits).sum_all()) / shape[0] as f64
}

/// Binary cross-entropy of logits: the mean of softplus(z) − z t, for targets t in [0, 1].
///
/// # Panics
/// Where the shapes differ.
#[track_caller]
pub fn binary_cross_entropy<'t>(logits: Var<'t>, target: Var<'t>) -> Var<'t> {
    assert_eq!(logits.shape(), target.shape(), "binary_cross_entropy: logits and target differ in shape");
    (logits.softplus() - logits * target).mean_all()
}

/// F u for the classes that logits z \[n, classes\] give a distribution p = softmax(z) of, row by row:
///
/// ```text
/// F = 1/n 𝔼 s sᵀ = 1/n (diag p − p pᵀ),   s = ∂/∂z ln p_y = e_y − p,   y ~ p
/// ```
///
/// It is the Hessian of [`softmax_cross_entropy`] in the logits, whatever the labels.
///
/// # Panics
/// Where `direction` has another shape than the logits.
#[track_caller]
pub fn softmax_fisher<'t>(logits: Var<'t>, direction: Var<'t>) -> Var<'t> {
    let (shape, other) = (logits.shape(), direction.shape());
    assert!(shape.rank() == 2 && shape == other, "softmax_fisher: logits {shape}, direction {other}");
    let rows = [shape[0], 1];
    let p = (logits - logits.logsumexp(&[1]).reshape(rows)).exp();
    let mean = (p * direction).sum(&[1]).reshape(rows);
    p * (direction - mean) / shape[0] as f64
}

/// F u for outputs z \[n, width\] that are the means of normal distributions of unit variance, row by row:
///
/// ```text
/// F = 1/n 𝔼 s sᵀ = 1/n I,   s = ∂/∂z ln p(y|z) = y − z,   y ~ N(z, I)
/// ```
///
/// The Hessian of [`mse`] in the outputs is 2/(n·width) I = 2/width F: the squared error without its ½ is that of a
/// variance of ½, and its mean is over the width too.
///
/// # Panics
/// Where `direction` has another shape than the outputs.
#[track_caller]
pub fn gaussian_fisher<'t>(output: Var<'t>, direction: Var<'t>) -> Var<'t> {
    let (shape, other) = (output.shape(), direction.shape());
    assert!(shape.rank() == 2 && shape == other, "gaussian_fisher: outputs {shape}, direction {other}");
    direction / shape[0] as f64
}

#[cfg(test)]
mod tests {
    use autodiff::{Arg, Plan, Stage, Tape, grad};

    use super::*;

    #[test]
    fn soft_targets_have_the_gradient_by_hand_and_one_hot_ones_are_labels() {
        let tape = Tape::new();
        let z = tape.input("z", [2, 3], Stage::POINT);
        let t = tape.input("t", [2, 3], Stage::DATA);
        let labels = tape.indices("labels", 2, 3, Stage::DATA);
        let (soft, hard) = (soft_cross_entropy(z, t), softmax_cross_entropy(z, labels));
        let plan: Plan<f64> = Plan::compile(&tape, &[soft, grad(soft, &[z])[0], hard]);
        let logits = [0.3, -1.2, 0.8, 2.0, 0.1, -0.4];
        let run = |t: &[f64]| plan.evaluate_args(&[(&logits[..]).into(), t.into(), Arg::Indices(&[2, 0])]);

        // The second row sums to 1.5. dz_c = (p_c Σt − t_c)/n.
        let targets = [0.2, 0.5, 0.3, 0.75, 0.0, 0.75];
        let (mut value, mut slope) = (0.0, Vec::new());
        for (z, t) in logits.chunks(3).zip(targets.chunks(3)) {
            let (all, sum): (f64, f64) = (z.iter().map(|z| z.exp()).sum(), t.iter().sum());
            value -= z.iter().zip(t).map(|(z, t)| 0.5 * t * (z - all.ln())).sum::<f64>();
            slope.extend(z.iter().zip(t).map(|(z, t)| 0.5 * (sum * z.exp() / all - t)));
        }
        let of = run(&targets);
        // A few roundings of numbers of size 1.
        assert!((of[0][0] - value).abs() <= 1e-15 * 8.0, "{} {value}", of[0][0]);
        assert!(of[1].iter().zip(&slope).all(|(a, b)| (a - b).abs() <= 1e-15), "{:?} {slope:?}", of[1]);

        let one_hot = run(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert!((one_hot[0][0] - one_hot[2][0]).abs() <= 1e-15, "{one_hot:?}");
    }
}
