//! What becomes of a product's numbers before they leave their registers.
//!
//! A pass over what a product has just written waits for the cache that it is in; the same arithmetic at the end of each
//! tile hides behind the multiply-adds of the next. Each operation is rounded, so that the bits are those of the pass.

use super::simd::Simd;

/// y = f(x) of the numbers x of a product, beside which a and b have the product's shape, and s and r are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// y = x + s·a
    AddScaled,
    /// y = a + s·x
    ScaleAdd,
    /// y = a − s·x: a step of descent.
    Descend,
    /// y = a − s·(x + r·(a − b)): a step of descent that is pulled to b.
    DescendPulled,
}

/// A form with what it reads.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the formulas say them
pub struct Epilogue<'a, T> {
    pub form: Form,
    pub a: &'a [T],
    /// Read by [`Form::DescendPulled`] alone.
    pub b: &'a [T],
    pub s: T,
    pub r: T,
}

/// The same at one number of the product, with pointers. Made by `LaneMatMul` alone, which has checked the lengths.
#[derive(Clone, Copy)]
pub(super) struct Tail<T> {
    form: Form,
    a: *const T,
    b: *const T,
    s: T,
    r: T,
}

impl<T: Copy> Tail<T> {
    /// From the product's first number on.
    pub fn new(epilogue: Epilogue<'_, T>) -> Self {
        let Epilogue { form, a, b, s, r } = epilogue;
        Tail { form, a: a.as_ptr(), b: b.as_ptr(), s, r }
    }

    /// So many numbers further on.
    pub fn at(self, offset: usize) -> Self {
        Tail { a: self.a.wrapping_add(offset), b: self.b.wrapping_add(offset), ..self }
    }

    /// y for a tile of vectors x, whose rows are so many numbers apart, and vectors in a row.
    ///
    /// # Safety
    /// The CPU has V's instruction set; the tile is inside a and, where the form reads it, b.
    #[inline(always)]
    pub unsafe fn tile<V: Simd<Scalar = T>, const ROWS: usize, const COLUMNS: usize>(
        self,
        mut x: [[V; COLUMNS]; ROWS],
        [row, column]: [usize; 2],
    ) -> [[V; COLUMNS]; ROWS] {
        // SAFETY: the caller's promises.
        unsafe {
            let (s, r) = (V::splat(self.s), V::splat(self.r));
            macro_rules! each {
                ($x:ident, $at:ident => $y:expr) => {
                    for (i, of_row) in x.iter_mut().enumerate() {
                        for (j, $x) in of_row.iter_mut().enumerate() {
                            let $at = i * row + j * column;
                            *$x = $y;
                        }
                    }
                };
            }
            match self.form {
                Form::AddScaled => each!(x, at => x.add(V::load(self.a.add(at)).mul(s))),
                Form::ScaleAdd => each!(x, at => V::load(self.a.add(at)).add(x.mul(s))),
                Form::Descend => each!(x, at => V::load(self.a.add(at)).sub(x.mul(s))),
                Form::DescendPulled => each!(x, at => {
                    let a = V::load(self.a.add(at));
                    a.sub(a.sub(V::load(self.b.add(at))).mul(r).add(*x).mul(s))
                }),
            }
            x
        }
    }

    /// y of one vector, in the lanes of a mask.
    ///
    /// # Safety
    /// The CPU has V's instruction set; these lanes are inside a and, where the form reads it, b.
    #[inline(always)]
    pub unsafe fn lanes<V: Simd<Scalar = T>>(self, x: V, mask: V::Mask) -> V {
        // SAFETY: the caller's promises.
        unsafe {
            let (s, r, a) = (V::splat(self.s), V::splat(self.r), V::load_masked(self.a, mask));
            match self.form {
                Form::AddScaled => x.add(a.mul(s)),
                Form::ScaleAdd => a.add(x.mul(s)),
                Form::Descend => a.sub(x.mul(s)),
                Form::DescendPulled => a.sub(a.sub(V::load_masked(self.b, mask)).mul(r).add(x).mul(s)),
            }
        }
    }
}
