//! Kernels that move elements: permutations, boxes, rows by index, maxima of windows.

use super::Isa;
use super::product::transpose;
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

/// y[i, ..] = table[indices[i], ..]
pub(super) fn gather<T: Element>(table: &[T], indices: &[u32], y: &mut [T], inner: usize) {
    if inner == 1 {
        for (y, &i) in y.iter_mut().zip(indices) {
            *y = table[i as usize];
        }
        return;
    }
    for (row, &i) in y.chunks_exact_mut(inner).zip(indices) {
        row.copy_from_slice(&table[i as usize * inner..][..inner]);
    }
}

/// y = 0; y[indices[i], ..] += rows[i, ..] in order.
pub(super) fn scatter_add<T: Element>(rows: &[T], indices: &[u32], y: &mut [T], inner: usize) {
    y.fill(T::zero());
    if inner == 1 {
        for (&x, &i) in rows.iter().zip(indices) {
            y[i as usize] = y[i as usize] + x;
        }
        return;
    }
    for (row, &i) in rows.chunks_exact(inner).zip(indices) {
        for (y, &x) in y[i as usize * inner..][..inner].iter_mut().zip(row) {
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

/// Flat index of the first largest element of each window; a NaN is larger than all.
///
/// Windows that lie side by side in memory (an innermost stride of 1: channels) are compared as one
/// vector, candidate by candidate.
#[inline(always)]
pub(super) fn arg_max<T: Element>(x: &[T], y: &mut [u32], windows: &Windows) {
    const SIDE: usize = 16;
    let Windows { outer, outer_strides, inner, inner_strides } = windows;
    let (len, rest) = match outer.split_last() {
        Some((&len, rest)) if outer_strides[rest.len()] == 1 => (len, rest),
        _ => (1, &outer[..]),
    };
    let mut out = y.chunks_exact_mut(len.max(1));
    walk(rest, &outer_strides[..rest.len()], |base| {
        let row = out.next().expect("as many rows as positions");
        for (strip, row) in row.chunks_mut(SIDE).enumerate() {
            let base = base + strip * SIDE;
            let n = row.len();
            let mut best = [T::lit(f64::NEG_INFINITY); SIDE];
            let mut which = [base as u32; SIDE];
            for (j, w) in which.iter_mut().enumerate() {
                *w += j as u32;
            }
            let mut first = true;
            walk(inner, inner_strides, |offset| {
                let candidates = &x[base + offset..base + offset + n];
                for (j, &v) in candidates.iter().enumerate() {
                    // Larger, or the first NaN; once a NaN leads, nothing is larger.
                    let leads = first | (v > best[j]) | (v.is_nan() & !best[j].is_nan());
                    best[j] = if leads { v } else { best[j] };
                    which[j] = if leads { (base + offset + j) as u32 } else { which[j] };
                }
                first = false;
            });
            row.copy_from_slice(&which[..n]);
        }
    });
}

/// Row-major strides of a permuted walk: axis i of the result moves as axis `perm[i]` of the operand.
pub(crate) fn permuted_strides(strides: &[usize], perm: &[usize]) -> Axes {
    perm.iter().map(|&axis| strides[axis]).collect()
}
