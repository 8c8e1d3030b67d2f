//! One drawing: from the bytes of a PNG to 28 × 28 bytes of ink, and from those to numbers.

use std::io::Cursor;

use image::{ImageFormat, ImageReader, Limits};

use crate::tasks::reduce::{Filter, SIDE, reduce};

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
    reduce(page.as_raw(), page.width() as usize, Filter::Triangle, out);
    Ok(())
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
