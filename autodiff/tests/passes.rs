//! What a plan makes of elementwise operations, sums and products: which share a pass, what touches memory, what is added in
//! place. None of it changes a bit.

mod common;

use autodiff::{Arg, Options, Plan, Real, Stage, Tape, Var, grad, hvp, jvp};
use common::{evaluate, numbers};

#[test]
fn a_pass_waits_for_the_one_that_reads_it_unless_that_needs_it_before() {
    let tape = Tape::new();
    let x = tape.input("x", [8], Stage::POINT);
    let c = tape.input("c", [8], Stage::POINT);
    let w = tape.input("w", [8, 8], Stage::POINT);
    let d = x - c;
    let square = (d * d).sum_all();
    let [read_x, read_d] = [x, d].map(|row| {
        let product = row.reshape([1, 8]).matmul(w).reshape([8]);
        [product + d * 3.0, square]
    });
    let passes = |outputs: &[Var<'_>]| Plan::<f64>::compile(&tape, outputs).to_string().matches("pass over 8 ").count();
    assert_eq!(passes(&read_x), 1, "d is computed where it is added");
    assert_eq!(passes(&read_d), 2, "the product reads d");
    let inputs: Vec<Vec<f64>> = [8, 8, 64].map(|n| (0..n).map(|i| f64::from(i * 7 % 11) - 4.0).collect()).into();
    let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
    evaluate(&tape, &read_x, &inputs);
    evaluate(&tape, &read_d, &inputs);
}

/// A literal is there from the beginning, and waits for no one who needs what others make of it.
#[test]
fn a_literal_that_is_a_piece_of_a_tensor_does_not_wait() {
    let tape = Tape::new();
    let (a, x) = (tape.input("a", [], Stage::DATA), tape.input("x", [2], Stage::DATA));
    let two = Var::full(&tape, 2.0, []).reshape([1]);
    let y = a * a + Var::concat(&[two, x], 0).sum_all();
    assert_eq!(evaluate(&tape, &[y], &[&[3.0], &[4.0, 5.0]]), [[20.0]]);
}

/// Each piece of a vector takes a place of its own in a pass.
#[test]
fn passes_over_many_pieces_of_one_vector_are_cut() {
    let tape = Tape::new();
    let x = tape.input("x", [800], Stage::POINT);
    let part = |i: usize| x.slice(&[4 * i], &[4 * i + 4]);
    let products: Vec<Var<'_>> = (0..100).map(|i| part(2 * i) * part(2 * i + 1)).collect();
    let all = products.iter().fold(part(0), |sum, &y| sum + y);
    let values = numbers(3, 800);
    let outputs = evaluate(&tape, &[&products[..], &[all]].concat(), &[&values]);
    let mut sum = values[..4].to_vec();
    for (i, product) in outputs[..100].iter().enumerate() {
        let expected: Vec<f64> = (0..4).map(|j| values[8 * i + j] * values[8 * i + 4 + j]).collect();
        assert_eq!(product, &expected);
        sum.iter_mut().zip(&expected).for_each(|(sum, y)| *sum += y);
    }
    assert_eq!(outputs[100], sum);
}

/// A value that two passes read is stored for the second unless that one reads what it is made of anyway.
#[test]
fn a_pass_computes_again_what_it_reads_the_operands_of() {
    const ROWS: usize = 128;
    let tape = Tape::new();
    let [a, b] = ["a", "b"].map(|name| tape.input(name, [ROWS, 64], Stage::POINT));
    let product = a * b;
    let mean = product.sum(&[0]).broadcast_to([ROWS, 64]);
    let (reads_it, reads_all) = ((product - mean).square(), (product - mean) * a * b);
    let bytes = |y: Var<'_>| Plan::<f64>::compile(&tape, &[y]).bytes();
    let size = ROWS * 64 * size_of::<f64>();
    assert!(bytes(reads_it) > size && bytes(reads_all) < size / 2, "{} {}", bytes(reads_it), bytes(reads_all));
    let values = [numbers(1, ROWS * 64), numbers(2, ROWS * 64)];
    evaluate(&tape, &[reads_it], &[&values[0], &values[1]]);
    evaluate(&tape, &[reads_all], &[&values[0], &values[1]]);
}

/// As products in lanes are; but not weight gradients that add up pieces of their own, such as those of few channels.
#[test]
fn convolutions_are_added_in_place_with_the_bits_of_the_sum() {
    // The last has many channels and pixels, which are summed in blocks: one, or two.
    for ([images, channels, outputs], of_products) in
        [([2, 3, 4], 2), ([2, 5, 4], 3), ([5, 48, 48], 3), ([20, 48, 48], 2)]
    {
        let tape = Tape::new();
        let [x, dx] = ["x", "dx"].map(|name| tape.input(name, [images, 6, 5, channels], Stage::POINT));
        let [w, dw] = ["w", "dw"].map(|name| tape.input(name, [3, 3, channels, outputs], Stage::POINT));
        let y = x.conv2d(w, [2, 1], [1, 1]);
        let tangent = jvp(&[y], &[(x, dx), (w, dw)])[0];
        let products = hvp(y.square().sum_all(), &[x, w], &[(x, dx), (w, dw)]);
        let (of_x, of_w) = (30 * images * channels, 9 * channels * outputs);
        let values = [of_x, of_x, of_w, of_w].map(|n| numbers(n as u64, n));
        let inputs: Vec<&[f64]> = values.iter().map(|v| &v[..]).collect();
        // What is asked for, and how often a convolution of it is added to another.
        for (outputs, added) in [(vec![tangent], 1), (vec![tangent, y], 1), (products, of_products)] {
            let plan = Plan::<f64>::compile(&tape, &outputs).to_string();
            assert_eq!(plan.matches("+= conv").count(), added, "{plan}");
            evaluate(&tape, &outputs, &inputs);
        }
    }
}

#[test]
fn long_chains_fit_several_passes() {
    let tape = Tape::new();
    let x = tape.input("x", [700], Stage::POINT);
    let mut horner = x;
    for i in 0..150 {
        horner = horner * x + 1.0 / f64::from(i + 2);
    }
    let at = vec![0.5; 700];
    let expected = (0..150).fold(0.5, |y, i| y * 0.5 + 1.0 / f64::from(i + 2));
    let values = evaluate(&tape, &[horner, grad(horner.sum_all(), &[x])[0]], &[&at]);
    assert!(values[0].iter().all(|&v| v == expected));

    for len in [3, 5000] {
        let tape = Tape::new();
        let inputs: Vec<Var> = (0..150).map(|_| tape.input("x", [len], Stage::POINT)).collect();
        let sum = inputs.iter().copied().reduce(|a, b| a + b.relu()).unwrap();
        let ones = vec![1.0; len];
        assert_eq!(evaluate(&tape, &[sum], &[&ones[..]; 150])[0], vec![150.0; len]);
    }
}

/// Sums of products that come one after the other: what each adds is not kept for a pass at the end.
#[test]
fn a_running_sum_takes_no_more_memory_the_longer_it_is() {
    let bytes = |terms: usize| {
        let tape = Tape::new();
        let x = tape.input("x", [80, 80], Stage::POINT);
        let (mut sum, mut power) = (x, x);
        for _ in 0..terms {
            power = power.matmul(x);
            sum = sum + power * 0.5;
            power = power.tanh();
        }
        Plan::<f64>::compile(&tape, &[sum]).bytes()
    };
    assert_eq!(bytes(12), bytes(40));
}

/// Programs of many passes over values too large for the nearest cache, in several stages, some outputs left out.
#[test]
fn random_passes_have_the_bits_of_their_operations() {
    const SHAPE: [usize; 2] = [80, 64];
    for seed in 0..40 {
        let mut state: u64 = seed * 2 + 1;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        let tape = Tape::new();
        let mut values: Vec<Var<'_>> = Stage::ALL.map(|stage| tape.input("x", SHAPE, stage)).into();
        for _ in 0..30 {
            let [a, b] = [0; 2].map(|_| values[below(values.len())]);
            values.push(match below(6) {
                0 => a + b * 0.25,
                1 => a * b.tanh(),
                2 => a - a.sum(&[0]).broadcast_to(SHAPE) * 0.0125,
                3 => a.relu() - b,
                4 => a.sum(&[1]).reshape([80, 1]).broadcast_to(SHAPE) * b * 0.01,
                _ => a * 0.5 + 1.0,
            });
        }
        let outputs: Vec<Var<'_>> = (0..4).map(|i| values[values.len() - 1 - i * 3]).collect();
        let inputs = [1, 2, 3, 4].map(|i| numbers(seed * 4 + i, 80 * 64));
        let inputs: Vec<&[f64]> = inputs.iter().map(|x| &x[..]).collect();
        let expected = evaluate(&tape, &outputs, &inputs);

        // All at the end, by two threads; with half of them left out; and keeping nothing.
        let asked: Vec<_> = outputs.iter().map(|&y| (Stage::ADJOINT, y)).collect();
        let plan = Plan::<f64>::with_optional(&tape, &asked, &[1, 3], Options::default());
        let args: Vec<Arg<'_, f64>> = inputs.iter().map(|&x| x.into()).collect();
        for through in [false, true] {
            let mut workspace = plan.shared_workspace(2);
            [Stage::DATA, Stage::POINT, Stage::DIRECTION]
                .into_iter()
                .for_each(|stage| plan.run(stage, &mut workspace, &args, &mut []));
            let mut y = [0; 2].map(|_| vec![f64::NAN; 80 * 64]);
            let [first, third] = &mut y;
            let results: &mut [&mut [f64]] = &mut [first, &mut [], third, &mut []];
            match through {
                true => plan.run_through(Stage::ADJOINT, &mut workspace, &args, results),
                false => plan.run(Stage::ADJOINT, &mut workspace, &args, results),
            }
            let bits = |y: &[f64]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(bits(&y[0]) == bits(&expected[0]) && bits(&y[1]) == bits(&expected[2]), "seed {seed}");
        }
    }
}
