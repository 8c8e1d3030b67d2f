//! Products with one column, which would fill one lane of a vector: here the lanes run along the depth.

use super::simd::Simd;
use super::tile::Depth;
use super::walk::{Rows, Walk};
use crate::kernel::isa::Task;

/// The shortest runs for which this is worth its final sum over the lanes.
pub const LONG: usize = 4;

/// Rows at a time: they share the loads of b.
const ROWS: usize = 4;

/// `c[r] (+)= Σ_d A[r, d]·b[d]` where rows of A and b are contiguous along the runs of the depth.
pub struct Dots<'a, V: Simd> {
    pub rows: &'a Rows,
    pub depth: Depth<'a>,
    pub add: bool,
    pub a: *const V::Scalar,
    pub b: *const V::Scalar,
    pub c: *mut V::Scalar,
}

impl<V: Simd> Task for Dots<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Dots { rows, depth, add, a, b, c } = self;
        let len = rows.len();
        let whole = depth.len - depth.len % V::LANES;
        let mut walk = Walk::new(rows);
        for first in (0..len).step_by(ROWS) {
            let count = ROWS.min(len - first);
            // Rows beyond the last repeat the first, and are not stored.
            let mut from = [a.wrapping_add(walk.a); ROWS];
            let mut to = [c.wrapping_add(walk.c); ROWS];
            walk.take::<V>(count, |r, at, out| {
                from[r] = a.wrapping_add(at);
                to[r] = c.wrapping_add(out);
            });
            // SAFETY: made by `product` only, whose caller promises the CPU, and that rows and depth stay inside the
            // buffers; partial loads touch the last `depth.len % LANES` numbers of a run only.
            unsafe {
                let mask = V::first(depth.len - whole);
                let mut sums = [V::zero(); ROWS];
                for repeat in 0..depth.repeats {
                    for run in depth.runs {
                        let at = run.a + repeat * depth.a_repeat;
                        let b = b.add(run.b + repeat * depth.b_repeat);
                        for d in (0..whole).step_by(V::LANES) {
                            let x = V::load(b.add(d));
                            for r in 0..ROWS {
                                sums[r] = V::load(from[r].add(at + d)).mul_add(x, sums[r]);
                            }
                        }
                        if whole < depth.len {
                            let x = V::load_masked(b.add(whole), mask);
                            for r in 0..ROWS {
                                sums[r] = V::load_masked(from[r].add(at + whole), mask).mul_add(x, sums[r]);
                            }
                        }
                    }
                }
                for r in 0..ROWS {
                    let sum = sums[r].sum();
                    if r < count {
                        *to[r] = if add { *to[r] + sum } else { sum };
                    }
                }
            }
        }
    }
}
