//! One drawing: from the bytes of a PNG to 28 × 28 bytes of ink, and from those to numbers.

use std::io::Cursor;

use image::{ImageFormat, ImageReader, Limits};

/// Pixels of a drawing's side, once reduced.
pub(super) const SIDE: usize = 28;

/// Pixels of a drawing.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// The largest side that is believed, and with it the memory that damaged bytes can ask for.
const LARGEST_SIDE: u32 = 4096;

/// Decodes a drawing (ink is dark) and writes it with ink 255, reduced to 28 × 28 by the triangle
/// filter, widened to the scale of the reduction. Says what is wrong if it cannot.
pub(super) fn decode(png: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut reader = ImageReader::with_format(Cursor::new(png), ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    reader.limits(limits);
    let page = reader.decode().map_err(|e| e.to_string())?.into_luma8();
    reduce(page.as_raw(), page.width() as usize, out);
    Ok(())
}

/// Turns paper into ink (255 − shade) and reduces the page to 28 × 28: first down, then across.
///
/// The filter is a triangle, as wide as antialiasing asks: output pixel i of n output and m input
/// pixels is the mean of the input with weights max(0, 1 − |j + ½ − (i + ½) s| / max(s, 1)), s = m/n.
/// It is here, not from a library, for speed and for its bytes never to change.
fn reduce(page: &[u8], width: usize, out: &mut [u8]) {
    let height = page.len() / width;
    let mut line = vec![0.0; width];
    let columns: Vec<_> = (0..SIDE).map(|i| taps(width, i)).collect();
    for (i, out) in out.chunks_exact_mut(SIDE).enumerate() {
        let (top, weights) = taps(height, i);
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

/// The first of `side` pixels that make up pixel `i` of 28, and the weights from there on (sum 1).
fn taps(side: usize, i: usize) -> (usize, Vec<f32>) {
    let scale = side as f32 / SIDE as f32;
    let support = scale.max(1.0);
    let centre = (i as f32 + 0.5) * scale;
    let weight = |j: usize| (1.0 - (j as f32 + 0.5 - centre).abs() / support).max(0.0);
    let first = (centre - support).max(0.0) as usize;
    let end = ((centre + support).ceil() as usize).min(side);
    let total: f32 = (first..end).map(weight).sum();
    let weights = (first..end).map(|j| weight(j) / total).collect();
    (first, weights)
}

/// Ink in [0, 1], turned counterclockwise by `turns` · 90°.
pub(super) fn unpack(drawing: &[u8], turns: usize, out: &mut [f32]) {
    const LAST: usize = SIDE - 1;
    let ink = |row: usize, column: usize| f32::from(drawing[row * SIDE + column]) / 255.0;
    for (row, line) in out.chunks_exact_mut(SIDE).enumerate() {
        for (column, pixel) in line.iter_mut().enumerate() {
            *pixel = match turns {
                0 => ink(row, column),
                1 => ink(column, LAST - row),
                2 => ink(LAST - row, LAST - column),
                _ => ink(LAST - column, row),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduction_agrees_with_another_implementation() {
        use image::imageops::{FilterType, resize};
        for (width, height) in [(105, 105), (28, 28), (1, 1), (13, 300), (29, 27), (1000, 2)] {
            let ink = image::GrayImage::from_fn(width, height, |x, y| {
                image::Luma([(x * x * 31 + y * y * 17 + x * y * 5) as u8])
            });
            let paper: Vec<u8> = ink.as_raw().iter().map(|p| 255 - p).collect();
            let mut ours = vec![0; PIXELS];
            reduce(&paper, width as usize, &mut ours);
            let theirs = resize(&ink, SIDE as u32, SIDE as u32, FilterType::Triangle);
            for (ours, theirs) in ours.iter().zip(theirs.as_raw()) {
                assert!(ours.abs_diff(*theirs) <= 1, "{width} × {height}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn four_turns_are_none() {
        let drawing: Vec<u8> = (0..PIXELS).map(|i| (i * 7 % 256) as u8).collect();
        let mut once = vec![0.0; PIXELS];
        unpack(&drawing, 1, &mut once);
        // The top right corner goes to the top left.
        assert_eq!(once[0], f32::from(drawing[SIDE - 1]) / 255.0);

        let mut turned = drawing.clone();
        for turns in 0..4 {
            let mut direct = vec![0.0; PIXELS];
            unpack(&drawing, turns, &mut direct);
            let stepwise: Vec<f32> = turned.iter().map(|p| f32::from(*p) / 255.0).collect();
            assert_eq!(direct, stepwise);
            let mut next = vec![0.0; PIXELS];
            unpack(&turned, 1, &mut next);
            turned = next.iter().map(|p| (p * 255.0).round() as u8).collect();
        }
        assert_eq!(turned, drawing);
    }
}
