//! Dot products of flat vectors, for solvers: one pass, products and sums in `f64`.
//!
//! The order of a sum is fixed by the length. Those in lanes are of several vectors whose numbers lie side by side: the
//! partial sums of all lanes lie side by side as well, so that each lane has the bits of one alone.

use std::array;
use std::marker::PhantomData;

use super::isa::Level;
use super::vector::{add_scaled, check_lanes, repeated};
use super::{Isa, Task};
use crate::element::Element;

/// Partial sums of a lane: enough that additions need not wait for each other.
const SUMS: usize = 32;
/// Rows of numbers that are added to partial sums while those are in registers.
const ROWS: usize = 4;

/// What is summed: products of these two numbers' pairs.
trait Products<const N: usize> {
    fn of(x: f64, y: f64) -> [[f64; 2]; N];
}

/// sum + x y. With an instruction for both where there is one (`FUSED`) and the product needs no rounding, as that of two
/// `f32` never does: the bits are the same.
#[inline(always)]
fn add_product<T, const FUSED: bool>(sum: &mut f64, [x, y]: [f64; 2]) {
    *sum = if FUSED && size_of::<T>() == size_of::<f32>() { x.mul_add(y, *sum) } else { *sum + x * y };
}

/// The numbers from one on of which each goes into a sum of its own. They are copied into registers: read where they are, some
/// kernels become scalar loops.
#[inline(always)]
fn piece<T: Element>(x: &[T], from: usize) -> [T; SUMS] {
    x[from..][..SUMS].try_into().expect("a whole piece")
}

/// xᵀy
struct Dot;
impl Products<1> for Dot {
    #[inline(always)]
    fn of(x: f64, y: f64) -> [[f64; 2]; 1] {
        [[x, y]]
    }
}

/// xᵀx
struct Square;
impl Products<1> for Square {
    #[inline(always)]
    fn of(x: f64, _: f64) -> [[f64; 2]; 1] {
        [[x, x]]
    }
}

/// xᵀy, xᵀx, yᵀy
struct Gram;
impl Products<3> for Gram {
    #[inline(always)]
    fn of(x: f64, y: f64) -> [[f64; 2]; 3] {
        [[x, y], [x, x], [y, y]]
    }
}

/// Partial sums of N products; `ROOM` of them for all lanes.
struct Partial<const N: usize, const ROOM: usize> {
    lanes: usize,
    sums: [[f64; ROOM]; N],
}

impl<const N: usize, const ROOM: usize> Partial<N, ROOM> {
    #[inline(always)]
    fn new(lanes: usize) -> Self {
        Partial { lanes, sums: [[0.0; ROOM]; N] }
    }

    /// Numbers of a row: one for each partial sum.
    fn row(&self) -> usize {
        // That of one vector is known to the compiler.
        if ROOM == SUMS { SUMS } else { SUMS * self.lanes }
    }

    /// Adds the products of whole rows.
    #[inline(always)]
    fn add<P: Products<N>, T: Element, const FUSED: bool>(&mut self, x: &[T], y: &[T]) {
        let (xs, ys) = (x.chunks_exact(ROWS * self.row()), y.chunks_exact(ROWS * self.row()));
        let (x_rest, y_rest) = (xs.remainder(), ys.remainder());
        for (x, y) in xs.zip(ys) {
            self.add_rows::<P, T, FUSED, ROWS>(x, y);
        }
        for (x, y) in x_rest.chunks_exact(self.row()).zip(y_rest.chunks_exact(self.row())) {
            self.add_rows::<P, T, FUSED, 1>(x, y);
        }
    }

    #[inline(always)]
    fn add_rows<P: Products<N>, T: Element, const FUSED: bool, const R: usize>(&mut self, x: &[T], y: &[T]) {
        let row = self.row();
        // Pieces of known length become vectors without anything left over.
        for column in (0..row).step_by(SUMS) {
            let (xs, ys): ([_; R], [_; R]) =
                (array::from_fn(|r| piece(x, r * row + column)), array::from_fn(|r| piece(y, r * row + column)));
            let sums: [&mut [f64; SUMS]; N] =
                self.sums.each_mut().map(|sums| (&mut sums[column..][..SUMS]).try_into().expect("a whole piece"));
            for i in 0..SUMS {
                let mut all: [f64; N] = array::from_fn(|n| sums[n][i]);
                for (x, y) in xs.iter().zip(&ys) {
                    for (sum, pair) in all.iter_mut().zip(P::of(x[i].to_f64(), y[i].to_f64())) {
                        add_product::<T, FUSED>(sum, pair);
                    }
                }
                for (n, sum) in all.into_iter().enumerate() {
                    sums[n][i] = sum;
                }
            }
        }
    }

