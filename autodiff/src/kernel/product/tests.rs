//! Every product against plain loops in f64, on every instruction set of this machine and for both number types.

mod conv;

use super::{Conv, ConvGeometry, Epilogue, Form, LaneMatMul, MatMul, ProductElement};
use crate::kernel::{Isa, Team};
use conv::same;

/// A number type with what the tests need of it.
trait Number: ProductElement + PartialEq + std::fmt::Debug {
    const EPSILON: f64;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Number for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Number for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn within(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        range.start() + (self.next() % (range.end() - range.start() + 1) as u64) as usize
    }
    /// One of `sizes`, which are those around vector and tile boundaries, or any up to the last.
    fn size(&mut self, sizes: &[usize]) -> usize {
        if self.next().is_multiple_of(2) {
            sizes[self.within(0..=sizes.len() - 1)]
        } else {
            self.within(1..=sizes[sizes.len() - 1])
        }
    }
    fn numbers<T: Number>(&mut self, len: usize) -> Vec<T> {
        let mut number = || (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        (0..len).map(|_| T::from_f64(number())).collect()
    }
}

/// A sum of products in f64, with what its rounding error can be measured against.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    magnitude: f64,
    terms: usize,
}

impl Sum {
    fn add<T: Number>(&mut self, a: T, b: T) {
        let term = a.to_f64() * b.to_f64();
        self.value += term;
        self.magnitude += term.abs();
        self.terms += 1;
    }
}

/// A chain of k multiply-adds, rounded twice each at most, is within `k·ε·Σ|a||b|` of the exact sum to first
/// order (Higham, Accuracy and Stability, 3.1, with unit roundoff u = ε/2); the reference is as wrong in f64,
/// hence the 2. One more term covers the sum being cut into blocks.
#[track_caller]
fn assert_close<T: Number>(computed: &[T], exact: &[Sum], what: &dyn std::fmt::Debug) {
    assert_eq!(computed.len(), exact.len());
    for (i, (c, e)) in computed.iter().zip(exact).enumerate() {
        let tolerance = 2.0 * (e.terms + 1) as f64 * T::EPSILON * e.magnitude;
        let error = (c.to_f64() - e.value).abs();
        assert!(error <= tolerance, "{what:?}: number {i} is {c:?}, not {} ({error:e} > {tolerance:e})", e.value);
    }
}

fn check_matmul<T: Number>(shape: MatMul, random: &mut Random) {
    let MatMul { batch, m, k, n, trans_a, trans_b, apart, add } = shape;
    let [of_a, of_b, of_c] = shape.spans();
    let (a, b): (Vec<T>, Vec<T>) = (random.numbers(of_a), random.numbers(of_b));
    let before = T::from_f64(if add { 0.7 } else { f64::NAN });
    let mut exact = vec![Sum::default(); batch * m * n];
    for s in 0..batch {
        for i in 0..m {
            for d in 0..k {
                let x = a[s * apart[0] + if trans_a { d * m + i } else { i * k + d }];
                for j in 0..n {
                    let at = if trans_b { j * k + d } else { d * n + j };
                    exact[(s * m + i) * n + j].add(x, b[s * apart[1] + at]);
                }
            }
        }
    }
    if add {
        exact.iter_mut().for_each(|sum| sum.add(before, T::from_f64(1.0)));
    }
    for isa in Isa::available() {
        let mut c = vec![before; of_c];
        let mut work = vec![T::from_f64(f64::NAN); shape.work_len()];
        shape.run(isa, Team::of(1), [&a, &b], &mut c, &mut work);
        let (of_product, between): (Vec<_>, Vec<_>) =
            c.iter().enumerate().partition(|(i, _)| i % apart[2].max(1) < m * n);
        let computed: Vec<T> = of_product.into_iter().map(|(_, &c)| c).collect();
        assert_close(&computed, &exact, &(isa, shape));
        let bits = |x: T| x.to_f64().to_bits();
        assert!(between.into_iter().all(|(_, &c)| bits(c) == bits(before)), "{isa} {shape:?}: what lies between");
    }
}

/// Each lane against a product of its own, to the bit.
fn check_lanes<T: Number>(shape: LaneMatMul, random: &mut Random) {
    let LaneMatMul { lanes, m, k, n, trans_a, trans_b, shared_a, shared_b, add } = shape;
    let width = |shared: bool| if shared { 1 } else { lanes };
    let a: Vec<T> = random.numbers(m * k * width(shared_a));
    let b: Vec<T> = random.numbers(k * n * width(shared_b));
    let of_lane = |all: &[T], lane: usize, shared: bool| -> Vec<T> {
        all.iter().skip(if shared { 0 } else { lane }).step_by(width(shared)).copied().collect()
    };
    for isa in Isa::available() {
        let mut c = vec![T::from_f64(if add { 0.7 } else { f64::NAN }); m * n * lanes];
        shape.run(isa, &a, &b, &mut c, None);
        for lane in 0..lanes {
            let (a, mut b) = (of_lane(&a, lane, shared_a), of_lane(&b, lane, shared_b));
            if trans_b {
                b = (0..k * n).map(|i| b[i % n * k + i / n]).collect();
            }
            let mut alone = vec![T::from_f64(f64::NAN); m * n];
            MatMul::dense(1, [m, k, n], trans_a).run(isa, Team::of(1), [&a, &b], &mut alone, &mut []);
            if add {
                // Rounded twice, which changes nothing: 53 bits are more than twice 24.
                alone.iter_mut().for_each(|c| *c = T::from_f64(c.to_f64() + T::from_f64(0.7).to_f64()));
            }
            assert_eq!(of_lane(&c, lane, false), alone, "{isa} {shape:?}, lane {lane}");
        }
    }
}

