//! Line charts as self-contained SVG: one panel, or small multiples that share both axes.
//!
//! ```ignore
//! let x = Axis::new("inner steps", Scale::Log2);
//! let y = Axis::new("seconds", Scale::Log10);
//! let lines = vec![Series::new("MAML", points), Series::new("implicit", others).with_band(intervals)];
//! let svg = Chart::new("Time", x, y).with_panel("", lines).svg();
//! ```
//!
//! A chart loads nothing, names no element (several of them may stand in one HTML page), scales with its viewBox, and
//! follows the reader's light or dark theme. Lines differ in colour, dash and marker, so that it reads without colour
//! too. Series of one name look the same in all panels. What is not finite, or not positive on a logarithmic axis, is
//! missing: the line has a gap there.

mod axis;
mod draw;
mod legend;
mod series;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod ticks;

pub use axis::{Axis, Scale};
pub use series::Series;
pub use text::escape;

/// A chart: panels of lines on common axes.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    caption: String,
    x: Axis,
    y: Axis,
    panels: Vec<Panel>,
    columns: usize,
}

/// Lines in one frame.
#[derive(Clone, Debug)]
struct Panel {
    title: String,
    series: Vec<Series>,
}

impl Chart {
    /// Without panels yet.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Chart { title: title.into(), caption: String::new(), x, y, panels: Vec::new(), columns: usize::MAX }
    }

    /// What the chart says, in a sentence or two under the title; also read to those who cannot see it.
    pub fn with_caption(self, caption: impl Into<String>) -> Self {
        Chart { caption: caption.into(), ..self }
    }

    /// One panel more; the title of a single one may be empty.
    pub fn with_panel(mut self, title: impl Into<String>, series: Vec<Series>) -> Self {
        self.panels.push(Panel { title: title.into(), series });
        self
    }

    /// At most this many panels side by side (at least 1); without a bound they make one row.
    pub fn with_columns(self, columns: usize) -> Self {
        Chart { columns: columns.max(1), ..self }
    }

    /// The picture.
    pub fn svg(&self) -> String {
        draw::svg(self)
    }

    /// Names of all series, in order of appearance: the index of a name decides how its lines look.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !names.contains(&series.name()) {
                names.push(series.name());
            }
        }
        names
    }
}
