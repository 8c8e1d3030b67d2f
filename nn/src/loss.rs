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

/// Binary cross-entropy of logits: the mean of softplus(z) − z t, for targets t in [0, 1].
///
/// # Panics
/// Where the shapes differ.
#[track_caller]
pub fn binary_cross_entropy<'t>(logits: Var<'t>, target: Var<'t>) -> Var<'t> {
    assert_eq!(logits.shape(), target.shape(), "binary_cross_entropy: logits and target differ in shape");
    (logits.softplus() - logits * target).mean_all()
}