/// What a product's numbers go through, each operation rounded, to the bit.
fn check_epilogues<T: Number>(shape: LaneMatMul, random: &mut Random) {
    let LaneMatMul { lanes, m, k, n, shared_a, shared_b, add, .. } = shape;
    let width = |shared: bool| if shared { 1 } else { lanes };
    let (a, b) = (random.numbers::<T>(m * k * width(shared_a)), random.numbers::<T>(k * n * width(shared_b)));
    let [held, beside, other] = [0; 3].map(|_| random.numbers::<T>(m * n * lanes));
    let (s, r) = (T::from_f64(0.3), T::from_f64(1.7));
    // Rounding twice changes nothing: 53 bits are more than twice 24.
    let plus = |x: T, y: T| T::from_f64(x.to_f64() + y.to_f64());
    let minus = |x: T, y: T| T::from_f64(x.to_f64() - y.to_f64());
    let times = |x: T, y: T| T::from_f64(x.to_f64() * y.to_f64());
    for isa in Isa::available() {
        let mut products = held.clone();
        shape.run(isa, &a, &b, &mut products, None);
        for form in [Form::AddScaled, Form::ScaleAdd, Form::Descend, Form::DescendPulled] {
            let mut c = if add { held.clone() } else { vec![T::from_f64(f64::NAN); held.len()] };
            shape.run(isa, &a, &b, &mut c, Some(Epilogue { form, a: &beside, b: &other, s, r }));
            for (i, (&x, y)) in products.iter().zip(c).enumerate() {
                let (a, b) = (beside[i], other[i]);
                let expected = match form {
                    Form::AddScaled => plus(x, times(s, a)),
                    Form::ScaleAdd => plus(a, times(s, x)),
                    Form::Descend => minus(a, times(s, x)),
                    Form::DescendPulled => minus(a, times(s, plus(x, times(r, minus(a, b))))),
                };
                assert_eq!(y, expected, "{isa} {shape:?} {form:?}, number {i}");
            }
        }
    }
}

#[test]
fn every_lane_has_the_bits_of_a_product_alone() {
    let mut random = Random(11);
    for case in 0..300 {
        let mut size = |sizes: &[usize]| random.size(sizes);
        let [m, k, n] = [size(&[1, 2, 5, 6, 11]), size(&[1, 3, 4, 8, 9, 20]), size(&[1, 2, 3, 7])];
        let lanes = size(&[1, 2, 3, 8, 10, 16, 24]);
        let [trans_a, trans_b] = [case % 2 == 0, case % 4 < 2];
        let (shared_a, shared_b) = (case % 3 == 1, case % 3 == 2);
        let add = case % 5 < 2;
        let shape = LaneMatMul { lanes, m, k, n, trans_a, trans_b, shared_a, shared_b, add };
        check_lanes::<f32>(shape, &mut random);
        check_lanes::<f64>(shape, &mut random);
        check_epilogues::<f32>(shape, &mut random);
        check_epilogues::<f64>(shape, &mut random);
    }
}

#[test]
fn matrix_products_match_plain_loops() {
    let mut random = Random(1);
    let sizes = [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15, 16, 17, 31, 32, 33, 40, 48, 63, 64, 65, 70];
    for round in 0..400 {
        let [m, k, n] = [0; 3].map(|_| random.size(&sizes));
        let dense = MatMul::dense(1 + round % 3, [m, k, n], round % 2 == 0);
        // Some share an operand, some lie apart, some are transposed, some are added.
        let [of_a, of_b, of_c] = dense.apart;
        let apart = [
            [of_a, 0, of_a + 5][round % 3 * usize::from(round % 5 == 0)],
            [of_b, 0, of_b + 3][(round + 1) % 3 * usize::from(round % 7 < 2)],
            [of_c, of_c + 9][usize::from(round % 11 < 3)],
        ];
        let shape = MatMul { apart, trans_b: round % 3 == 1, add: round % 13 < 4, ..dense };
        check_matmul::<f32>(shape, &mut random);
        check_matmul::<f64>(shape, &mut random);
    }
}

#[test]
fn empty_matrix_products_are_empty_or_zero() {
    for zero in 0..4 {
        for n in [1, 3] {
            for trans_a in [false, true] {
                let mut sizes = [2, 3, 5, n];
                sizes[zero] = 0;
                let [batch, m, k, n] = sizes;
                check_matmul::<f32>(MatMul::dense(batch, [m, k, n], trans_a), &mut Random(2));
            }
        }
    }
}

