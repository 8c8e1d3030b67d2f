//! Characters: strokes through a grid of anchor points, a pure function of a number.

use crate::tasks::random::{Random, sin_cos};

/// A point of the plane; a character fills the square [−½, ½]², y downwards.
pub(super) type Point = [f32; 2];

const MOST_STROKES: usize = 5;
const MOST_POINTS: usize = 4;

/// Anchors a side of the grid.
const GRID: u32 = 4;

/// A made-up character.
#[derive(Clone, Copy)]
pub(super) struct Character {
    strokes: [Stroke; MOST_STROKES],
    len: usize,
}

/// One movement of the pen.
#[derive(Clone, Copy)]
pub(super) enum Stroke {
    /// Straight lines through the first `len` points.
    Line {
        /// Where it starts, turns and ends.
        points: [Point; MOST_POINTS],
        /// How many of them there are.
        len: usize,
    },
    /// (1−t)² a + 2t(1−t) b + t² c for t in [0, 1].
    Curve {
        /// a, b, c.
        points: [Point; 3],
    },
    /// centre + radius · (cos α, sin α) for α from `start` to `start + sweep`.
    Arc {
        /// Centre of the circle.
        centre: Point,
        /// Its radius.
        radius: f32,
        /// First angle, in radians.
        start: f32,
        /// Signed angle that is swept, in radians.
        sweep: f32,
    },
}

impl Character {
    /// Character number `id`, the same whatever the seed of a stream.
    pub fn number(id: u64) -> Character {
        // Version of the alphabet: any change to what follows needs a new name.
        let mut rng = Random::new("glyph alphabet 1", 0, 0, id);
        let mut character = Character {
            strokes: [Stroke::Line { points: [[0.0; 2]; MOST_POINTS], len: 0 }; MOST_STROKES],
            len: 2 + [0, 0, 1, 1, 1, 2, 2, 3][rng.below(8) as usize],
        };
        // Most strokes start where another one passed, as those of real characters do.
        let mut pen = anchor(&mut rng);
        for stroke in &mut character.strokes[..character.len] {
            if rng.below(10) < 4 {
                pen = anchor(&mut rng);
            }
            (*stroke, pen) = Stroke::random(&mut rng, pen);
        }
        character.fit();
        character
    }

    /// The strokes, in the order in which they are drawn.
    pub fn strokes(&self) -> &[Stroke] {
        &self.strokes[..self.len]
    }

    /// Moves and stretches the character into [−½, ½]², by one factor for both directions.
    fn fit(&mut self) {
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for stroke in self.strokes() {
            stroke.trace(|point| {
                for axis in 0..2 {
                    low[axis] = low[axis].min(point[axis]);
                    high[axis] = high[axis].max(point[axis]);
                }
            });
        }
        let scale = 1.0 / (high[0] - low[0]).max(high[1] - low[1]);
        let middle = [0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1])];
        let place = |p: Point| [(p[0] - middle[0]) * scale, (p[1] - middle[1]) * scale];
        for stroke in &mut self.strokes[..self.len] {
            stroke.move_points(place);
            if let Stroke::Arc { radius, .. } = stroke {
                *radius *= scale;
            }
        }
    }
}

/// A point of the grid in the unit square.
fn anchor(rng: &mut Random) -> Point {
    [0, 1].map(|_| rng.below(GRID) as f32 / (GRID - 1) as f32)
}

/// A point of the grid, at least `least` from another.
fn anchor_away(rng: &mut Random, from: Point, least: f32) -> Point {
    loop {
        let point = anchor(rng);
        let (dx, dy) = (point[0] - from[0], point[1] - from[1]);
        if dx * dx + dy * dy >= least * least {
            return point;
        }
    }
}

impl Stroke {
    /// A stroke from `pen`, and a point of it where another may start.
    fn random(rng: &mut Random, pen: Point) -> (Stroke, Point) {
        match rng.below(10) {
            0..4 => {
                let len = 2 + rng.below(3) as usize;
                let mut points = [pen; MOST_POINTS];
                for i in 1..len {
                    points[i] = anchor_away(rng, points[i - 1], 0.5);
                }
                let joint = points[rng.below(len as u32) as usize];
                (Stroke::Line { points, len }, joint)
            }
            4..7 => {
                let end = anchor_away(rng, pen, 0.3);
                let bend = anchor_away(rng, end, 0.3);
                let points = [pen, bend, end];
                let joint = points[2 * rng.below(2) as usize];
                (Stroke::Curve { points }, joint)
            }
            _ => {
                let radius = rng.between(0.17, 0.4);
                let start = rng.between(0.0, std::f32::consts::TAU);
                let turn = rng.between(0.5, 1.0) * std::f32::consts::TAU;
                let sweep = if rng.below(2) == 0 { turn } else { -turn };
                // The circle passes through the pen.
                let (sin, cos) = sin_cos(f64::from(start));
                let centre = [pen[0] - radius * cos as f32, pen[1] - radius * sin as f32];
                let stroke = Stroke::Arc { centre, radius, start, sweep };
                (stroke, pen)
            }
        }
    }

    /// Replaces every control point.
    pub fn move_points(&mut self, mut place: impl FnMut(Point) -> Point) {
        let points = match self {
            Stroke::Line { points, len } => &mut points[..*len],
            Stroke::Curve { points } => points,
            Stroke::Arc { centre, .. } => std::slice::from_mut(centre),
        };
        for point in points {
            *point = place(*point);
        }
    }

    /// The corners of a broken line that follows the stroke, in order.
    pub fn trace(&self, mut visit: impl FnMut(Point)) {
        const CURVE_PIECES: usize = 9;
        const ARC_PIECES: usize = 16;
        match self {
            Stroke::Line { points, len } => points[..*len].iter().copied().for_each(visit),
            Stroke::Curve { points: [a, b, c] } => {
                for i in 0..=CURVE_PIECES {
                    let t = i as f32 / CURVE_PIECES as f32;
                    let (wa, wb, wc) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
                    visit([0, 1].map(|k| wa * a[k] + wb * b[k] + wc * c[k]));
                }
            }
            Stroke::Arc { centre, radius, start, sweep } => {
                let direction = |angle: f64| {
                    let (sin, cos) = sin_cos(angle);
                    (cos as f32, sin as f32)
                };
                let (mut x, mut y) = direction(f64::from(*start));
                let (cos, sin) = direction(f64::from(*sweep) / ARC_PIECES as f64);
                for _ in 0..=ARC_PIECES {
                    visit([centre[0] + radius * x, centre[1] + radius * y]);
                    (x, y) = (x * cos - y * sin, x * sin + y * cos);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_fills_its_square_and_is_always_the_same() {
        for id in 0..2000 {
            let (mut low, mut high) = (f32::MAX, f32::MIN);
            let mut again = Vec::new();
            let character = Character::number(id);
            assert!((2..=5).contains(&character.strokes().len()));
            for stroke in character.strokes() {
                stroke.trace(|p| {
                    low = low.min(p[0]).min(p[1]);
                    high = high.max(p[0]).max(p[1]);
                    again.push(p);
                });
            }
            assert!((-0.51..-0.49).contains(&low) && (0.49..0.51).contains(&high), "{id}");
            let mut points = again.iter();
            for stroke in Character::number(id).strokes() {
                stroke.trace(|p| assert_eq!(points.next(), Some(&p)));
            }
        }
    }
}
