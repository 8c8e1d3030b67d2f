//! Where a plan's values live: places, blocks that they are in, and slices that start on cache lines.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use crate::element::Element;

/// A run of elements somewhere in a plan's memory. Floats and indices have separate arenas; which one is
/// meant follows from what the node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub region: Region,
    pub offset: usize,
    pub len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Region {
    /// The slice bound to this input.
    Input(u32),
    /// The slice bound to this output of the stage.
    Output(u32),
    /// What this stage keeps for later ones.
    Kept(u8),
    /// Free for every stage.
    Scratch,
}

impl Place {
    pub fn slice(self, offset: usize, len: usize) -> Place {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "a part lies in its whole");
        Place { offset: self.offset + offset, len, ..self }
    }

    pub fn overlaps(self, other: Place) -> bool {
        self.region == other.region && self.offset < other.offset + other.len && other.offset < self.offset + self.len
    }
}

/// Elements in each arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub floats: usize,
    pub indices: usize,
}

impl Size {
    /// What has room for both.
    pub fn max(self, other: Size) -> Size {
        Size { floats: self.floats.max(other.floats), indices: self.indices.max(other.indices) }
    }
}

/// One arena of each type.
#[derive(Clone, Debug)]
pub struct Block<T> {
    pub(super) floats: Aligned<T>,
    pub(super) indices: Aligned<u32>,
}

impl<T: Element> Block<T> {
    pub(crate) fn new(size: Size) -> Self {
        Block { floats: Aligned::zeroed(size.floats), indices: Aligned::zeroed(size.indices) }
    }

    pub(crate) fn size(&self) -> Size {
        Size { floats: self.floats.len(), indices: self.indices.len() }
    }

    /// Bytes of both arenas.
    pub fn bytes(&self) -> usize {
        self.floats.len() * size_of::<T>() + self.indices.len() * size_of::<u32>()
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A slice of plain numbers that starts on a cache line, as vectors do that long passes run over: loads of a register then
/// never touch two.
#[derive(Debug)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

/// Types for which every bit pattern is a value.
///
/// # Safety
/// Implementors have no padding, no invalid bit patterns, and an alignment of at most 64.
pub unsafe trait Plain: Copy {}
// SAFETY: primitive numbers.
unsafe impl Plain for f32 {}
// SAFETY: primitive numbers.
unsafe impl Plain for f64 {}
// SAFETY: primitive numbers.
unsafe impl Plain for u32 {}

impl<T: Plain> Aligned<T> {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        let count = (len * size_of::<T>()).div_ceil(64);
        let mut lines = room(count);
        lines.resize(count, Line([0; 64]));
        Aligned { lines, len, of: PhantomData }
    }
}

impl<T> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut lines = room(self.lines.len());
        lines.extend_from_slice(&self.lines);
        Aligned { lines, ..*self }
    }
}

/// Room for so many lines, in large pages where it is large.
fn room(count: usize) -> Vec<Line> {
    let mut lines = Vec::with_capacity(count);
    ask_for_large_pages(lines.spare_capacity_mut());
    lines
}

/// Asks for pages of 2 MiB where memory is large and not yet touched: with 4 KiB each, passes over it wait for addresses to
/// be looked up.
///
/// Linux gives them to those who ask; elsewhere, and where it gives none, nothing changes.
fn ask_for_large_pages(lines: &mut [MaybeUninit<Line>]) {
    /// What a few vectors of small networks take together stays below.
    const LARGE: usize = 4 << 20;
    if size_of_val(lines) < LARGE {
        return;
    }
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // Whole pages of this memory only.
        const PAGE: usize = 2 << 20;
        let start = lines.as_mut_ptr().cast::<u8>();
        let skipped = start.align_offset(PAGE);
        let len = size_of_val(lines).saturating_sub(skipped) / PAGE * PAGE;
        if len > 0 {
            // SAFETY: advice on how to back pages that lie within `lines`, which changes nothing in them. Whether it is
            // taken makes no difference to anyone but the clock.
            unsafe { libc::madvise(start.add(skipped).cast(), len, libc::MADV_HUGEPAGE) };
        }
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `zeroed` allocated at least `len` of them, zeroed, on a 64-byte boundary, and any bits are
        // a value of a `Plain` type.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl<T: Plain + PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<'a, T: Plain> IntoIterator for &'a Aligned<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Plain> IntoIterator for &'a mut Aligned<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
