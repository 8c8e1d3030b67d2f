//! Batched matrix products.

use super::rows::product;
use super::simd::Simd;
use super::tile::{Depth, Run};
use super::transpose::transpose;
use super::walk::{Axis, Rows};
use super::{ProductElement, Target, VectorTask, dispatch, volume};
use crate::kernel::{Isa, Team};
use std::ops::Range;

/// `C = op(A)·op(B)`, or C + op(A)·op(B), for each of `batch` triples. A is `[m, k]`, or `[k, m]` when `trans_a`; B is
/// `[k, n]`, or `[n, k]` when `trans_b`; C is `[m, n]`; each dense and row-major, `apart` from the next.
///
/// Every number of a product is summed in the order of k, except for `n = 1` with `k ≥ 4` and A not transposed, or of one
/// row: there the lanes of a vector run along k (lane i sums k ≡ i modulo their number, then they are added in halves).
/// What C holds is added last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the formula says them
pub struct MatMul {
    pub batch: usize,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub trans_a: bool,
    /// Each B is copied, transposed, before its product: where it has just been read, for as long as it stays there.
    pub trans_b: bool,
    /// Numbers from one A to the next, one B, one C: 0 where the triples share it.
    pub apart: [usize; 3],
    /// To what C holds; otherwise it is overwritten.
    pub add: bool,
}

impl MatMul {
    /// Matrices one behind the other, of which C is overwritten.
    pub fn dense(batch: usize, [m, k, n]: [usize; 3], trans_a: bool) -> Self {
        MatMul { batch, m, k, n, trans_a, trans_b: false, apart: [m * k, k * n, m * n], add: false }
    }

    /// `2·batch·m·k·n`.
    pub fn flops(&self) -> u64 {
        [self.batch, self.m, self.k, self.n].into_iter().fold(2, |product, x| product * x as u64)
    }

    /// Numbers from the first of A to the last, of B, of C.
    pub fn spans(&self) -> [usize; 3] {
        let MatMul { batch, m, k, n, apart, .. } = *self;
        let span = |matrix: [usize; 2], apart: usize| {
            let Some(last) = batch.checked_sub(1) else { return 0 };
            let end = last.checked_mul(apart).and_then(|start| start.checked_add(volume(&matrix)));
            end.expect("matrices that fit in memory")
        };
        [span([m, k], apart[0]), span([k, n], apart[1]), span([m, n], apart[2])]
    }

    /// Numbers that a run needs for itself.
    pub fn work_len(&self) -> usize {
        if self.trans_b { self.k * self.n } else { 0 }
    }

    /// Of what threads can share: 0 where one computes all of it.
    pub(in crate::kernel) fn cost(&self) -> usize {
        if self.m <= 1 || (self.trans_a && self.n == 1) || self.trans_b { 0 } else { self.flops() as usize }
    }

    /// Computes the product.
    ///
    /// # Panics
    /// If a slice does not have the length that the shape says, or matrices of C overlap.
    pub fn run<T: ProductElement>(&self, isa: Isa, team: Team, [a, b]: [&[T]; 2], c: &mut [T], work: &mut [T]) {
        let MatMul { batch, m, k, n, trans_a, trans_b, apart, add } = *self;
        assert_eq!([a.len(), b.len(), c.len()], self.spans(), "A, B and C of {self:?}");
        assert!(batch <= 1 || apart[2] >= m * n, "matrices of C apart in {self:?}");
        assert_eq!(work.len(), self.work_len(), "room for {self:?}");
        if trans_a && n == 1 {
            // A column Aᵀb is the row bᵀA, whose columns fill the lanes; and b is the same when transposed.
            let apart = [apart[1], apart[0], apart[2]];
            let shape = MatMul { batch, m: 1, k, n: m, trans_a: false, trans_b: false, apart, add };
            dispatch(isa, m, Job { shape, rows: 0..1, a: b, b: a, c: c.as_mut_ptr() });
        } else if trans_b {
            self.transposing(isa, [a, b], c, work);
        } else {
            let parts = team.parts(self.cost()).min(m.max(1));
            let c = Target::new(c);
            team.each(0..parts, |part| {
                let rows = m * part / parts..m * (part + 1) / parts;
                dispatch(isa, n, Job { shape: *self, rows, a, b, c: c.pointer() });
            });
        }
    }

    /// Each product as soon as its B is transposed.
    #[inline(never)] // It is not what small products should have to make room for.
    fn transposing<T: ProductElement>(&self, isa: Isa, [a, b]: [&[T]; 2], c: &mut [T], work: &mut [T]) {
        let MatMul { m, k, n, trans_a, apart, add, .. } = *self;
        let shape = MatMul { add, ..MatMul::dense(1, [m, k, n], trans_a) };
        for i in 0..self.batch {
            transpose(isa, &b[i * apart[1]..], [n, k], work, k);
            let (a, c) = (&a[i * apart[0]..], &mut c[i * apart[2]..]);
            dispatch(isa, n, Job { shape, rows: 0..m, a, b: work, c: c.as_mut_ptr() });
        }
    }
}

struct Job<'a, T> {
    shape: MatMul,
    /// Those of each matrix that are computed.
    rows: Range<usize>,
    a: &'a [T],
    b: &'a [T],
    c: *mut T,
}

impl<T: ProductElement> VectorTask<T> for Job<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        let MatMul { batch, m, k, n, trans_a, apart, add, .. } = self.shape;
        let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c);
        for i in 0..batch {
            // SAFETY: `MatMul::run` has checked that A, B and C hold `batch` matrices of these shapes, and no other
            // part has these rows; the dispatcher has chosen a V that the CPU has.
            unsafe {
                let (a, b, c) = (a.add(i * apart[0]), b.add(i * apart[1]), c.add(i * apart[2]));
                matrix::<V>(self.rows.clone(), [m, k, n], if trans_a { [1, m] } else { [k, 1] }, add, a, b, c);
            }
        }
    }
}

/// Some rows of `C[m, n] (+)= A·B` where `A[i, d]` is at `i·steps[0] + d·steps[1]`.
#[inline(always)]
unsafe fn matrix<V: Simd>(
    range: Range<usize>,
    [m, k, n]: [usize; 3],
    steps: [usize; 2],
    add: bool,
    a: *const V::Scalar,
    b: *const V::Scalar,
    c: *mut V::Scalar,
) {
    let mut rows = Rows { a: 0, c: 0, axes: [Axis::ONE, Axis::ONE, Axis { count: m, a: steps[0], c: n }] };
    rows.cut(2, range);
    let depth = Depth {
        runs: &[Run { a: 0, b: 0 }],
        len: k,
        a_step: steps[1],
        b_step: n,
        repeats: 1,
        a_repeat: 0,
        b_repeat: 0,
    };
    // SAFETY: the caller's.
    unsafe { product::<V>(&rows, depth, n, add, a, b, c) }
}
