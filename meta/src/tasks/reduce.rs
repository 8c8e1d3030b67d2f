//! Pages of any size to the size that networks see.

/// Pixels of a drawing's side, once reduced.
pub const SIDE: usize = 28;

/// How pixels of a page become one of a drawing. With s = m/n pixels of the page in one of the drawing, r = max(s, 1),
/// and d the distance of a pixel of the page from the middle of the one made, the weight is
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// max(0, 1 − d/r): a triangle, as drawings of Omniglot are reduced.
    Triangle,
    /// the part of the page's pixel within r/2 of the middle: plain area coverage, as [`Glyphs`](super::Glyphs) are inked.
    Coverage,
}

/// Turns paper into ink (255 − shade) and reduces the page, row-major, `width` wide, to 28 × 28: first down, then across.
///
/// It is here, not from a library, for speed and for its bytes never to change.
///
/// # Panics
/// Where the page has no whole rows, or none at all.
pub fn reduce(page: &[u8], width: usize, filter: Filter, out: &mut [u8]) {
    assert!(width > 0 && !page.is_empty() && page.len().is_multiple_of(width), "a page of whole rows");
    assert_eq!(out.len(), SIDE * SIDE, "a drawing has {SIDE} × {SIDE} pixels");
    let height = page.len() / width;
    let mut line = vec![0.0; width];
    let columns: Vec<_> = (0..SIDE).map(|i| filter.taps(width, i)).collect();
    for (i, out) in out.chunks_exact_mut(SIDE).enumerate() {
        let (top, weights) = filter.taps(height, i);
        line.fill(0.0);
        for (weight, row) in weights.iter().zip(page[top * width..].chunks_exact(width)) {
            for (sum, shade) in line.iter_mut().zip(row) {
                *sum += weight * f32::from(255 - shade);
            }
        }
        for (pixel, (left, weights)) in out.iter_mut().zip(&columns) {
            let terms = weights.iter().zip(&line[*left..]);
            let sum: f32 = terms.map(|(weight, ink)| weight * ink).sum();
            *pixel = (sum + 0.5) as u8;
        }
    }
}

impl Filter {
    /// The first of `side` pixels that make up pixel `i` of 28, and the weights from there on (sum 1).
    fn taps(self, side: usize, i: usize) -> (usize, Vec<f32>) {
        let scale = side as f32 / SIDE as f32;
        let radius = scale.max(1.0);
        let reach = match self {
            Filter::Triangle => radius,
            Filter::Coverage => 0.5 * (radius + 1.0),
        };
        let centre = (i as f32 + 0.5) * scale;
        let weight = |j: usize| {
            let distance = (j as f32 + 0.5 - centre).abs();
            match self {
                Filter::Triangle => (1.0 - distance / reach).max(0.0),
                Filter::Coverage => (reach - distance).clamp(0.0, 1.0),
            }
        };
        let first = (centre - reach).max(0.0) as usize;
        let end = ((centre + reach).ceil() as usize).min(side);
        let total: f32 = (first..end).map(weight).sum();
        let weights = (first..end).map(|j| weight(j) / total).collect();
        (first, weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of several shapes, as ink.
    fn pages() -> impl Iterator<Item = image::GrayImage> {
        let sizes = [(105, 105), (28, 28), (1, 1), (13, 300), (29, 27), (1000, 2)];
        let shade = |x: u32, y: u32| image::Luma([(x * x * 31 + y * y * 17 + x * y * 5) as u8]);
        sizes.into_iter().map(move |(width, height)| image::GrayImage::from_fn(width, height, shade))
    }

    fn reduced(ink: &image::GrayImage, filter: Filter) -> Vec<u8> {
        let paper: Vec<u8> = ink.as_raw().iter().map(|p| 255 - p).collect();
        let mut out = vec![0; SIDE * SIDE];
        reduce(&paper, ink.width() as usize, filter, &mut out);
        out
    }

    #[test]
    fn reduction_agrees_with_another_implementation() {
        use image::imageops::{FilterType, resize};
        for ink in pages() {
            let theirs = resize(&ink, SIDE as u32, SIDE as u32, FilterType::Triangle);
            for (ours, theirs) in reduced(&ink, Filter::Triangle).iter().zip(theirs.as_raw()) {
                assert!(ours.abs_diff(*theirs) <= 1, "{} × {}: {ours} {theirs}", ink.width(), ink.height());
            }
        }
    }

    #[test]
    fn coverage_keeps_the_amount_of_ink() {
        for ink in pages().filter(|ink| ink.width() >= 28 && ink.height() >= 28) {
            let mean = |pixels: &[u8]| pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64;
            let (before, after) = (mean(ink.as_raw()), mean(&reduced(&ink, Filter::Coverage)));
            // Each of 784 pixels is rounded by at most ½, in no direction of its own.
            assert!((before - after).abs() < 0.1, "{} × {}: {before} {after}", ink.width(), ink.height());
        }
        // Four columns of the page to one of the drawing: an edge between two columns stays sharp.
        let edge = image::GrayImage::from_fn(112, 112, |x, _| image::Luma([if x < 56 { 0 } else { 255 }]));
        assert_eq!(reduced(&edge, Filter::Coverage)[12..16], [0, 0, 255, 255]);
    }
}
