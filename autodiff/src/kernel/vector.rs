//! Operations on flat vectors, for solvers, in single passes.
//!
//! Those in lanes are of several vectors whose numbers lie side by side, each with the bits of one alone.

use super::{Isa, Task, product};
use crate::element::Element;

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

/// Numbers of a block in which the coefficients of all lanes are repeated, so that one loop serves any number of lanes.
const BLOCK: usize = 256;

/// The coefficients, repeated; and how many of the numbers are whole repetitions.
#[inline(always)]
pub(super) fn repeated<T: Element>(coefficients: &[T]) -> ([T; BLOCK], usize) {
    let lanes = coefficients.len();
    let mut block = [T::zero(); BLOCK];
    let whole = BLOCK - BLOCK % lanes;
    for row in block[..whole].chunks_exact_mut(lanes) {
        row.copy_from_slice(coefficients);
    }
    (block, whole)
}

struct AddScaledThenTurn<'a, T> {
    a: &'a [T],
    p: &'a mut [T],
    x: &'a mut [T],
    b: &'a [T],
    r: &'a [T],
}
impl<T: Element> Task for AddScaledThenTurn<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let AddScaledThenTurn { a, p, x, b, r } = self;
        let ((a, len), (b, _)) = (repeated(a), repeated(b));
        for ((p, x), r) in p.chunks_mut(len).zip(x.chunks_mut(len)).zip(r.chunks(len)) {
            for ((((p, x), &r), &a), &b) in p.iter_mut().zip(x).zip(r).zip(&a).zip(&b) {
                *x = *x + a * *p;
                *p = r + b * *p;
            }
        }
    }
}

struct AddScaledLanes<'a, T>(&'a [T], &'a [T], &'a mut [T]);
impl<T: Element> Task for AddScaledLanes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let AddScaledLanes(a, x, y) = self;
        let (a, len) = repeated(a);
        add_scaled(&a[..len], x, y);
    }
}

/// y ← y + a x with coefficients that are repeated.
#[inline(always)]
pub(super) fn add_scaled<T: Element>(a: &[T], x: &[T], y: &mut [T]) {
    for (y, x) in y.chunks_mut(a.len()).zip(x.chunks(a.len())) {
        for ((y, &x), &a) in y.iter_mut().zip(x).zip(a) {
            *y = *y + a * x;
        }
    }
}

struct ScaleLanes<'a, T>(&'a [T], &'a mut [T]);
impl<T: Element> Task for ScaleLanes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ScaleLanes(a, x) = self;
        let (a, len) = repeated(a);
        for x in x.chunks_mut(len) {
            for (x, &a) in x.iter_mut().zip(&a) {
                *x = a * *x;
            }
        }
    }
}

struct LargestLanes<'a, T>(&'a [T], &'a mut [T]);
impl<T: Element> Task for LargestLanes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let LargestLanes(x, largest) = self;
        let (mut all, len) = repeated(largest);
        for x in x.chunks(len) {
            for (largest, &x) in all.iter_mut().zip(x) {
                let size = x.abs();
                *largest = if size > *largest { size } else { *largest };
            }
        }
        for row in all[..len].chunks_exact(largest.len()) {
            for (largest, &size) in largest.iter_mut().zip(row) {
                *largest = if size > *largest { size } else { *largest };
            }
        }
    }
}

#[track_caller]
pub(super) fn check_lanes<T>(x: &[T], lanes: usize) {
    let fits = 0 < lanes && lanes <= BLOCK && x.len().is_multiple_of(lanes);
    assert!(fits, "a vector of {} numbers in {lanes} lanes", x.len());
}

