//! Kernels that move elements: permutations, boxes, rows by index.

use super::product::transpose;
use super::{Isa, Task, Team};
use crate::element::Element;
use crate::shape::Axes;
use crate::tape::MOST_AXES;

/// Calls `f(i)` with Σ position·stride for every position, row-major. Inlined, so that `f` is compiled for the instruction
/// set of its caller.
#[inline(always)]
pub(super) fn walk(dims: &[usize], strides: &[usize], mut f: impl FnMut(usize)) {
    if dims.contains(&0) {
        return;
    }
    let mut position = [0_usize; MOST_AXES];
    let mut at = 0;
    loop {
        f(at);
        let mut axis = dims.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            position[axis] += 1;
            at += strides[axis];
            if position[axis] < dims[axis] {
                break;
            }
            at -= strides[axis] * dims[axis];
            position[axis] = 0;
        }
    }
}

/// y, row-major over `dims`, reads x with `strides` (from `start`): permutation and slice in one.
pub(super) fn read_strided<T: Element>(
    isa: Isa,
    x: &[T],
    y: &mut [T],
    dims: &[usize],
    strides: &[usize],
    start: usize,
) {
    let Some((&len, outer)) = dims.split_last() else {
        y[0] = x[start];
        return;
    };
    let step = strides[outer.len()];
    if let Some((&lines, outer)) = outer.split_last()
        && (step > 1 && strides[outer.len()] == 1)
    {
        let mut blocks = y.chunks_exact_mut((lines * len).max(1));
        walk(outer, &strides[..outer.len()], |at| {
            let block = blocks.next().expect("as many blocks as positions");
            transpose(isa, &x[start + at..], [len, step], block, lines);
        });
        return;
    }
    let mut rows = y.chunks_exact_mut(len.max(1));
    walk(outer, &strides[..outer.len()], |at| {
        let row = rows.next().expect("as many rows as positions");
        let at = start + at;
        if step == 1 {
            row.copy_from_slice(&x[at..at + len]);
        } else {
            row.iter_mut().enumerate().for_each(|(j, y)| *y = x[at + j * step]);
        }
    });
}

/// x, row-major over `dims`, is written to y with `strides` (from `start`): an operand of a concatenation.
pub(super) fn write_strided<T: Element>(x: &[T], y: &mut [T], dims: &[usize], strides: &[usize], start: usize) {
    let Some((&len, outer)) = dims.split_last() else {
        y[start] = x[0];
        return;
    };
    let step = strides[outer.len()];
    let mut rows = x.chunks_exact(len.max(1));
    walk(outer, &strides[..outer.len()], |at| {
        let row = rows.next().expect("as many rows as positions");
        let at = start + at;
        if step == 1 {
            y[at..at + len].copy_from_slice(row);
        } else {
            row.iter().enumerate().for_each(|(j, &x)| y[at + j * step] = x);
        }
    });
}

/// What moving so many numbers costs, in rows of `inner` of which each has an index, in multiply-adds × 2 of a product.
pub(super) fn cost(numbers: usize, inner: usize) -> usize {
    300 * (numbers / inner.max(1)) + 20 * numbers
}

/// Cuts a slice into parts that differ by one row at most.
pub(super) fn cut<T: Send>(
    mut slice: &mut [T],
    row: usize,
    parts: usize,
) -> impl ExactSizeIterator<Item = (usize, &mut [T])> + Send {
    let rows = slice.len() / row;
    let start = move |part| rows * part / parts;
    (0..parts).map(move |part| {
        let own = slice.split_off_mut(..(start(part + 1) - start(part)) * row);
        (start(part), own.expect("whole rows"))
    })
}

/// y[i, ..] = table[indices[i], ..]
pub(super) fn gather<T: Element>(team: Team, table: &[T], indices: &[u32], y: &mut [T], inner: usize) {
    if y.is_empty() {
        return;
    }
    let parts = team.parts(cost(y.len(), inner));
    team.each(cut(y, inner, parts), |(first, y)| {
        if inner == 1 {
            for (y, &i) in y.iter_mut().zip(&indices[first..]) {
                *y = table[i as usize];
            }
            return;
        }
        for (row, &i) in y.chunks_exact_mut(inner).zip(&indices[first..]) {
            row.copy_from_slice(&table[i as usize * inner..][..inner]);
        }
    });
}

/// Indices that are looked at together.
const RUN: usize = 512;

/// y = 0; y[indices[i], ..] += rows[i, ..] in order. Each part looks at all indices for those in its rows of y.
///
/// Indices of pooled images go up with the images: most runs of them are one part's as a whole, and rows of y are cleared
/// no sooner than a run comes near, so that they are still in a cache when it adds to them.
pub(super) fn scatter_add<T: Element>(isa: Isa, team: Team, rows: &[T], indices: &[u32], y: &mut [T], inner: usize) {
    if y.is_empty() {
        return;
    }
    let parts = team.parts(cost(rows.len(), inner));
    team.each(cut(y, inner, parts), |(first, y)| {
        let (mut cleared, count) = (0, y.len() / inner);
        for (rows, indices) in rows.chunks(RUN * inner).zip(indices.chunks(RUN)) {
            let (least, most) = isa.run(Extremes(indices));
            if first <= most && least < first + count {
                let end = (most + 1 - first).clamp(cleared, count);
                y[cleared * inner..end * inner].fill(T::zero());
                cleared = end;
                add_rows(rows, indices, first, y, inner);
            }
        }
        y[cleared * inner..].fill(T::zero());
    });
}

/// The least and the largest of some indices.
struct Extremes<'a>(&'a [u32]);
impl Task for Extremes<'_> {
    type Output = (usize, usize);
    #[inline(always)]
    fn run(self) -> (usize, usize) {
        let (least, most) = self.0.iter().fold((u32::MAX, 0), |(least, most), &i| (least.min(i), most.max(i)));
        (least as usize, most as usize)
    }
}

/// y[indices[i] − first, ..] += rows[i, ..] where y has that row.
fn add_rows<T: Element>(rows: &[T], indices: &[u32], first: usize, y: &mut [T], inner: usize) {
    if inner == 1 {
        for (&x, &i) in rows.iter().zip(indices) {
            if let Some(y) = y.get_mut((i as usize).wrapping_sub(first)) {
                *y = *y + x;
            }
        }
        return;
    }
    for (row, &i) in rows.chunks_exact(inner).zip(indices) {
        let at = (i as usize).wrapping_sub(first);
        if at >= y.len() / inner {
            continue;
        }
        for (y, &x) in y[at * inner..][..inner].iter_mut().zip(row) {
            *y = *y + x;
        }
    }
}

/// y[i, indices[i]] = 1, else 0.
pub(super) fn one_hot<T: Element>(indices: &[u32], y: &mut [T], depth: usize) {
    y.fill(T::zero());
    for (row, &i) in y.chunks_exact_mut(depth).zip(indices) {
        row[i as usize] = T::one();
    }
}

/// Row-major strides of a permuted walk: axis i of the result moves as axis `perm[i]` of the operand.
pub(crate) fn permuted_strides(strides: &[usize], perm: &[usize]) -> Axes {
    perm.iter().map(|&axis| strides[axis]).collect()
}
