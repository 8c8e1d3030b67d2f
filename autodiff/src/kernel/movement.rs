//! Kernels that move elements: permutations, boxes, rows by index, maxima of windows.

use super::product::transpose;
use super::{Isa, Task, Team};
use crate::element::Element;
use crate::shape::Axes;
use crate::tape::{MOST_AXES, Windows};

/// Calls `f(i)` with Σ position·stride for every position, row-major.
fn walk(dims: &[usize], strides: &[usize], mut f: impl FnMut(usize)) {
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
            transpose(isa, &x[start + at..], step, block, lines);
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

/// What moving one number at an index costs, in multiply-adds × 2 of a product.
const INDEXED: usize = 60;

/// Cuts a slice into parts that differ by one row at most.
fn cut<T: Send>(
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
    let parts = team.parts(y.len() * INDEXED);
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

/// Indices that are passed over at a time, where none of them is in the part.
const RUN: usize = 512;

/// y = 0; y[indices[i], ..] += rows[i, ..] in order. Each part looks at all indices for those in its rows of y.
pub(super) fn scatter_add<T: Element>(isa: Isa, team: Team, rows: &[T], indices: &[u32], y: &mut [T], inner: usize) {
    if y.is_empty() {
        return;
    }
    let parts = team.parts(rows.len() * INDEXED);
    team.each(cut(y, inner, parts), |(first, y)| {
        y.fill(T::zero());
        for (rows, indices) in rows.chunks(RUN * inner).zip(indices.chunks(RUN)) {
            // Indices of pooled images go up with the images: most runs are another part's, or this one's, as a whole.
            if parts == 1 || isa.run(AnyWithin { indices, first, count: y.len() / inner }) {
                add_rows(rows, indices, first, y, inner);
            }
        }
    });
}

/// Whether any index is one of `first..first + count`.
struct AnyWithin<'a> {
    indices: &'a [u32],
    first: usize,
    count: usize,
}
impl Task for AnyWithin<'_> {
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        let AnyWithin { indices, first, count } = self;
        indices.iter().fold(false, |any, &i| any | ((i as usize).wrapping_sub(first) < count))
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

/// The most candidates of a window whose offsets are computed once.
const MOST_CANDIDATES: usize = 64;

/// Flat index of the first largest element of each window; a NaN is larger than all.
///
/// Windows that lie side by side in memory (an innermost stride of 1: channels) are compared as one
/// vector, candidate by candidate.
pub(super) fn arg_max<T: Element>(isa: Isa, team: Team, x: &[T], y: &mut [u32], windows: &Windows) {
    /// What a candidate costs, in multiply-adds × 2 of a product.
    const COST: usize = 16;
    if y.is_empty() {
        return;
    }
    let cost = y.len() * windows.inner.iter().product::<usize>() * COST;
    // By the first two axes: a batch of images may have fewer images than there are threads.
    let cut_at = 2.min(windows.outer.len().saturating_sub(1));
    let row: usize = windows.outer[cut_at..].iter().product();
    team.each(cut(y, row, team.parts(cost)), |(first, y)| {
        isa.run(ArgMax { x, y, windows, cut_at, first });
    });
}

/// The windows whose positions on the first `cut_at` axes are the `first` one and those that follow, as far as y goes.
struct ArgMax<'a, T> {
    x: &'a [T],
    y: &'a mut [u32],
    windows: &'a Windows,
    cut_at: usize,
    first: usize,
}
impl<T: Element> Task for ArgMax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ArgMax { x, y, windows: Windows { outer, outer_strides, inner, inner_strides }, cut_at, first } = self;
        let (lead, outer) = outer.split_at(cut_at);
        let (lead_strides, outer_strides) = outer_strides.split_at(cut_at);
        let row: usize = outer.iter().product();
        for (i, y) in y.chunks_exact_mut(row).enumerate() {
            let (mut rest, mut base) = (first + i, 0);
            for (&len, stride) in lead.iter().zip(lead_strides).rev() {
                base += rest % len * stride;
                rest /= len;
            }
            arg_max_row(&x[base..], base, y, outer, outer_strides, inner, inner_strides);
        }
    }
}

/// The leaders of windows from the start of `x` on, which is element `from` of all.
#[inline(always)]
fn arg_max_row<T: Element>(
    x: &[T],
    from: usize,
    y: &mut [u32],
    outer: &[usize],
    outer_strides: &[usize],
    inner: &[usize],
    inner_strides: &[usize],
) {
    let (len, rest) = match outer.split_last() {
        Some((&len, rest)) if outer_strides[rest.len()] == 1 => (len, rest),
        _ => (1, outer),
    };
    let mut out = y.chunks_exact_mut(len.max(1));
    let mut offsets = [0; MOST_CANDIDATES];
    let candidates = inner.iter().product::<usize>();
    if candidates <= MOST_CANDIDATES {
        let mut next = 0;
        walk(inner, inner_strides, |offset| {
            offsets[next] = offset;
            next += 1;
        });
    }
    walk(rest, &outer_strides[..rest.len()], |base| {
        let row = out.next().expect("as many rows as positions");
        if candidates <= MOST_CANDIDATES {
            let offsets = &offsets[..candidates];
            let mut strips = row.chunks_exact_mut(SIDE);
            let mut at = base;
            for strip in &mut strips {
                leaders::<T, SIDE>(x, from, at, offsets, strip);
                at += SIDE;
            }
            for (j, which) in strips.into_remainder().iter_mut().enumerate() {
                leaders::<T, 1>(x, from, at + j, offsets, std::slice::from_mut(which));
            }
        } else {
            for (j, which) in row.iter_mut().enumerate() {
                let mut leader = base + j;
                walk(inner, inner_strides, |offset| {
                    if leads(x[base + j + offset], x[leader]) {
                        leader = base + j + offset;
                    }
                });
                *which = (from + leader) as u32;
            }
        }
    });
}

/// Windows side by side whose candidates are compared at once.
const SIDE: usize = 16;

/// Whether a candidate replaces the leader: larger, or the first NaN; once a NaN leads, nothing is larger.
#[inline(always)]
#[allow(clippy::neg_cmp_op_on_partial_ord)] // a NaN is not less or equal
fn leads<T: Element>(candidate: T, leader: T) -> bool {
    !(candidate <= leader) & !leader.is_nan()
}

/// The leaders of N windows side by side from `base` on; x starts at element `from` of all.
#[inline(always)]
fn leaders<T: Element, const N: usize>(x: &[T], from: usize, base: usize, offsets: &[usize], y: &mut [u32]) {
    let (mut best, mut which) = ([T::zero(); N], [(from + base + offsets[0]) as u32; N]);
    best.copy_from_slice(&x[base + offsets[0]..][..N]);
    for offset in &offsets[1..] {
        let at = base + offset;
        let candidates: &[T; N] = x[at..at + N].try_into().expect("N candidates");
        for j in 0..N {
            let leads = leads(candidates[j], best[j]);
            best[j] = if leads { candidates[j] } else { best[j] };
            which[j] = if leads { (from + at) as u32 } else { which[j] };
        }
    }
    for (j, (y, which)) in y.iter_mut().zip(which).enumerate() {
        *y = which + j as u32;
    }
}

/// Row-major strides of a permuted walk: axis i of the result moves as axis `perm[i]` of the operand.
pub(crate) fn permuted_strides(strides: &[usize], perm: &[usize]) -> Axes {
    perm.iter().map(|&axis| strides[axis]).collect()
}
