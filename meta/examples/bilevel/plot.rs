//! Drawing: a window on the plane as SVG. Colours are classes, so that the page's style can change with the theme.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::task::{Point, minus, norm};

/// Pixels of a figure, before the page scales it.
const WIDTH: f64 = 440.0;

/// A figure that grows mark by mark.
pub struct Plot {
    from: Point,
    to: Point,
    /// Where the window starts and how large it is, in pixels.
    origin: Point,
    size: Point,
    svg: String,
}

/// Where a label stands, seen from its point.
#[derive(Clone, Copy)]
pub enum Side {
    Left,
    Right,
    Above,
    Below,
}

impl Plot {
    /// A map: one unit is as long in both directions.
    pub fn map(from: Point, to: Point) -> Plot {
        let [x, y] = minus(to, from);
        Plot { from, to, origin: [0.0, 0.0], size: [WIDTH, (WIDTH * y / x).round()], svg: String::new() }
    }

    /// A chart with ticks at the given places of its axes, and their texts.
    pub fn chart(from: Point, to: Point, [x, y]: [&[(f64, &str)]; 2], [x_name, y_name]: [&str; 2]) -> Plot {
        let mut plot = Plot { from, to, origin: [52.0, 34.0], size: [WIDTH - 66.0, 250.0], svg: String::new() };
        let (left, bottom) = (plot.origin[0], plot.origin[1] + plot.size[1]);
        for &(at, text) in x {
            let [px, _] = plot.pixel([at, from[1]]);
            plot.line([px, plot.origin[1]], [px, bottom], "grid");
            plot.text([px, bottom + 18.0], "middle", "tick", text);
        }
        for &(at, text) in y {
            let [_, py] = plot.pixel([from[0], at]);
            plot.line([left, py], [left + plot.size[0], py], "grid");
            plot.text([left - 7.0, py + 4.0], "end", "tick", text);
        }
        plot.text([left + plot.size[0], bottom + 38.0], "end", "tick", x_name);
        plot.text([4.0, 17.0], "start", "tick", y_name);
        plot
    }

    /// The finished figure; `title` is for those who cannot see it.
    pub fn svg(&self, title: &str) -> String {
        let height = if self.origin[0] > 0.0 { self.origin[1] + self.size[1] + 46.0 } else { self.size[1] };
        let title = escape(title);
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n{}</svg>\n", self.svg)
    }

    fn pixel(&self, p: Point) -> Point {
        let [w, h] = minus(self.to, self.from);
        let [x, y] = [(p[0] - self.from[0]) / w, (self.to[1] - p[1]) / h];
        [self.origin[0] + x * self.size[0], self.origin[1] + y * self.size[1]]
    }

    fn line(&mut self, a: Point, b: Point, class: &str) {
        let ([x1, y1], [x2, y2]) = (a, b);
        let ends = format!("x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"");
        writeln!(self.svg, "<line class=\"{class}\" {ends}/>").expect("a string grows");
    }

    fn text(&mut self, [x, y]: Point, anchor: &str, class: &str, text: &str) {
        let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"");
        let text = escape(text);
        writeln!(self.svg, "<text class=\"{class}\" {place}>{text}</text>").expect("a string grows");
    }

    /// A line through points.
    pub fn path(&mut self, points: &[Point], class: &str) {
        let d = self.outline(points);
        writeln!(self.svg, "<path class=\"{class}\" d=\"{d}\"/>").expect("a string grows");
    }

    /// A vertical stripe.
    pub fn band(&mut self, from: f64, to: f64, class: &str) {
        let ([x, _], [end, _]) = (self.pixel([from, 0.0]), self.pixel([to, 0.0]));
        let (y, height, width) = (self.origin[1], self.size[1], end - x);
        let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        writeln!(self.svg, "<rect class=\"{class}\" {place}/>").expect("a string grows");
    }

