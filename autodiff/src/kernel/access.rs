//! What a run is given, and how places become slices of it. A pass makes its own, from pointers.

use std::marker::PhantomData;

use super::memory::{Block, Place, Region};
use crate::element::Element;
use crate::tape::Stage;

/// A slice bound to an input for one run.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a, T> {
    /// Values of a float input.
    Floats(&'a [T]),
    /// Values of an index input.
    Indices(&'a [u32]),
}

impl<'a, T> From<&'a [T]> for Arg<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Arg::Floats(values)
    }
}

impl<'a, T> From<&'a Vec<T>> for Arg<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Arg::Floats(values)
    }
}

/// Memory during a run.
pub(super) struct Access<'a, T> {
    inputs: &'a [Arg<'a, T>],
    outputs: *const &'a mut [T],
    kept: [(*mut T, *mut u32); Stage::COUNT],
    scratch: (*mut T, *mut u32),
    borrow: PhantomData<&'a mut T>,
}

impl<'a, T: Element> Access<'a, T> {
    /// All that a run may touch, borrowed for it.
    ///
    /// # Safety
    /// Inputs, outputs and blocks have the sizes that every place it is used with was
    /// [checked](super::Program::new) against.
    pub(super) unsafe fn new(
        inputs: &'a [Arg<'a, T>],
        outputs: &'a mut [&mut [T]],
        kept: &'a mut [Block<T>; Stage::COUNT],
        scratch: &'a mut Block<T>,
    ) -> Self {
        let base = |block: &mut Block<T>| (block.floats.as_mut_ptr(), block.indices.as_mut_ptr());
        let kept = kept.each_mut().map(base);
        Access {
            inputs,
            outputs: outputs.as_mut_ptr().cast_const().cast::<&'a mut [T]>(),
            kept,
            scratch: base(scratch),
            borrow: PhantomData,
        }
    }

    fn floats(&self, place: Place) -> *mut T {
        match place.region {
            Region::Input(i) => match self.inputs[i as usize] {
                Arg::Floats(x) => x.as_ptr().cast_mut(),
                Arg::Indices(_) => unreachable!("checked when the run began"),
            },
            // SAFETY: there are as many outputs as the place was checked against, says who made this; the pointee is read
            // through a raw pointer, without a second borrow.
            Region::Output(i) => unsafe { std::ptr::read(self.outputs.add(i as usize).cast::<*mut [T]>()).cast() },
            Region::Kept(stage) => self.kept[usize::from(stage)].0,
            Region::Scratch => self.scratch.0,
        }
    }

    /// Where a float place starts. What it points to is in bounds, and written by no one else, where the place has
    /// passed [`Program::new`](super::Program::new).
    #[inline(always)]
    pub(super) fn pointer(&self, place: Place) -> *mut T {
        self.floats(place).wrapping_add(place.offset)
    }

    /// # Safety
    /// `place` has passed [`Program::new`](super::Program::new) as a float place of the step now running, and no slice that
    /// overlaps it is being written.
    #[inline(always)]
    pub(super) unsafe fn read(&self, place: Place) -> &'a [T] {
        // SAFETY: in bounds and not written, by the contract.
        unsafe { std::slice::from_raw_parts(self.pointer(place), place.len) }
    }

    /// # Safety
    /// As for [`read`](Access::read), and no other slice overlaps it.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // The contract makes the slices disjoint.
    pub(super) unsafe fn write(&self, place: Place) -> &'a mut [T] {
        // SAFETY: in bounds and disjoint from all else, by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(place), place.len) }
    }

    fn index_base(&self, place: Place) -> *mut u32 {
        match place.region {
            Region::Input(i) => match self.inputs[i as usize] {
                Arg::Indices(x) => x.as_ptr().cast_mut(),
                Arg::Floats(_) => unreachable!("checked when the run began"),
            },
            Region::Kept(stage) => self.kept[usize::from(stage)].1,
            Region::Scratch => self.scratch.1,
            Region::Output(_) => unreachable!("outputs hold floats"),
        }
    }

    /// # Safety
    /// As for [`read`](Access::read), for an index place.
    pub(super) unsafe fn read_indices(&self, place: Place) -> &'a [u32] {
        // SAFETY: in bounds and not written, by the contract.
        unsafe { std::slice::from_raw_parts(self.index_base(place).add(place.offset), place.len) }
    }

    /// # Safety
    /// As for [`write`](Access::write), for an index place.
    #[allow(clippy::mut_from_ref)] // The contract makes the slices disjoint.
    pub(super) unsafe fn write_indices(&self, place: Place) -> &'a mut [u32] {
        // SAFETY: in bounds and disjoint from all else, by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.index_base(place).add(place.offset), place.len) }
    }
}