impl Isa {
    /// x ← a x
    pub fn scale<T: Element>(self, a: T, x: &mut [T]) {
        self.run(Scale(a, x));
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

    /// yⱼᵢ ← xᵢⱼ for x of `rows` rows: lanes apart, say, or together.
    ///
    /// # Panics
    /// Where the lengths differ or are no multiple of the number of rows.
    #[track_caller]
    pub fn transpose<T: Element>(self, rows: usize, x: &[T], y: &mut [T]) {
        assert_eq!(x.len(), y.len(), "transpose: lengths differ");
        assert!(rows > 0 && x.len().is_multiple_of(rows), "transpose: {} numbers in {rows} rows", x.len());
        let columns = x.len() / rows;
        product::transpose(self, x, [rows, columns], y, columns);
    }

    /// yᵢⱼ ← xⱼᵢ for y of `rows` vectors, which lie one behind the other, out of so many lanes.
    ///
    /// # Panics
    /// Where there are more vectors than lanes, or a length is not that of so many vectors or lanes.
    #[track_caller]
    pub fn out_of_lanes<T: Element>(self, lanes: usize, x: &[T], rows: usize, y: &mut [T]) {
        assert!(0 < rows && rows <= lanes, "out_of_lanes: {rows} vectors out of {lanes} lanes");
        let n = y.len() / rows;
        assert!(y.len() == n * rows && x.len() == n * lanes, "out_of_lanes: {} numbers, {}", x.len(), y.len());
        product::transpose(self, x, [n, lanes], y, rows);
    }

    /// yᵢₗ ← xᵢ for all l: the same vector in every lane.
    ///
    /// # Panics
    /// Where y does not have `lanes` numbers for each of x.
    #[track_caller]
    pub fn spread<T: Element>(self, lanes: usize, x: &[T], y: &mut [T]) {
        assert_eq!(x.len() * lanes, y.len(), "spread: {} numbers in {lanes} lanes", x.len());
        if lanes == 1 { y.copy_from_slice(x) } else { product::spread(self, lanes, x, y) }
    }

    /// [`scale`](Isa::scale) in every lane: xᵢₗ ← aₗ xᵢₗ
    ///
    /// # Panics
    /// Where the length is no multiple of the number of lanes, or there are more than 256 of those.
    #[track_caller]
    pub fn scale_lanes<T: Element>(self, a: &[T], x: &mut [T]) {
        check_lanes(x, a.len());
        self.run(ScaleLanes(a, x));
    }

    /// largestₗ ← max(largestₗ, maxᵢ |xᵢₗ|), of the numbers that are any.
    ///
    /// # Panics
    /// Where the length is no multiple of the number of lanes, or there are more than 256 of those.
    #[track_caller]
    pub fn largest_lanes<T: Element>(self, x: &[T], largest: &mut [T]) {
        check_lanes(x, largest.len());
        self.run(LargestLanes(x, largest));
    }

    /// [`add_scaled`](Isa::add_scaled) in every lane: yᵢₗ ← yᵢₗ + aₗ xᵢₗ
    ///
    /// # Panics
    /// Where the lengths differ or are no multiple of the number of lanes, or there are more than 256 of those.
    #[track_caller]
    pub fn add_scaled_lanes<T: Element>(self, a: &[T], x: &[T], y: &mut [T]) {
        assert_eq!(x.len(), y.len(), "add_scaled_lanes: lengths differ");
        check_lanes(x, a.len());
        self.run(AddScaledLanes(a, x, y));
    }

    /// [`add_scaled`](Isa::add_scaled) and [`combine`](Isa::combine) in every lane, in one pass: xᵢₗ ← xᵢₗ + aₗ pᵢₗ, then
    /// pᵢₗ ← rᵢₗ + bₗ pᵢₗ, as conjugate gradients go on.
    ///
    /// # Panics
    /// Where the lengths differ or are no multiple of the number of lanes, or there are more than 256 of those.
    #[track_caller]
    pub fn add_scaled_then_turn_lanes<T: Element>(self, a: &[T], p: &mut [T], x: &mut [T], b: &[T], r: &[T]) {
        let same = (x.len(), r.len(), a.len()) == (p.len(), p.len(), b.len());
        assert!(same, "add_scaled_then_turn_lanes: lengths differ");
        check_lanes(x, a.len());
        self.run(AddScaledThenTurn { a, p, x, b, r });
    }
}

#[cfg(test)]
mod lanes {
    use super::*;