    /// The sums of each lane, with the products of what is left of the vectors behind whole rows.
    #[inline(always)]
    fn total<P: Products<N>, T: Element>(mut self, x: &[T], y: &[T], totals: &mut [[f64; N]]) {
        let (x, y) = (x.chunks_exact(self.row()).remainder(), y.chunks_exact(self.row()).remainder());
        totals.fill([0.0; N]);
        for (x, y) in x.chunks_exact(self.lanes).zip(y.chunks_exact(self.lanes)) {
            for ((total, x), y) in totals.iter_mut().zip(x).zip(y) {
                for (total, pair) in total.iter_mut().zip(P::of(x.to_f64(), y.to_f64())) {
                    add_product::<T, false>(total, pair);
                }
            }
        }
        for (n, sums) in self.sums.iter_mut().enumerate() {
            let mut len = SUMS * self.lanes;
            while len > self.lanes {
                len /= 2;
                let (low, high) = sums[..2 * len].split_at_mut(len);
                for (low, high) in low.iter_mut().zip(&*high) {
                    *low += high;
                }
            }
            for (total, sum) in totals.iter_mut().zip(&*sums) {
                total[n] += sum;
            }
        }
    }
}

/// The products of two vectors, in every lane.
struct Sum<'a, T, P, const N: usize, const ROOM: usize, const FUSED: bool>(
    &'a [T],
    &'a [T],
    &'a mut [[f64; N]],
    PhantomData<P>,
);
impl<T: Element, P: Products<N>, const N: usize, const ROOM: usize, const FUSED: bool> Task
    for Sum<'_, T, P, N, ROOM, FUSED>
{
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Sum(x, y, totals, _) = self;
        let mut partial = Partial::<N, ROOM>::new(if ROOM == SUMS { 1 } else { totals.len() });
        partial.add::<P, T, FUSED>(x, y);
        partial.total::<P, T>(x, y, totals);
    }
}

/// y ← y + a x and yᵀy, in every lane.
struct AddScaledSquare<'a, T, const ROOM: usize, const FUSED: bool>(&'a [T], &'a [T], &'a mut [T], &'a mut [[f64; 1]]);
impl<T: Element, const ROOM: usize, const FUSED: bool> Task for AddScaledSquare<'_, T, ROOM, FUSED> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let AddScaledSquare(a, x, y, squares) = self;
        let mut partial = Partial::<1, ROOM>::new(if ROOM == SUMS { 1 } else { squares.len() });
        let (a, whole) = repeated(a);
        let rows = ROWS * partial.row();
        for (y, x) in y.chunks_mut(rows).zip(x.chunks(rows)) {
            add_scaled(&a[..whole], x, y);
            partial.add::<Square, T, FUSED>(y, y);
        }
        partial.total::<Square, T>(y, y, squares);
    }
}

/// y ← b (a x), z ← y and yᵀy, in every lane.
struct ScaledSquare<'a, T, const ROOM: usize, const FUSED: bool> {
    factors: [&'a [T]; 2],
    x: &'a [T],
    y: &'a mut [T],
    z: &'a mut [T],
    squares: &'a mut [[f64; 1]],
}
impl<T: Element, const ROOM: usize, const FUSED: bool> Task for ScaledSquare<'_, T, ROOM, FUSED> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ScaledSquare { factors, x, y, z, squares } = self;
        let mut partial = Partial::<1, ROOM>::new(squares.len());
        let [(a, whole), (b, _)] = factors.map(repeated);
        let rows = ROWS * partial.row();
        for ((y, z), x) in y.chunks_mut(rows).zip(z.chunks_mut(rows)).zip(x.chunks(rows)) {
            for ((y, z), x) in y.chunks_mut(whole).zip(z.chunks_mut(whole)).zip(x.chunks(whole)) {
                for ((((y, z), &x), &a), &b) in y.iter_mut().zip(z).zip(x).zip(&a).zip(&b) {
                    *y = b * (a * x);
                    *z = *y;
                }
            }
            partial.add::<Square, T, FUSED>(y, y);
        }
        partial.total::<Square, T>(y, y, squares);
    }
}

#[track_caller]
fn check<T>(operation: &str, x: &[T], y: &[T], lanes: usize) {
    assert_eq!(x.len(), y.len(), "{operation}: lengths differ");
    check_lanes(x, lanes);
    assert!(lanes <= Isa::MOST_LANES, "{operation}: {lanes} lanes of {} at most", Isa::MOST_LANES);
}

impl Isa {
    /// The most lanes that dot products can be taken in.
    pub const MOST_LANES: usize = 16;

    /// Σ xᵢ yᵢ, products and sums in `f64`, in an order fixed by the length.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[track_caller]
    pub fn dot<T: Element>(self, x: &[T], y: &[T]) -> f64 {
        check("dot", x, y, 1);
        let mut dot = [[0.0]];
        // Of a norm every number is read and made an f64 once.
        match std::ptr::eq(x, y) {
            true => self.sum::<T, Square, 1, SUMS>(x, x, &mut dot),
            false => self.sum::<T, Dot, 1, SUMS>(x, y, &mut dot),
        }
        dot[0][0]
    }