    /// A round mark.
    pub fn dot(&mut self, at: Point, radius: f64, class: &str) {
        let [x, y] = self.pixel(at);
        writeln!(self.svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>")
            .expect("a string grows");
    }

    /// An arrow from `tail` along `by`; where it has no length, a ring.
    pub fn arrow(&mut self, tail: Point, by: Point, class: &str) {
        let (a, b) = (self.pixel(tail), self.pixel([tail[0] + by[0], tail[1] + by[1]]));
        let length = norm(minus(b, a));
        if length < 2.0 {
            return self.dot(tail, 8.0, &format!("ring {class}"));
        }
        let along = minus(b, a).map(|d| d / length);
        let (head, half) = (f64::min(13.0, 0.7 * length), f64::min(5.5, 0.3 * length));
        let neck = [b[0] - head * along[0], b[1] - head * along[1]];
        self.line(a, neck, &format!("shaft {class}"));
        let wing = |side: f64| [neck[0] - side * half * along[1], neck[1] + side * half * along[0]];
        let corners = [b, wing(1.0), wing(-1.0)].map(|[x, y]| format!("{x:.1},{y:.1}")).join(" ");
        writeln!(self.svg, "<polygon class=\"head {class}\" points=\"{corners}\"/>").expect("a string grows");
    }

    /// A text beside a point.
    pub fn label(&mut self, at: Point, side: Side, class: &str, text: &str) {
        let [x, y] = self.pixel(at);
        let (place, anchor) = match side {
            Side::Left => ([x - 10.0, y + 5.0], "end"),
            Side::Right => ([x + 10.0, y + 5.0], "start"),
            Side::Above => ([x, y - 11.0], "middle"),
            Side::Below => ([x, y + 20.0], "middle"),
        };
        self.text(place, anchor, &format!("label {class}"), text);
    }

    /// The landscape of a function: `count` sets {f < level} on top of each other, deeper ones darker.
    ///
    /// Levels are spaced like squares, which for a bowl makes the contours evenly spaced.
    pub fn contours(&mut self, f: impl Fn(Point) -> f64, count: usize) {
        const CELLS: usize = 72;
        let [w, h] = minus(self.to, self.from);
        let cell = w / (CELLS - 6) as f64;
        let rows = (h / cell).ceil() as usize + 6;
        // Three cells of margin, so that the closing of loops at the rim stays out of sight.
        let node =
            |i: usize, j: usize| [self.from[0] + (i as f64 - 3.0) * cell, self.from[1] + (j as f64 - 3.0) * cell];
        let grid: Vec<Vec<f64>> = (0..=CELLS).map(|i| (0..=rows).map(|j| f(node(i, j))).collect()).collect();
        let values = || grid.iter().flatten().copied();
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        for k in (1..count).rev() {
            let level = low + (high - low) * (k as f64 / count as f64).powi(2);
            let loops = level_set(&grid, level);
            let outlines = loops.iter().map(|corners| {
                let points: Vec<Point> = corners
                    .iter()
                    .map(|&[i, j]| {
                        let [x, y] = node(0, 0);
                        [x + i * cell, y + j * cell]
                    })
                    .collect();
                self.outline(&points) + "Z"
            });
            let d: String = outlines.collect();
            writeln!(self.svg, "<path class=\"level\" d=\"{d}\"/>").expect("a string grows");
        }
    }

    fn outline(&self, points: &[Point]) -> String {
        let mut d = String::new();
        for (i, &p) in points.iter().enumerate() {
            let [x, y] = self.pixel(p);
            write!(d, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' }).expect("a string grows");
        }
        d
    }
}

/// A side of a grid cell: the node it starts from, and whether it goes up.
type Edge = (usize, usize, bool);

/// The boundary of {value < level}, as closed loops in units of cells: marching squares.
///
/// Each cell joins the side where one enters the set, walking around it, to the side where one leaves. A neighbour
/// walks its own way around, so there the second side is again the one of entering: the pieces chain into loops.
/// The rim counts as outside.
fn level_set(grid: &[Vec<f64>], level: f64) -> Vec<Vec<Point>> {
    let (columns, rows) = (grid.len() - 1, grid[0].len() - 1);
    let inside = |i: usize, j: usize| (1..columns).contains(&i) && (1..rows).contains(&j) && grid[i][j] < level;
    let mut next: BTreeMap<Edge, Edge> = BTreeMap::new();
    for i in 0..columns {
        for j in 0..rows {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)].map(|(i, j)| inside(i, j));
            let sides = [(i, j, false), (i + 1, j, true), (i, j + 1, false), (i, j, true)];
            for leaving in 0..4 {
                if corners[leaving] && !corners[(leaving + 1) % 4] {
                    let run = (1..4).take_while(|back| corners[(leaving + 4 - back) % 4]).count();
                    next.insert(sides[(leaving + 3 - run) % 4], sides[leaving]);
                }
            }
        }
    }
    // Where the level is met on a side, linearly; halfway where that side leads to the rim.
    let place = |(i, j, up): Edge| {
        let (a, b) = (grid[i][j], if up { grid[i][j + 1] } else { grid[i + 1][j] });
        let met = (level - a) / (b - a);
        let met = if (0.0..=1.0).contains(&met) { met } else { 0.5 };
        if up { [i as f64, j as f64 + met] } else { [i as f64 + met, j as f64] }
    };
    let mut loops = Vec::new();
    while let Some((start, mut edge)) = next.pop_first() {
        let mut points = vec![place(start)];
        while edge != start {
            points.push(place(edge));
            edge = next.remove(&edge).expect("pieces chain into loops");
        }
        loops.push(points);
    }
    loops
}

/// Text as HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