    #[test]
    fn vectors_go_out_of_lanes() {
        const N: usize = 21;
        for (isa, rows, lanes) in
            Isa::available().into_iter().flat_map(|isa| [(isa, 1, 16), (isa, 10, 16), (isa, 5, 5)])
        {
            let x: Vec<f32> = (1..=rows * N).map(|i| i as f32).collect();
            let in_lanes = |at: usize| if at % lanes < rows { x[at % lanes * N + at / lanes] } else { f32::NAN };
            let apart: Vec<f32> = (0..lanes * N).map(in_lanes).collect();
            let mut back = vec![f32::NAN; rows * N];
            isa.out_of_lanes(lanes, &apart, rows, &mut back);
            assert_eq!(back, x, "{isa}, {rows} of {lanes}");
        }
    }

    fn check<T: Element>(isa: Isa, lanes: usize, len: usize) {
        let numbers = |seed: usize| -> Vec<T> {
            (0..len * lanes).map(|i| T::from_f64((i * 7919 + seed) as f64 % 1000.0 * 1.37e-3 - 0.6)).collect()
        };
        let of = |all: &[T], lane: usize| -> Vec<T> { all.iter().skip(lane).step_by(lanes).copied().collect() };
        let (x, y, factors) = (numbers(1), numbers(2), numbers(3));
        let (a, b) = (&factors[..lanes], &factors[lanes..2 * lanes]);
        let (mut added, mut moved, mut turned, mut scaled) = (y.clone(), y.clone(), x.clone(), y.clone());
        isa.add_scaled_lanes(a, &x, &mut added);
        isa.add_scaled_then_turn_lanes(a, &mut turned, &mut moved, b, &factors[..x.len()]);
        isa.scale_lanes(a, &mut scaled);
        let mut spread = vec![T::zero(); x.len() * lanes];
        isa.spread(lanes, &x, &mut spread);
        assert!(spread.chunks_exact(lanes).zip(&x).all(|(y, x)| y.iter().all(|y| y == x)), "{isa}, {lanes} lanes");
        let mut largest = vec![T::zero(); lanes];
        isa.largest_lanes(&x, &mut largest);
        for lane in 0..lanes {
            let (x, y, r) = (of(&x, lane), of(&y, lane), of(&factors, lane));
            let (mut add, mut turn) = (y.clone(), x.clone());
            isa.add_scaled(a[lane], &x, &mut add);
            isa.combine(T::one(), &r, b[lane], &mut turn);
            assert_eq!((of(&added, lane), of(&moved, lane)), (add.clone(), add), "{isa}, lane {lane} of {lanes}");
            assert_eq!(of(&turned, lane), turn, "{isa}, lane {lane} of {lanes}");
            assert!(of(&scaled, lane).iter().zip(&y).all(|(&s, &y)| s == a[lane] * y), "{isa}, lane {lane} of {lanes}");
            let most = x.iter().fold(T::zero(), |most, x| if x.abs() > most { x.abs() } else { most });
            assert_eq!(largest[lane], most, "{isa}, lane {lane} of {lanes}");
        }
    }

    #[test]
    fn every_lane_has_the_bits_of_a_vector_alone() {
        for isa in Isa::available() {
            for lanes in [1, 3, 8, 11, 16] {
                for len in [2, 31, 32, 100] {
                    check::<f32>(isa, lanes, len);
                    check::<f64>(isa, lanes, len);
                }
            }
        }
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
        assert_vectorised::<AddScaledThenTurn<'_, T>>("add_scaled_then_turn in lanes");
        assert_vectorised::<AddScaledLanes<'_, T>>("add_scaled in lanes");
        assert_vectorised::<ScaleLanes<'_, T>>("scale in lanes");
    }

    #[test]
    fn passes_over_vectors_are_vectorised() {
        check::<f32>();
        check::<f64>();
    }
}
