//! Maxima of windows: where they are, and what they are.

use super::movement::{cut, walk};
use super::{Isa, Task, Team};
use crate::element::Element;
use crate::tape::Windows;

/// What so many windows cost, in multiply-adds × 2 of a product.
pub(super) fn cost(count: usize, windows: &Windows) -> usize {
    /// Of a candidate.
    const COST: usize = 50;
    count * windows.inner.iter().product::<usize>() * COST
}

/// The most candidates of a window whose offsets are computed once.
const MOST_CANDIDATES: usize = 64;

/// y = the flat index of the first largest element of each window, and values = that element, unless it is empty; a NaN is
/// larger than all.
///
/// Windows that lie side by side in memory (an innermost stride of 1: channels) are compared as one
/// vector, candidate by candidate.
pub(super) fn arg_max<T: Element>(isa: Isa, team: Team, x: &[T], y: &mut [u32], values: &mut [T], windows: &Windows) {
    if y.is_empty() {
        return;
    }
    // By the first two axes: a batch of images may have fewer images than there are threads.
    let cut_at = 2.min(windows.outer.len().saturating_sub(1));
    let row: usize = windows.outer[cut_at..].iter().product();
    let parts = team.parts(cost(y.len(), windows));
    team.each(cut(y, row, parts).zip(cut(values, row, parts)), |((first, y), (_, values))| {
        isa.run(ArgMax { x, y, values, windows, cut_at, first });
    });
}

/// The windows whose positions on the first `cut_at` axes are the `first` one and those that follow, as far as y goes.
struct ArgMax<'a, T> {
    x: &'a [T],
    y: &'a mut [u32],
    values: &'a mut [T],
    windows: &'a Windows,
    cut_at: usize,
    first: usize,
}
impl<T: Element> Task for ArgMax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ArgMax { x, y, values, windows, cut_at, first } = self;
        let Windows { outer, outer_strides, inner, inner_strides } = windows;
        let (lead, outer) = outer.split_at(cut_at);
        let (lead_strides, outer_strides) = outer_strides.split_at(cut_at);
        let row: usize = outer.iter().product();
        for (i, y) in y.chunks_exact_mut(row).enumerate() {
            let (mut rest, mut base) = (first + i, 0);
            for (&len, stride) in lead.iter().zip(lead_strides).rev() {
                base += rest % len * stride;
                rest /= len;
            }
            let values = values.get_mut(i * row..(i + 1) * row).unwrap_or_default();
            arg_max_row(&x[base..], base, (y, values), outer, outer_strides, inner, inner_strides);
        }
    }
}

/// The leaders of windows from the start of `x` on, which is element `from` of all.
#[inline(always)]
fn arg_max_row<T: Element>(
    x: &[T],
    from: usize,
    (y, values): (&mut [u32], &mut [T]),
    outer: &[usize],
    outer_strides: &[usize],
    inner: &[usize],
    inner_strides: &[usize],
) {
    let (len, rest) = match outer.split_last() {
        Some((&len, rest)) if outer_strides[rest.len()] == 1 => (len, rest),
        _ => (1, outer),
    };
    let len = len.max(1);
    let mut out = y.chunks_exact_mut(len).enumerate();
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
        let (i, row) = out.next().expect("as many rows as positions");
        let values = values.get_mut(i * len..(i + 1) * len).unwrap_or_default();
        if candidates <= MOST_CANDIDATES {
            let offsets = &offsets[..candidates];
            let whole = len - len % SIDE;
            for j in (0..whole).step_by(SIDE) {
                let values = values.get_mut(j..j + SIDE).unwrap_or_default();
                leaders::<T, SIDE>(x, from, base + j, offsets, &mut row[j..j + SIDE], values);
            }
            for j in whole..len {
                let values = values.get_mut(j..j + 1).unwrap_or_default();
                leaders::<T, 1>(x, from, base + j, offsets, &mut row[j..j + 1], values);
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
                values.get_mut(j..j + 1).unwrap_or_default().fill(x[leader]);
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

/// The leaders of N windows side by side from `base` on, and their values; x starts at element `from` of all.
#[inline(always)]
fn leaders<T: Element, const N: usize>(
    x: &[T],
    from: usize,
    base: usize,
    offsets: &[usize],
    y: &mut [u32],
    values: &mut [T],
) {
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
    values.iter_mut().zip(best).for_each(|(value, best)| *value = best);
}
