//! Shapes: the extents of a dense row-major tensor, and the arithmetic on them.

use std::fmt;

use smallvec::SmallVec;

/// A list of axes or offsets; rarely longer than five.
pub type Axes = SmallVec<[usize; 5]>;

/// The extents of a dense row-major tensor; `[]` is a single number.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Axes);

impl Shape {
    /// The shape of a single number.
    pub fn scalar() -> Self {
        Self::default()
    }

    /// Number of elements, ∏ extents.
    pub fn numel(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Axes {
        let mut strides: Axes = SmallVec::from_elem(1, self.rank());
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }

    /// This shape without `axes` (ascending).
    pub fn without(&self, axes: &[usize]) -> Shape {
        self.0.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect()
    }

    /// The shape both operands of an elementwise operation stretch to, aligned at the last axis, an
    /// extent of 1 meeting any other; `None` where two extents differ and neither is 1.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let extent = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |j| s.0[j]);
        (0..rank)
            .map(|i| match (extent(self, i), extent(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        Shape(dims.into_iter().collect())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl From<usize> for Shape {
    fn from(n: usize) -> Self {
        [n].into()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(SmallVec::from_slice(&dims))
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;
    fn index(&self, axis: usize) -> &usize {
        &self.0[axis]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0[..], f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One elementwise traversal of `dims`: row-major order is preserved while neighbouring axes whose
/// strides nest are merged and axes of extent 1 dropped, so that kernels loop over as few as possible.
pub(crate) fn collapse(dims: &[usize], strides: &[usize]) -> (Axes, Axes) {
    let (mut d, mut s): (Axes, Axes) = (Axes::new(), Axes::new());
    for (&dim, &stride) in dims.iter().zip(strides) {
        if dim == 1 {
            continue;
        }
        match (d.last_mut(), s.last_mut()) {
            (Some(outer), Some(outer_stride)) if *outer_stride == stride * dim => {
                *outer *= dim;
                *outer_stride = stride;
            }
            _ => {
                d.push(dim);
                s.push(stride);
            }
        }
    }
    (d, s)
}

/// […, d·lanes] → […, d, lanes]: a batch that is held in the lanes of its last axis, apart.
pub(crate) fn lanes_apart(merged: &Shape, lanes: usize) -> Shape {
    let (last, rest) = merged.dims().split_last().expect("lanes have an axis");
    rest.iter().copied().chain([last / lanes, lanes]).collect()
}

/// […, d, lanes] → […, d·lanes]; a single number in each lane is [lanes].
pub(crate) fn lanes_merged(shape: &Shape, lanes: usize) -> Shape {
    match shape.dims().split_last() {
        Some((last, rest)) => rest.iter().copied().chain([last * lanes]).collect(),
        None => [lanes].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_at_the_last_axis() {
        let s = |d: &[usize]| Shape::from(d);
        assert_eq!(s(&[2, 3]).broadcast(&s(&[3])), Some(s(&[2, 3])));
        assert_eq!(s(&[2, 1]).broadcast(&s(&[1, 3])), Some(s(&[2, 3])));
        assert_eq!(s(&[]).broadcast(&s(&[4])), Some(s(&[4])));
        assert_eq!(s(&[2]).broadcast(&s(&[3])), None);
    }

    #[test]
    fn collapse_merges_nested_axes_only() {
        let c = |d: &[usize], s: &[usize]| collapse(d, s);
        assert_eq!(c(&[2, 3, 4], &[12, 4, 1]), ([24][..].into(), [1][..].into()));
        assert_eq!(c(&[2, 3, 4], &[0, 0, 1]), ([6, 4][..].into(), [0, 1][..].into()));
        assert_eq!(c(&[2, 1, 4], &[4, 9, 1]), ([8][..].into(), [1][..].into()));
    }
}
