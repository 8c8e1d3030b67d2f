//! Convolutions against the sums they are, and as adjoints of each other.

use super::*;

/// Calls `meet(x index, w index, y index)` for every term of the convolution.
fn for_each_term(g: &ConvGeometry, mut meet: impl FnMut(usize, usize, usize)) {
    for n in 0..g.batch {
        for (o, p) in (0..g.out_h).flat_map(|o| (0..g.out_w).map(move |p| (o, p))) {
            for (k, l) in (0..g.kernel_h).flat_map(|k| (0..g.kernel_w).map(move |l| (k, l))) {
                let (h, w) = (o * g.stride_h + k, p * g.stride_w + l);
                if h < g.pad_h || w < g.pad_w || h - g.pad_h >= g.in_h || w - g.pad_w >= g.in_w {
                    continue;
                }
                let x = ((n * g.in_h + h - g.pad_h) * g.in_w + w - g.pad_w) * g.in_c;
                let y = ((n * g.out_h + o) * g.out_w + p) * g.out_c;
                for c in 0..g.in_c {
                    let row = ((k * g.kernel_w + l) * g.in_c + c) * g.out_c;
                    for j in 0..g.out_c {
                        meet(x + c, row + j, y + j);
                    }
                }
            }
        }
    }
}

/// Each tap's `[in_c, out_c]` as `[out_c, in_c]`.
fn transposed<T: Number>(g: &ConvGeometry, w: &[T]) -> Vec<T> {
    let per_tap = (g.in_c * g.out_c).max(1);
    let at = |i: usize| {
        let (tap, j, c) = (i / per_tap, i % per_tap / g.in_c, i % g.in_c);
        w[tap * per_tap + c * g.out_c + j]
    };
    (0..w.len()).map(at).collect()
}

fn inner<T: Number>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

fn check_conv<T: Number>(g: ConvGeometry, random: &mut Random) {
    let conv = Conv::new(g);
    let input = g.batch * g.in_h * g.in_w * g.in_c;
    let output = g.batch * g.out_h * g.out_w * g.out_c;
    let weights = g.kernel_h * g.kernel_w * g.in_c * g.out_c;
    let (x, w, dy): (Vec<T>, Vec<T>, Vec<T>) = (random.numbers(input), random.numbers(weights), random.numbers(output));
    let wt = transposed(&g, &w);
    let (mut y, mut dx, mut dw) =
        (vec![Sum::default(); output], vec![Sum::default(); input], vec![Sum::default(); weights]);
    for_each_term(&g, |i, k, o| {
        y[o].add(x[i], w[k]);
        dx[i].add(dy[o], w[k]);
        dw[k].add(x[i], dy[o]);
    });
    for isa in Isa::available() {
        let nan = T::from_f64(f64::NAN);
        let (mut y_isa, mut dx_isa, mut dw_isa) = (vec![nan; output], vec![nan; input], vec![nan; weights]);
        conv.forward(isa, Team::of(1), false, &x, &w, &mut y_isa);
        assert_close(&y_isa, &y, &("forward", isa, g));
        conv.input_grad(isa, Team::of(1), false, &wt, &dy, &mut dx_isa);
        assert_close(&dx_isa, &dx, &("input gradient", isa, g));
        conv.weight_grad(isa, Team::of(1), false, &x, &dy, &mut dw_isa);
        assert_close(&dw_isa, &dw, &("weight gradient", isa, g));
        // What is added is the whole product.
        let twice = |once: &[T]| -> Vec<f64> { once.iter().map(|&v| 2.0 * v.to_f64()).collect() };
        let (doubled, doubled_dx, doubled_dw) = (twice(&y_isa), twice(&dx_isa), twice(&dw_isa));
        let (mut sum, mut sum_dx, mut sum_dw) = (y_isa.clone(), dx_isa.clone(), dw_isa.clone());
        conv.forward(isa, Team::of(1), true, &x, &w, &mut sum);
        conv.input_grad(isa, Team::of(1), true, &wt, &dy, &mut sum_dx);
        assert!(sum.iter().map(|v| v.to_f64()).eq(doubled), "forward, added, {isa} {g:?}");
        assert!(sum_dx.iter().map(|v| v.to_f64()).eq(doubled_dx), "input gradient, added, {isa} {g:?}");
        conv.weight_grad(isa, Team::of(1), true, &x, &dy, &mut sum_dw);
        if g.weight_grad_in_one() {
            assert!(sum_dw.iter().map(|v| v.to_f64()).eq(doubled_dw), "weight gradient, added, {isa} {g:?}");
        }
        // ⟨dy, conv(x, w)⟩ is one trilinear form: the three faces give the same number, up to the rounding of each,
        // which is below (terms of one output number)·ε of the sum of magnitudes, plus that of the f64 sums.
        let forms = [inner(&y_isa, &dy), inner(&dx_isa, &x), inner(&dw_isa, &w)];
        let magnitude: f64 = y.iter().map(|s| s.magnitude).sum();
        let terms = [&y, &dx, &dw].into_iter().flatten().map(|s| s.terms + 1).max().unwrap_or(0);
        let tolerance = 4.0 * terms as f64 * T::EPSILON * magnitude + 1e-13 * magnitude;
        for form in forms {
            assert!((form - forms[0]).abs() <= tolerance, "{isa} {g:?}: {forms:?}");
        }
    }
}

