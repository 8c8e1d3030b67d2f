//! A named line, with intervals around it where they are known.

use std::ops::Range;

use super::Axis;

/// A named line; y that is not finite is missing.
#[derive(Clone, Debug)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    /// (lower, upper) at the points, or nothing.
    band: Vec<(f64, f64)>,
}

impl Series {
    /// Points (x, y) in ascending order of x.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Series { name: name.into(), points: points.into_iter().collect(), band: Vec::new() }
    }

    /// With an interval (lower, upper) around each point.
    ///
    /// # Panics
    /// Where there are not as many intervals as points.
    pub fn with_band(self, band: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let band: Vec<_> = band.into_iter().collect();
        assert_eq!(band.len(), self.points.len(), "an interval for each point of {}", self.name);
        Series { band, ..self }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The points.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The intervals; none, or as many as points.
    pub fn band(&self) -> &[(f64, f64)] {
        &self.band
    }

    /// Stretches of points that both axes can show, at which the line is whole.
    pub fn stretches(&self, x: &Axis, y: &Axis) -> Vec<Range<usize>> {
        let shows = |&(px, py): &(f64, f64)| x.shows(px) && y.shows(py);
        let mut stretches: Vec<Range<usize>> = Vec::new();
        for i in (0..self.points.len()).filter(|&i| shows(&self.points[i])) {
            match stretches.last_mut().filter(|stretch| stretch.end == i) {
                Some(stretch) => stretch.end += 1,
                None => stretches.push(i..i + 1),
            }
        }
        stretches
    }
}
