//! Dust: what is too small for a mark of the pen.

/// What was found beside the marks that stay.
pub struct Specks {
    /// The width of a stroke, in pixels: 2 · area / perimeter of the largest part.
    pub stroke: f64,
    /// The indices of what was erased.
    pub erased: Vec<usize>,
}

/// Erases the parts of `ink` (row-major, touching also by corners) whose area is below a quarter of the squared stroke
/// width; dots, which are as wide as strokes, stay.
///
/// Edges of pixels are 4/π times a perimeter, on average over directions.
pub fn erase(ink: &mut [bool], width: usize) -> Specks {
    let mut unseen = ink.to_vec();
    let mut parts = Vec::new();
    let mut pixels = Vec::new();
    for start in 0..ink.len() {
        if unseen[start] {
            flood(&mut unseen, width, start, &mut pixels);
            parts.push((start, pixels.len(), edges(ink, width, &pixels)));
        }
    }
    let largest = parts.iter().max_by_key(|(_, area, _)| area);
    let stroke =
        largest.map_or(0.0, |&(_, area, edges)| 2.0 * area as f64 / (std::f64::consts::FRAC_PI_4 * edges as f64));
    let mut erased = Vec::new();
    for (start, area, _) in parts {
        if (area as f64) < 0.25 * stroke * stroke {
            flood(ink, width, start, &mut pixels);
            erased.extend_from_slice(&pixels);
        }
    }
    Specks { stroke, erased }
}

/// Clears the part that `start` belongs to and lists its pixels.
fn flood(ink: &mut [bool], width: usize, start: usize, pixels: &mut Vec<usize>) {
    let height = ink.len() / width;
    pixels.clear();
    pixels.push(start);
    ink[start] = false;
    let mut next = 0;
    while let Some(&pixel) = pixels.get(next) {
        let (x, y) = (pixel % width, pixel / width);
        for y in y.saturating_sub(1)..(y + 2).min(height) {
            for x in x.saturating_sub(1)..(x + 2).min(width) {
                if std::mem::take(&mut ink[y * width + x]) {
                    pixels.push(y * width + x);
                }
            }
        }
        next += 1;
    }
}

/// How many sides of these pixels have no ink beyond them.
fn edges(ink: &[bool], width: usize, pixels: &[usize]) -> usize {
    let height = ink.len() / width;
    let sides = |&pixel: &usize| {
        let (x, y) = (pixel % width, pixel / width);
        let left = x == 0 || !ink[pixel - 1];
        let right = x + 1 == width || !ink[pixel + 1];
        let above = y == 0 || !ink[pixel - width];
        let below = y + 1 == height || !ink[pixel + width];
        [left, right, above, below].into_iter().filter(|&edge| edge).count()
    };
    pixels.iter().map(sides).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stay_and_dust_goes() {
        let width = 60;
        let mut ink = vec![false; width * 60];
        let mut fill = |left: usize, top: usize, w: usize, h: usize| {
            (top..top + h).for_each(|y| ink[y * width + left..][..w].fill(true));
        };
        fill(10, 20, 6, 30);
        fill(10, 8, 6, 6);
        fill(40, 40, 2, 2);
        fill(0, 0, 1, 1);
        // Touching by a corner is touching.
        fill(16, 50, 1, 1);
        let Specks { stroke, mut erased } = erase(&mut ink, width);
        // 2 · 181 / (π/4 · 76): of a stroke 6 wide and 30 long with a pixel at its corner.
        assert!((stroke - 6.065).abs() < 1e-3, "{stroke}");
        erased.sort_unstable();
        assert_eq!(erased, [0, 40 * width + 40, 40 * width + 41, 41 * width + 40, 41 * width + 41]);
        assert_eq!(ink.iter().filter(|&&i| i).count(), 6 * 30 + 36 + 1);
    }

    #[test]
    fn of_thin_lines_nothing_is_dust() {
        let mut ink = vec![false; 100];
        ink[..5].fill(true);
        ink[77] = true;
        assert!(erase(&mut ink, 10).erased.is_empty());
        assert!(erase(&mut [false; 4], 2).erased.is_empty());
    }
}