#[test]
fn long_depths_and_wide_matrices_match_plain_loops() {
    let mut random = Random(3);
    for (m, k, n) in [(3, 2000, 5), (70, 600, 130), (1, 300, 300), (300, 300, 1), (7, 1, 200)] {
        for trans_a in [false, true] {
            check_matmul::<f32>(MatMul::dense(1, [m, k, n], trans_a), &mut random);
        }
    }
}

#[test]
fn spans_of_large_products_are_those_of_their_matrices() {
    let n = 1 << 20;
    assert_eq!(MatMul::dense(2, [n, 8, n], false).spans(), [16 << 20, 16 << 20, 2 << 40]);
    let apart = [0, 9 << 20, 1 << 41];
    assert_eq!(MatMul { apart, ..MatMul::dense(2, [n, 8, n], true) }.spans(), [8 << 20, 17 << 20, 3 << 40]);
}

#[test]
#[should_panic(expected = "matrices that fit in memory")]
fn matrices_beyond_all_memory_are_refused() {
    let shape = MatMul { apart: [usize::MAX, 0, 1], ..MatMul::dense(3, [1, 1, 1], false) };
    shape.run(Isa::PORTABLE, Team::of(1), [&[0f32], &[0.0]], &mut [0.0; 3], &mut []);
}

#[test]
#[should_panic(expected = "A, B and C of")]
fn a_slice_of_the_wrong_length_is_refused() {
    let shape = MatMul::dense(1, [2, 3, 4], false);
    shape.run(Isa::PORTABLE, Team::of(1), [&[0f32; 6], &[0.0; 11]], &mut [0.0; 8], &mut []);
}

/// In threads of the global pool, whatever their number.
#[test]
fn a_team_gives_the_same_bits_as_one_thread() {
    let mut random = Random(10);
    let strided = ConvGeometry { out_h: 7, out_w: 7, stride_h: 2, stride_w: 2, ..same(20, 14, 14, 64, 64) };
    for g in [strided, same(3, 41, 42, 32, 33), same(2, 70, 71, 3, 48)] {
        let conv = Conv::new(g);
        let [x, dy, w] = [conv.geometry().input_len(), conv.geometry().output_len(), conv.geometry().weight_len()];
        let (x, dy, w): (Vec<f32>, Vec<f32>, Vec<f32>) = (random.numbers(x), random.numbers(dy), random.numbers(w));
        for isa in Isa::available() {
            let all = |team| {
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                conv.forward(isa, team, false, &x, &w, &mut y);
                conv.input_grad(isa, team, false, &w, &dy, &mut dx);
                conv.weight_grad(isa, team, false, &x, &dy, &mut dw);
                // And what is added to that.
                conv.forward(isa, team, true, &x, &w, &mut y);
                conv.input_grad(isa, team, true, &w, &dy, &mut dx);
                conv.weight_grad(isa, team, true, &x, &dy, &mut dw);
                (y, dx, dw)
            };
            let alone = all(Team::of(1));
            assert!([2, 3, 5].iter().all(|&threads| all(Team::of(threads)) == alone), "{isa} {g:?}");
        }
    }
    let shape = MatMul::dense(2, [301, 200, 203], false);
    let (a, b): (Vec<f32>, Vec<f32>) = (random.numbers(2 * 301 * 200), random.numbers(2 * 200 * 203));
    for isa in Isa::available() {
        let product = |team| {
            let mut c = vec![0f32; 2 * 301 * 203];
            shape.run(isa, team, [&a, &b], &mut c, &mut []);
            c
        };
        assert_eq!(product(Team::of(2)), product(Team::of(1)));
    }
}

#[test]
fn every_fma_instruction_set_gives_the_same_bits() {
    let mut random = Random(8);
    for (m, k, n) in [(10, 40, 40), (7, 33, 1), (40, 10, 5), (3, 70, 70)] {
        let (a, b): (Vec<f32>, Vec<f32>) = (random.numbers(m * k), random.numbers(k * n));
        let product = |isa| {
            let mut c = vec![0f32; m * n];
            MatMul::dense(1, [m, k, n], false).run(isa, Team::of(1), [&a, &b], &mut c, &mut []);
            c
        };
        let mut results = Isa::available().into_iter().filter(|&isa| isa != Isa::PORTABLE).map(product);
        if let Some(first) = results.next() {
            assert!(results.all(|other| other == first), "{m}x{k}x{n}");
        }
    } // Weight gradients of many channels are copied first on one and read in place on another.
    let g = ConvGeometry { out_h: 7, out_w: 7, stride_h: 2, stride_w: 2, ..same(5, 14, 14, 64, 64) };
    let (x, dy): (Vec<f32>, Vec<f32>) = (random.numbers(g.input_len()), random.numbers(g.output_len()));
    let gradient = |isa| {
        let mut dw = vec![0f32; g.weight_len()];
        Conv::new(g).weight_grad(isa, Team::of(1), false, &x, &dy, &mut dw);
        dw
    };
    let mut results = Isa::available().into_iter().filter(|&isa| isa != Isa::PORTABLE).map(gradient);
    if let Some(first) = results.next() {
        assert!(results.all(|other| other == first), "{g:?}");
    }
}