    /// The [dot products](Isa::dot) xᵀy, xᵀx, yᵀy.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[track_caller]
    pub fn gram<T: Element>(self, x: &[T], y: &[T]) -> [f64; 3] {
        check("gram", x, y, 1);
        let mut products = [[0.0; 3]];
        self.sum::<T, Gram, 3, SUMS>(x, y, &mut products);
        products[0]
    }

    /// y ← y + a x, as [`add_scaled`](Isa::add_scaled) does; returns yᵀy, as [`dot`](Isa::dot) has it.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[track_caller]
    pub fn add_scaled_square<T: Element>(self, a: T, x: &[T], y: &mut [T]) -> f64 {
        check("add_scaled_square", x, y, 1);
        let mut square = [[0.0]];
        self.add_and_square::<T, SUMS>(&[a], x, y, &mut square);
        square[0][0]
    }

    /// [`gram`](Isa::gram) in every lane.
    ///
    /// # Panics
    /// Where the lengths differ or are no multiple of the number of lanes, or there are more than 16 of those.
    #[track_caller]
    pub fn gram_lanes<T: Element>(self, x: &[T], y: &[T], products: &mut [[f64; 3]]) {
        check("gram_lanes", x, y, products.len());
        self.sum::<T, Gram, 3, { SUMS * Isa::MOST_LANES }>(x, y, products);
    }

    /// [`add_scaled_square`](Isa::add_scaled_square) in every lane: yᵢₗ ← yᵢₗ + aₗ xᵢₗ, squaresₗ = Σ yᵢₗ².
    ///
    /// # Panics
    /// Where the lengths differ or are no multiple of the number of lanes, or there are more than 16 of those.
    #[track_caller]
    pub fn add_scaled_square_lanes<T: Element>(self, a: &[T], x: &[T], y: &mut [T], squares: &mut [f64]) {
        check("add_scaled_square_lanes", x, y, a.len());
        assert_eq!(a.len(), squares.len(), "add_scaled_square_lanes: as many squares as lanes");
        let (squares, _) = squares.as_chunks_mut();
        self.add_and_square::<T, { SUMS * Isa::MOST_LANES }>(a, x, y, squares);
    }

    /// yᵢₗ and zᵢₗ ← bₗ (aₗ xᵢₗ), squaresₗ = Σ yᵢₗ²: where conjugate gradients start, y the residual and z the first direction.
    ///
    /// # Panics
    /// Where the lengths differ or are no multiple of the number of lanes, there are more than 16 of those or none, or not as
    /// many factors.
    #[track_caller]
    pub fn scaled_square_lanes<T: Element>(
        self,
        factors: [&[T]; 2],
        x: &[T],
        [y, z]: [&mut [T]; 2],
        squares: &mut [f64],
    ) {
        check("scaled_square_lanes", x, y, squares.len());
        assert_eq!(x.len(), z.len(), "scaled_square_lanes: lengths differ");
        assert!(factors.iter().all(|f| f.len() == squares.len()), "scaled_square_lanes: as many factors as lanes");
        const ROOM: usize = SUMS * Isa::MOST_LANES;
        let (squares, _) = squares.as_chunks_mut();
        match self.level() {
            Level::Portable => self.run(ScaledSquare::<T, ROOM, false> { factors, x, y, z, squares }),
            _ => self.run(ScaledSquare::<T, ROOM, true> { factors, x, y, z, squares }),
        }
    }

    fn sum<T: Element, P: Products<N>, const N: usize, const ROOM: usize>(
        self,
        x: &[T],
        y: &[T],
        totals: &mut [[f64; N]],
    ) {
        match self.level() {
            Level::Portable => self.run(Sum::<T, P, N, ROOM, false>(x, y, totals, PhantomData)),
            _ => self.run(Sum::<T, P, N, ROOM, true>(x, y, totals, PhantomData)),
        }
    }

