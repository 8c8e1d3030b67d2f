//! Drawing a character: a shaky hand, then antialiased ink.

use super::alphabet::{Character, Point, Stroke};
use crate::tasks::random::{Random, sin_cos};
use crate::tasks::reduce::SIDE;

// How much one drawing differs from the next. With these, nearest neighbour on raw pixels has 45 % of
// 5-way 1-shot tasks right (on Omniglot 46 %), while the eye has no trouble. Any change to them, or to
// what is drawn from `rng`, needs a new stream name in `glyphs.rs`: it makes other tasks.

/// Standard size: the share of the page that a character spans.
const SIZE: (f32, f32) = (0.55, 0.8);
/// Ratio of its width to its height, in either direction.
const STRETCH: f32 = 0.16;
/// Rotation, in radians to either side.
const ROTATION: f32 = 0.35;
/// Sideways slant of a unit of height.
const SHEAR: f32 = 0.22;
/// Shift of the centre, in pixels.
const SHIFT: f32 = 3.0;
/// Shake of a control point, as a share of the character.
const SHAKE: f32 = 0.09;
/// Change of an arc's radius (relative) and angles (radians).
const ARC_SHAKE: f32 = 0.18;
/// Pen radius, in pixels.
const PEN: (f32, f32) = (0.6, 1.0);

/// Draws `character` on `image` (28 × 28, ink 1, background 0), as `rng` would have it.
pub(super) fn draw(character: &Character, rng: &mut Random, image: &mut [f32]) {
    let place = placement(rng);
    let pen = rng.between(PEN.0, PEN.1);
    let mut ink = Ink::on(image, pen);
    for stroke in character.strokes() {
        let mut stroke = *stroke;
        shake(&mut stroke, rng);
        let mut last = None;
        stroke.trace(|point| {
            let point = place(point);
            if let Some(from) = last {
                ink.line(from, point);
            }
            last = Some(point);
        });
    }
    ink.dry();
}

/// The map from the character's square to pixels: p ↦ centre + size · R(α) [1 shear; 0 1] diag(w, 1/w) p.
fn placement(rng: &mut Random) -> impl Fn(Point) -> Point + use<> {
    let size = rng.between(SIZE.0, SIZE.1) * SIDE as f32;
    let width = 1.0 + rng.between(-STRETCH, STRETCH);
    let shear = rng.between(-SHEAR, SHEAR);
    let (sin, cos) = sin_cos(f64::from(rng.between(-ROTATION, ROTATION)));
    let (sin, cos) = (sin as f32, cos as f32);
    let middle = SIDE as f32 / 2.0;
    let centre = [0, 1].map(|_| middle + rng.between(-SHIFT, SHIFT));
    move |[x, y]| {
        let (y, x) = (y / width, x * width);
        let x = x + shear * y;
        [centre[0] + size * (cos * x - sin * y), centre[1] + size * (sin * x + cos * y)]
    }
}

/// Moves the control points of a stroke.
fn shake(stroke: &mut Stroke, rng: &mut Random) {
    stroke.move_points(|[x, y]| [x + rng.around_zero(SHAKE), y + rng.around_zero(SHAKE)]);
    if let Stroke::Arc { radius, start, sweep, .. } = stroke {
        *radius *= 1.0 + rng.around_zero(ARC_SHAKE);
        *start += rng.around_zero(2.0 * ARC_SHAKE);
        *sweep += rng.around_zero(2.0 * ARC_SHAKE);
    }
}

/// A page on which each pixel holds the squared distance to the nearest line so far.
struct Ink<'a> {
    page: &'a mut [f32],
    pen: f32,
}

impl<'a> Ink<'a> {
    fn on(page: &'a mut [f32], pen: f32) -> Ink<'a> {
        page.fill(f32::MAX);
        Ink { page, pen }
    }

    /// A straight line of the pen; only pixels that it can reach are touched.
    fn line(&mut self, from: Point, to: Point) {
        let reach = self.pen + 0.5;
        let pixels = |axis: usize| {
            let low = from[axis].min(to[axis]) - reach;
            let high = from[axis].max(to[axis]) + reach;
            let limit = SIDE as f32;
            // Centres are at i + ½. Casts truncate, and what is off the page is no pixel.
            let first = (low - 0.5).clamp(0.0, limit) as usize;
            let end = (high + 0.5).clamp(0.0, limit) as usize;
            first..end
        };
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length2 = dx * dx + dy * dy;
        let inverse = if length2 > 0.0 { 1.0 / length2 } else { 0.0 };
        let columns = pixels(0);
        for row in pixels(1) {
            let py = row as f32 + 0.5 - from[1];
            let line = &mut self.page[row * SIDE..][..SIDE][columns.clone()];
            for (column, nearest) in columns.clone().zip(line) {
                let px = column as f32 + 0.5 - from[0];
                // The nearest point of the line is from + t (to − from).
                let t = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
                let (ex, ey) = (px - t * dx, py - t * dy);
                *nearest = nearest.min(ex * ex + ey * ey);
            }
        }
    }

    /// Turns distances into ink: the share of a pixel that a straight edge at that distance covers.
    fn dry(self) {
        let edge = self.pen + 0.5;
        for pixel in self.page {
            *pixel = (edge - pixel.sqrt()).clamp(0.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_area_of_its_shape() {
        let mut page = vec![0.0; SIDE * SIDE];
        let mut ink = Ink::on(&mut page, 1.0);
        ink.line([6.0, 9.3], [22.0, 15.1]);
        ink.dry();
        let area: f32 = page.iter().sum();
        // A rectangle, and a half disc at each end.
        let length = (16.0_f32 * 16.0 + 5.8 * 5.8).sqrt();
        let expected = 2.0 * length + std::f32::consts::PI;
        assert!((area - expected).abs() < 0.03 * expected, "{area} {expected}");
    }

    #[test]
    fn lines_off_the_page_and_points_are_harmless() {
        let mut page = vec![0.0; SIDE * SIDE];
        let mut ink = Ink::on(&mut page, 1.0);
        ink.line([-50.0, -10.0], [-30.0, 90.0]);
        ink.line([50.0, 50.0], [50.0, 50.0]);
        ink.dry();
        assert!(page.iter().all(|p| *p == 0.0));
        let mut ink = Ink::on(&mut page, 1.0);
        ink.line([5.5, 5.5], [5.5, 5.5]);
        ink.dry();
        assert_eq!(page[5 * SIDE + 5], 1.0);
    }
}
