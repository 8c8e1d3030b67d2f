//! Operations on flat vectors, for solvers: single passes, sums in `f64`.

use super::{Isa, Task};
use crate::element::Element;

/// Partial sums: enough that additions need not wait for each other.
const LANES: usize = 32;

struct Dot<'a, T>(&'a [T], &'a [T]);
impl<T: Element> Task for Dot<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let (x, y) = (self.0.chunks_exact(LANES), self.1.chunks_exact(LANES));
        let rest: f64 = x.remainder().iter().zip(y.remainder()).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
        for (x, y) in x.zip(y) {
            for ((s, a), b) in sums.iter_mut().zip(x).zip(y) {
                *s += a.to_f64() * b.to_f64();
            }
        }
        let mut len = LANES;
        while len > 1 {
            len /= 2;
            for i in 0..len {
                sums[i] += sums[i + len];
            }
        }
        sums[0] + rest
    }
}

struct Combine<'a, T>(T, &'a [T], T, &'a mut [T]);
impl<T: Element> Task for Combine<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Combine(a, x, b, y) = self;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = a * x + b * *y;
        }
    }
}

struct AddScaled<'a, T>(T, &'a [T], &'a mut [T]);
impl<T: Element> Task for AddScaled<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let AddScaled(a, x, y) = self;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = *y + a * x;
        }
    }
}

struct Scale<'a, T>(T, &'a mut [T]);
impl<T: Element> Task for Scale<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Scale(a, x) = self;
        for x in x {
            *x = a * *x;
        }
    }
}

impl Isa {
    /// x ← a x
    pub fn scale<T: Element>(self, a: T, x: &mut [T]) {
        self.run(Scale(a, x));
    }

    /// Σ xᵢ yᵢ, products and sums in `f64`, in an order fixed by the length.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[track_caller]
    pub fn dot<T: Element>(self, x: &[T], y: &[T]) -> f64 {
        assert_eq!(x.len(), y.len(), "dot: lengths differ");
        self.run(Dot(x, y))
    }

    /// y ← y + a x
    ///
    /// # Panics
    /// Where the lengths differ.
    #[track_caller]
    pub fn add_scaled<T: Element>(self, a: T, x: &[T], y: &mut [T]) {
        assert_eq!(x.len(), y.len(), "add_scaled: lengths differ");
        self.run(AddScaled(a, x, y));
    }

    /// y ← a x + b y
    ///
    /// # Panics
    /// Where the lengths differ.
    #[track_caller]
    pub fn combine<T: Element>(self, a: T, x: &[T], b: T, y: &mut [T]) {
        assert_eq!(x.len(), y.len(), "combine: lengths differ");
        self.run(Combine(a, x, b, y));
    }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;
    use crate::kernel::machine_code::assert_vectorised;

    fn check<T: Element>() {
        assert_vectorised::<Combine<'_, T>>("combine");
        assert_vectorised::<AddScaled<'_, T>>("add_scaled");
        assert_vectorised::<Scale<'_, T>>("scale");
    }

    #[test]
    fn passes_over_vectors_are_vectorised() {
        // Not for f64, of which the compiler makes vectors of two at its highest level: it looks at the last additions first.
        assert_vectorised::<Dot<'_, f32>>("dot");
        check::<f32>();
        check::<f64>();
    }
}