    fn add_and_square<T: Element, const ROOM: usize>(self, a: &[T], x: &[T], y: &mut [T], squares: &mut [[f64; 1]]) {
        match self.level() {
            Level::Portable => self.run(AddScaledSquare::<T, ROOM, false>(a, x, y, squares)),
            _ => self.run(AddScaledSquare::<T, ROOM, true>(a, x, y, squares)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As defined: 32 partial sums and what is left, halves added up.
    fn by_hand<T: Element>(x: &[T], y: &[T]) -> f64 {
        let whole = x.len() - x.len() % SUMS;
        let product = |i: usize| x[i].to_f64() * y[i].to_f64();
        let mut sums: Vec<f64> =
            (0..SUMS).map(|s| (s..whole).step_by(SUMS).fold(0.0, |sum, i| sum + product(i))).collect();
        while sums.len() > 1 {
            let high = sums.split_off(sums.len() / 2);
            sums.iter_mut().zip(high).for_each(|(low, high)| *low += high);
        }
        sums[0] + (whole..x.len()).fold(0.0, |sum, i| sum + product(i))
    }

    fn check<T: Element>(isa: Isa, lanes: usize, len: usize) {
        let numbers = |seed: usize| -> Vec<T> {
            (0..len * lanes).map(|i| T::from_f64((i * 7919 + seed) as f64 % 1000.0 * 1.37e-3 - 0.6)).collect()
        };
        let of = |all: &[T], lane: usize| -> Vec<T> { all.iter().skip(lane).step_by(lanes).copied().collect() };
        let (x, y, a) = (numbers(1), numbers(2), &numbers(3)[..lanes]);
        let (mut grams, mut squares) = (vec![[0.0; 3]; lanes], vec![0.0; lanes]);
        isa.gram_lanes(&x, &y, &mut grams);
        let mut added = y.clone();
        isa.add_scaled_square_lanes(a, &x, &mut added, &mut squares);
        let (b, [mut scaled, mut again]) = (&numbers(4)[..lanes], [y.clone(), y.clone()]);
        let mut of_scaled = vec![0.0; lanes];
        isa.scaled_square_lanes([a, b], &x, [&mut scaled, &mut again], &mut of_scaled);
        assert_eq!(scaled, again, "{isa}, {len} numbers in {lanes} lanes");
        for lane in 0..lanes {
            let case = format!("{isa}, {len} numbers, lane {lane} of {lanes}");
            let (x, y) = (of(&x, lane), of(&y, lane));
            let gram = [by_hand(&x, &y), by_hand(&x, &x), by_hand(&y, &y)];
            assert_eq!(grams[lane], gram, "{case}");
            assert_eq!((isa.dot(&x, &y), isa.gram(&x, &y)), (gram[0], gram), "{case}");
            assert_eq!(isa.dot(&x, &x), gram[1], "{case}");
            let (mut alone, mut both) = (y.clone(), y);
            isa.add_scaled(a[lane], &x, &mut alone);
            let square = isa.add_scaled_square(a[lane], &x, &mut both);
            assert_eq!((of(&added, lane), &both), (alone.clone(), &alone), "{case}");
            assert_eq!([squares[lane], square], [by_hand(&alone, &alone); 2], "{case}");
            let mut alone = x;
            [a, b].iter().for_each(|factors| isa.scale(factors[lane], &mut alone));
            assert_eq!((of(&scaled, lane), of_scaled[lane]), (alone.clone(), by_hand(&alone, &alone)), "{case}");
        }
    }

    #[test]
    fn sums_have_the_order_that_their_length_gives() {
        for isa in Isa::available() {
            for lanes in [1, 3, 8, 11, 16] {
                for len in [1, 2, 31, 32, 100, 128, 333] {
                    check::<f32>(isa, lanes, len);
                    check::<f64>(isa, lanes, len);
                }
            }
        }
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn they_are_vectorised() {
        use crate::kernel::machine_code::{assert_vectorised, functions, loops};
        const LANES: usize = SUMS * Isa::MOST_LANES;
        fn check<T: Element>() {
            assert_vectorised::<Sum<'_, T, Dot, 1, SUMS, true>>("dot");
            assert_vectorised::<Sum<'_, T, Square, 1, SUMS, true>>("square");
            assert_vectorised::<Sum<'_, T, Gram, 3, SUMS, true>>("gram");
            assert_vectorised::<AddScaledSquare<'_, T, SUMS, true>>("add_scaled_square");
            assert_vectorised::<Sum<'_, T, Gram, 3, LANES, true>>("gram in lanes");
            assert_vectorised::<AddScaledSquare<'_, T, LANES, true>>("add_scaled_square in lanes");
            assert_vectorised::<ScaledSquare<'_, T, LANES, true>>("scaled_square in lanes");
        }
        check::<f32>();
        check::<f64>();
        // What is left behind whole rows is multiplied and then added: nothing of a row is done one number at a time, where
        // its length is known.
        fn in_rows<K: Task>() {
            for (_, function) in functions::<K>() {
                for row in loops(function).into_iter().flatten() {
                    assert_eq!(row.scalar_fused, 0, "{}: {row:?}", std::any::type_name::<K>());
                }
            }
        }
        in_rows::<Sum<'_, f32, Dot, 1, SUMS, true>>();
        in_rows::<Sum<'_, f32, Square, 1, SUMS, true>>();
        in_rows::<Sum<'_, f32, Gram, 3, SUMS, true>>();
        in_rows::<AddScaledSquare<'_, f32, SUMS, true>>();
    }
}
