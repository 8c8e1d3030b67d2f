//! Axes: what they are called, how they scale, and what of the numbers they can show.

/// How numbers become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equal distances.
    Linear,
    /// Equal ratios are equal distances; ticks at powers of ten.
    Log10,
    /// The same with ticks at powers of two: for doublings.
    Log2,
}

impl Scale {
    /// The number along which distances are equal.
    pub fn position(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log10 => value.log10(),
            Scale::Log2 => value.log2(),
        }
    }

    /// The number at a position.
    pub fn value(self, position: f64) -> f64 {
        match self {
            Scale::Linear => position,
            Scale::Log10 => 10_f64.powf(position),
            Scale::Log2 => position.exp2(),
        }
    }
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    scale: Scale,
    range: Option<(f64, f64)>,
}

impl Axis {
    /// Named with its unit, as wide as the numbers are.
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Axis { label: label.into(), scale, range: None }
    }

    /// From `low` to `high`, whatever the numbers are; lines are cut off there.
    ///
    /// # Panics
    /// Where that is no range, or not one of this scale.
    pub fn within(self, low: f64, high: f64) -> Self {
        assert!(self.shows(low) && self.shows(high) && low < high, "no range of an axis: {low} to {high}");
        Axis { range: Some((low, high)), ..self }
    }

    /// What it is called.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How it scales.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Whether the range was given.
    pub fn is_fixed(&self) -> bool {
        self.range.is_some()
    }

    /// Whether a number has a place on it.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }

    /// The smallest range with all the numbers that can be shown: never empty, even where they are none.
    pub fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        if let Some(range) = self.range {
            return range;
        }
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = values.filter(|&v| self.shows(v)).fold(none, |(l, h), v| (l.min(v), h.max(v)));
        match self.scale {
            _ if low < high => (low, high),
            Scale::Linear if low == high => (low - 0.5 * low.abs().max(1e-9), low + 0.5 * low.abs().max(1e-9)),
            Scale::Log10 | Scale::Log2 if low == high => (low / 2.0, low * 2.0),
            Scale::Linear => (0.0, 1.0),
            Scale::Log10 | Scale::Log2 => (1.0, 10.0),
        }
    }
}
