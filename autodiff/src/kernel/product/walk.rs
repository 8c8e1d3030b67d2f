//! Where the rows of a product lie: a box of positions, and the walk over it.

use super::simd::Simd;
use std::ops::Range;

/// One axis of a box of rows: how many, and how far apart in A and in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub count: usize,
    pub a: usize,
    pub c: usize,
}

impl Axis {
    pub const ONE: Axis = Axis { count: 1, a: 0, c: 0 };
}

/// The rows of a product: all positions of a box, the last axis fastest. Row `p` starts at offset
/// `a + Σ pᵢ·axes[i].a` of A and `c + Σ pᵢ·axes[i].c` of C.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub a: usize,
    pub c: usize,
    pub axes: [Axis; 3],
}

impl Rows {
    pub fn len(&self) -> usize {
        self.axes[0].count * self.axes[1].count * self.axes[2].count
    }

    /// Keeps some positions of one axis.
    pub fn cut(&mut self, axis: usize, range: Range<usize>) {
        let axis = &mut self.axes[axis];
        axis.count = range.len();
        self.a += range.start * axis.a;
        self.c += range.start * axis.c;
    }
}

/// A position in the box of rows, with its offsets.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    rows: &'a Rows,
    at: [usize; 3],
    pub a: usize,
    pub c: usize,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    pub fn new(rows: &'a Rows) -> Walk<'a> {
        Walk { rows, at: [0; 3], a: rows.a, c: rows.c }
    }

    /// Calls `f(r, offset in A, offset in C)` for the next `count` rows, along one line of the box at a time; from the
    /// last row on to the first.
    #[inline(always)]
    pub fn take<V: Simd>(&mut self, count: usize, mut f: impl FnMut(usize, usize, usize)) {
        let line = &self.rows.axes[2];
        let mut done = 0;
        while done < count {
            let run = (line.count - self.at[2]).min(count - done);
            for r in done..done + run {
                f(r, self.a, self.c);
                // Opaque: so few addresses are not worth vectors of products.
                self.a = V::opaque(self.a + line.a);
                self.c += line.c;
            }
            done += run;
            self.at[2] += run;
            if self.at[2] == line.count {
                self.next_line();
            }
        }
    }

    /// From the end of one line to the start of the next.
    #[inline(always)]
    fn next_line(&mut self) {
        for i in [2, 1, 0] {
            let axis = &self.rows.axes[i];
            self.at[i] = 0;
            self.a -= axis.count * axis.a;
            self.c -= axis.count * axis.c;
            let Some(outer) = i.checked_sub(1) else { return };
            let axis = &self.rows.axes[outer];
            self.at[outer] += 1;
            self.a += axis.a;
            self.c += axis.c;
            if self.at[outer] < axis.count {
                return;
            }
        }
    }
}