#[test]
fn convolutions_match_plain_loops_and_are_adjoint() {
    let mut random = Random(4);
    let channels = [1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 33, 40, 64, 70];
    for round in 0..150 {
        let [kernel_h, kernel_w] = [0; 2].map(|_| random.within(1..=5));
        let [stride_h, stride_w] = [0; 2].map(|_| random.within(1..=3));
        let [pad_h, pad_w] = [0; 2].map(|_| random.within(0..=2));
        let in_h = random.within(kernel_h.saturating_sub(2 * pad_h).max(1)..=12);
        let in_w = random.within(kernel_w.saturating_sub(2 * pad_w).max(1)..=12);
        let (in_c, out_c) = (random.size(&channels), random.size(&channels));
        let out_h = (in_h + 2 * pad_h - kernel_h) / stride_h + 1;
        let out_w = (in_w + 2 * pad_w - kernel_w) / stride_w + 1;
        let batch = random.within(1..=7);
        #[rustfmt::skip]
        let g = ConvGeometry {
            batch, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w,
        };
        if round % 2 == 0 {
            check_conv::<f32>(g, &mut random);
        } else {
            check_conv::<f64>(g, &mut random);
        }
    }
}

/// 3×3, stride 1, pad 1, except where a test says otherwise.
pub(super) fn same(batch: usize, h: usize, w: usize, in_c: usize, out_c: usize) -> ConvGeometry {
    #[rustfmt::skip]
    let g = ConvGeometry {
        batch, in_h: h, in_w: w, in_c, out_h: h, out_w: w, out_c, kernel_h: 3, kernel_w: 3,
        stride_h: 1, stride_w: 1, pad_h: 1, pad_w: 1,
    };
    g
}

#[test]
fn large_images_and_batches_are_summed_in_blocks() {
    let mut random = Random(5);
    check_conv::<f32>(same(2, 50, 60, 16, 8), &mut random);
    check_conv::<f32>(same(2, 90, 170, 2, 6), &mut random);
    check_conv::<f32>(same(70, 4, 4, 33, 40), &mut random);
}

/// With many channels and pixels the weight gradient works on copies.
#[test]
fn many_channels_match_plain_loops() {
    let mut random = Random(9);
    let strided = ConvGeometry { out_h: 7, out_w: 7, stride_h: 2, stride_w: 2, ..same(6, 14, 14, 64, 64) };
    let wide = same(1, 2, 200, 48, 70);
    // Half of the taps never meet the image.
    let aside = ConvGeometry { pad_h: 4, pad_w: 4, out_h: 3, out_w: 3, ..same(9, 3, 3, 49, 50) };
    for g in [strided, wide, aside] {
        check_conv::<f32>(g, &mut random);
        check_conv::<f64>(g, &mut random);
    }
}

#[test]
fn degenerate_convolutions_are_empty_or_zero() {
    let mut random = Random(6);
    let g = same(2, 4, 3, 6, 2);
    for g in [
        ConvGeometry { batch: 0, ..g },
        ConvGeometry { in_c: 0, ..g },
        ConvGeometry { out_c: 0, ..g },
        ConvGeometry { in_h: 0, ..g },
        ConvGeometry { out_w: 0, ..g },
        ConvGeometry { kernel_h: 0, ..g },
        ConvGeometry { kernel_w: 1, stride_w: 2, pad_w: 0, out_w: 2, ..g },
        ConvGeometry { out_h: 9, out_w: 7, ..g },
        ConvGeometry { pad_h: 9, pad_w: 9, ..g },
    ] {
        check_conv::<f32>(g, &mut random);
        check_conv::<f32>(ConvGeometry { in_c: g.in_c.min(1), ..g }, &mut random);
    }
}

#[test]
fn padding_is_not_multiplied() {
    let conv = Conv::new(same(1, 2, 2, 1, 1));
    for isa in Isa::available() {
        let mut y = [0f32; 4];
        conv.forward(
            isa,
            Team::of(1),
            false,
            &[1.0; 4],
            &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, f32::INFINITY],
            &mut y,
        );
        // Only the first output has an input under the last tap.
        assert_eq!(y, [f32::INFINITY, 4.0, 4.0, 4.0]);
    }
}

#[test]
fn an_image_gives_the_same_bits_alone_and_in_a_batch() {
    let mut random = Random(7);
    let batch = ConvGeometry { stride_h: 2, out_h: 4, ..same(5, 8, 7, 9, 21) };
    let (x, w): (Vec<f32>, Vec<f32>) = (random.numbers(5 * 8 * 7 * 9), random.numbers(9 * 9 * 21));
    for isa in Isa::available() {
        let (mut together, mut alone) = (vec![0f32; 5 * 4 * 7 * 21], vec![0f32; 4 * 7 * 21]);
        Conv::new(batch).forward(isa, Team::of(1), false, &x, &w, &mut together);
        let conv = Conv::new(ConvGeometry { batch: 1, ..batch });
        for (x, y) in x.chunks(8 * 7 * 9).zip(together.chunks(alone.len())) {
            conv.forward(isa, Team::of(1), false, x, &w, &mut alone);
            assert_eq!(y, alone, "{isa}");
        }
    }
}
