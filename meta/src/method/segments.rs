//! Backpropagation in pieces whose points stay in a cache.
//!
//! Beyond a cache, writing a point and reading it again can take longer than computing it again from near. So only the
//! last piece's points are kept on the way forward, and of each other piece the state that it starts from.

use std::ops::Range;

use autodiff::Element;

use super::Keep;
use super::budget::UnrollSizes;
use super::plans::Plans;

/// Bytes of the points of all lanes that are kept at a time: what a thread has of the last cache, about. (On
/// `mlp:1-40-40-1` in eight lanes a step takes 50 µs through up to 40 steps, which is 5 MB, and 82 through 100; to run it
/// again takes 20. AVX2, 32 MB for all.)
const NEAR: usize = 4 << 20;

/// The last of some steps, those that are pulled back through, in pieces: all but the first as long as may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments {
    first: usize,
    end: usize,
    longest: usize,
}

impl Segments {
    /// Those of a run that points are kept of: one, but in lanes.
    pub fn of<T: Element>(plans: &Plans<T>, keep: Keep, steps: usize) -> Self {
        let (points, _) = keep.counts(steps);
        let sizes = UnrollSizes::of(&plans.inner, &plans.outer);
        let near = if plans.inner.lanes() > 1 { NEAR / (sizes.residuals + sizes.state) } else { points };
        Segments::new(steps, points, near)
    }

    /// What a worker takes.
    pub fn bytes<T: Element>(&self, plans: &Plans<T>, keep: Keep, steps: usize) -> usize {
        let sizes = UnrollSizes::of(&plans.inner, &plans.outer);
        match self.points() {
            0 => sizes.bytes(keep, steps),
            points => sizes.bytes(Keep::Last(points), steps) + self.starts() * sizes.state,
        }
    }

    /// Of the `pulled` last of `steps` steps, so many at a time.
    fn new(steps: usize, pulled: usize, longest: usize) -> Self {
        Segments { first: steps - pulled, end: steps, longest: longest.clamp(1, pulled.max(1)) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        (self.end - self.first).div_ceil(self.longest)
    }

    /// The steps of one.
    pub fn get(&self, i: usize) -> Range<usize> {
        let end = self.end - (self.starts() - i) * self.longest;
        end.saturating_sub(self.longest).max(self.first)..end
    }

    /// Points that are kept at a time.
    pub fn points(&self) -> usize {
        self.longest.min(self.end - self.first)
    }

    /// States that are kept beside those points.
    pub fn starts(&self) -> usize {
        self.count().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_all_steps_in_order() {
        for (steps, pulled, longest) in [(10, 10, 3), (10, 10, 10), (10, 4, 100), (7, 6, 2), (5, 5, 1), (5, 5, 0)] {
            let segments = Segments::new(steps, pulled, longest);
            let all: Vec<usize> = (0..segments.count()).flat_map(|i| segments.get(i)).collect();
            assert_eq!(all, (steps - pulled..steps).collect::<Vec<_>>(), "{segments:?}");
            assert!((0..segments.count()).all(|i| segments.get(i).len() <= segments.points()), "{segments:?}");
            assert_eq!(segments.get(segments.starts()).len(), segments.points(), "{segments:?}");
        }
        let none = Segments::new(5, 0, 3);
        assert_eq!([none.count(), none.points(), none.starts()], [0; 3]);
    }
}
