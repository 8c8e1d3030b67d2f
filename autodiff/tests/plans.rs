//! What a plan must get right beyond arithmetic: who holds which memory, which stage delivers what, and the
//! mistakes that must be caught where they are made.

mod common;

use autodiff::{Arg, Options, Plan, Real, Stage, Tape, Var, grad, hvp, jvp, recompute};
use common::{evaluate, numbers};

#[test]
fn a_value_held_by_two_tensors_is_in_both() {
    let tape = Tape::new();
    let x = tape.input("x", [2], Stage::POINT);
    let (p, q) = (x * 2.0, x * 3.0);
    let inner = Var::concat(&[p, q], 0);
    let outputs = [
        Var::concat(&[inner, p], 0),
        Var::concat(&[p, p, inner], 0),
        Var::concat(&[inner, inner.slice(&[1], &[3])], 0),
        inner.pad(&[1], [6]).pad(&[1], [8]) + p.pad(&[6], [8]),
        inner,
    ];
    let values = evaluate(&tape, &outputs, &[&[1.0, 10.0]]);
    assert_eq!(values[0], [2.0, 20.0, 3.0, 30.0, 2.0, 20.0]);
    assert_eq!(values[1], [2.0, 20.0, 2.0, 20.0, 2.0, 20.0, 3.0, 30.0]);
    assert_eq!(values[2], [2.0, 20.0, 3.0, 30.0, 20.0, 3.0]);
    assert_eq!(values[3], [0.0, 0.0, 2.0, 20.0, 3.0, 30.0, 2.0, 20.0]);
    assert_eq!(values[4], [2.0, 20.0, 3.0, 30.0]);
}

#[test]
fn an_output_may_be_asked_for_by_several_stages_and_be_anything() {
    let tape = Tape::new();
    let x = tape.input("x", [2], Stage::POINT);
    let v = tape.input("v", [2], Stage::DIRECTION);
    let y = x * x;
    let outputs = [
        (Stage::POINT, y),
        (Stage::DIRECTION, v + v),
        (Stage::DIRECTION, y),
        (Stage::POINT, y),
        (Stage::POINT, x),
        (Stage::POINT, y.slice(&[1], &[2])),
        (Stage::ADJOINT, Var::lit(7.0)),
        (Stage::ADJOINT, y.reshape([2, 1])),
    ];
    let values = Plan::<f64>::staged(&tape, &outputs, Options::default()).evaluate(&[&[2.0, 3.0], &[5.0, 6.0]]);
    let expected: [&[f64]; 8] =
        [&[4.0, 9.0], &[10.0, 12.0], &[4.0, 9.0], &[4.0, 9.0], &[2.0, 3.0], &[9.0], &[7.0], &[4.0, 9.0]];
    assert_eq!(values, expected);
}

#[test]
fn derivatives_with_respect_to_a_view_made_a_variable() {
    let tape = Tape::new();
    let flat = tape.input("flat", [6], Stage::POINT);
    let view = flat.slice(&[2], &[5]).reshape([1, 3]).cut();
    let h = tape.input("h", [2, 3], Stage::POINT);
    let f = (h + view).square().sum_all();
    let values = evaluate(&tape, &[grad(f, &[view])[0]], &[&[0.0, 0.0, 1.0, 2.0, 3.0, 0.0], &[1.0; 6]]);
    assert_eq!(values[0], [8.0, 12.0, 16.0]);
}

/// A number that was never recorded is a direction like another.
#[test]
fn derivatives_along_a_literal() {
    let tape = Tape::new();
    let (rate, x) = (tape.input("rate", [], Stage::POINT), tape.input("x", [3], Stage::POINT));
    let f = (rate * x).square().sum_all();
    let along = [(rate, Var::one())];
    let outputs = [jvp(&[f], &along)[0], hvp(f, &[rate], &along)[0]];
    assert_eq!(evaluate(&tape, &outputs, &[&[2.0], &[1.0, 2.0, 3.0]]), [[56.0], [28.0]]);
}

#[test]
fn a_variable_named_twice() {
    let tape = Tape::new();
    let x = tape.input("x", [2], Stage::POINT);
    let f = (x * x).sum_all();
    let g = grad(f, &[x, x]);
    let one = Var::full(&tape, 1.0, [2]);
    let twice = jvp(&[f], &[(x, one), (x, one)])[0];
    assert_eq!(evaluate(&tape, &[g[0], g[1], twice], &[&[1.0, 2.0]]), [vec![2.0, 4.0], vec![2.0, 4.0], vec![12.0]]);
}

#[test]
fn sums_put_nan_and_infinity_where_ieee_does() {
    let tape = Tape::new();
    let u = tape.input("u", [2], Stage::POINT);
    let v = tape.input("v", [], Stage::POINT);
    let outputs = [(u * v).sum_all(), (u / v).sum_all(), u.relu().sum_all(), u.max(v).sum_all(), u.min(v).sum_all()];
    let values = evaluate(&tape, &outputs, &[&[0.0, 1.0], &[f64::INFINITY]]);
    assert!(values[0][0].is_nan() && values[1][0] == 0.0);
    assert!(evaluate(&tape, &outputs, &[&[0.0, 1.0], &[0.0]])[1][0].is_nan());
    for values in &evaluate(&tape, &outputs, &[&[f64::NAN, 1.0], &[2.0]]) {
        assert!(values[0].is_nan());
    }
    let large = Plan::<f32>::compile(&tape, &outputs[..1]).evaluate(&[&[3e38, 3e38], &[1e-10]]);
    assert!((large[0][0] / 6e28 - 1.0).abs() < 1e-6);
}

#[test]
fn extremes_of_shape() {
    // Longer than a block, longer than the longest row, periods that do not divide a block, one element.
    for (rows, columns) in [(1, 1), (1, 5000), (5000, 1), (3, 4097), (129, 40), (7, 600), (2, 4096)] {
        let tape = Tape::new();
        let x = tape.input("x", [rows, columns], Stage::POINT);
        let b = tape.input("b", [columns], Stage::POINT);
        let y = (x + b) * 2.0 - x.mean(&[1]).reshape([rows, 1]);
        let outputs = [y, y.sum(&[0]), y.sum(&[1]), y.sum_all(), grad(y.square().sum_all(), &[b])[0]];
        let xs: Vec<f64> = (0..rows * columns).map(|i| (i % 17) as f64 - 8.0).collect();
        let bs: Vec<f64> = (0..columns).map(|i| (i % 5) as f64).collect();
        let values = evaluate(&tape, &outputs, &[&xs, &bs]);
        let mean = |i: usize| xs[i * columns..(i + 1) * columns].iter().sum::<f64>() / columns as f64;
        for i in 0..rows {
            for j in 0..columns {
                let expected = (xs[i * columns + j] + bs[j]) * 2.0 - mean(i);
                assert!((values[0][i * columns + j] - expected).abs() < 1e-12, "{rows} × {columns}");
            }
        }
        let total: f64 = values[0].iter().sum();
        assert!((values[3][0] - total).abs() <= 1e-9 * (1.0 + total.abs()), "{rows} × {columns}");
        let columns_total: f64 = values[1].iter().sum();
        assert!((columns_total - total).abs() <= 1e-9 * (1.0 + total.abs()), "{rows} × {columns}");
    }
}

/// Every way a large pass or movement is cut: with no sum, with sums of each kind, with broadcasts, with indices.
#[test]
fn threads_that_share_a_run_change_no_bit() {
    const ROWS: usize = 120_003;
    let tape = Tape::new();
    let x = tape.input("x", [ROWS, 20], Stage::POINT);
    let wide = tape.input("wide", [ROWS / 3, 64], Stage::POINT);
    let row = tape.input("row", [20], Stage::POINT);
    let column = tape.input("column", [ROWS, 1], Stage::POINT);
    let at = tape.indices("at", [3 * ROWS], ROWS, Stage::POINT);
    let outputs = [
        x.square() + x,
        x * row + column,
        (x * x).sum_all(),
        (x * row).sum(&[0]),
        (x - column).sum(&[1]),
        (wide * wide).exp().sum_all() + (wide * 3.0).sum(&[0]).sum_all(),
        x.gather(at),
        x.gather(at).scatter_add(at, ROWS),
        x.max_axes(&[1]),
        grad(x.max_axes(&[1]).square().sum_all(), &[x])[0],
    ];
    let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0;
    let numbers = |len: usize| (0..len).map(number).collect::<Vec<f32>>();
    let (x, wide, row, column) = (numbers(ROWS * 20), numbers(ROWS / 3 * 64), numbers(20), numbers(ROWS));
    let at: Vec<u32> = (0..3 * ROWS as u32).map(|i| (i * 7) % ROWS as u32).collect();
    let inputs = [(&x).into(), (&wide).into(), (&row).into(), (&column).into(), Arg::Indices(&at)];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let run = |fuse, threads| {
        let staged: Vec<_> = outputs.iter().map(|&y| (Stage::POINT, y)).collect();
        let plan: Plan<f32> = Plan::staged(&tape, &staged, Options { fuse, ..Options::default() });
        let mut workspace = plan.shared_workspace(threads);
        let mut values: Vec<Vec<f32>> =
            (0..outputs.len()).map(|i| vec![f32::NAN; plan.output_shape(i).numel()]).collect();
        let mut slices: Vec<&mut [f32]> = values.iter_mut().map(|v| &mut v[..]).collect();
        pool.install(|| plan.run(Stage::POINT, &mut workspace, &inputs, &mut slices));
        values.concat().iter().map(|v| v.to_bits()).collect::<Vec<u32>>()
    };
    let alone = run(true, 1);
    for threads in [1, 2, 3, 13] {
        assert!(run(true, threads) == alone && run(false, threads) == alone, "{threads} threads");
    }
}

macro_rules! panics_here {
    ($name:ident, $message:literal, $body:expr) => {
        /// The panic names this file and says what does not fit.
        #[test]
        fn $name() {
            let caught = std::panic::catch_unwind(|| {
                let tape = Tape::new();
                let body: fn(&Tape) = $body;
                body(&tape);
            });
            let message = caught.expect_err("it must panic");
            let text = message
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| message.downcast_ref::<&str>().map(|s| s.to_string()));
            assert!(text.unwrap().contains($message));
        }
    };
}

panics_here!(shapes_that_do_not_broadcast, "add: shapes [2] and [3] do not broadcast", |t| {
    let _ = t.input("x", [2], Stage::POINT) + t.input("y", [3], Stage::POINT);
});
panics_here!(products_that_do_not_fit, "matmul: shapes [2, 3] and [2, 3] do not fit", |t| {
    let x = t.input("x", [2, 3], Stage::POINT);
    let _ = x.matmul(x);
});
panics_here!(shapes_beyond_memory, "more elements than memory can hold", |t| {
    t.input("x", [1 << 32, 1 << 32], Stage::POINT);
});
panics_here!(tensors_without_elements, "has no elements", |t| {
    t.input("x", [2, 0], Stage::POINT);
});
panics_here!(variables_that_are_not, "Var::cut", |t| {
    let x = t.input("x", [2], Stage::POINT);
    grad((-x).sum_all(), &[-x]);
});
panics_here!(operands_of_two_tapes, "different tapes", |t| {
    let other = Tape::new();
    let y = other.input("y", [2], Stage::POINT).sum_all();
    grad(y, &[t.input("x", [2], Stage::POINT)]);
});
panics_here!(terms_of_two_tapes, "different tapes", |t| {
    let other = Tape::new();
    let _ = t.input("x", [2], Stage::POINT) + other.input("y", [2], Stage::POINT);
});
panics_here!(outputs_before_their_inputs, "output 0 of the data stage needs inputs of the point stage", |t| {
    let x = t.input("x", [2], Stage::POINT);
    Plan::<f64>::staged(t, &[(Stage::DATA, x)], Options::default());
});

#[test]
fn recording_mistakes_name_the_callers_line() {
    let here = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = here.clone();
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        *seen.lock().unwrap() = info.location().map(|l| l.file().to_owned()).unwrap_or_default();
    }));
    let mistake = std::panic::catch_unwind(|| {
        let tape = Tape::new();
        let _ = tape.input("x", [2], Stage::POINT) + tape.input("y", [3], Stage::POINT);
    });
    std::panic::set_hook(previous);
    assert!(mistake.is_err());
    assert!(here.lock().unwrap().ends_with("plans.rs"), "{}", here.lock().unwrap());
}

/// A small convolutional loss, its gradient and a product, as a plan for backpropagation through training has them.
fn convolutional<'t>(tape: &'t Tape) -> (Vec<(Stage, Var<'t>)>, [usize; 4]) {
    let lens = [2 * 6 * 6, 3 * 3 * 4 + 3 * 3 * 4 * 4, 2 * 6 * 6 * 4, 3 * 3 * 4 + 3 * 3 * 4 * 4];
    let image = tape.input("image", lens[0], Stage::DATA).reshape([2, 6, 6, 1]);
    let w = tape.input("w", lens[1], Stage::POINT);
    let target = tape.input("target", lens[2], Stage::DATA).reshape([2, 6, 6, 4]);
    let v = tape.input("v", lens[3], Stage::DIRECTION);
    let (first, second) = (w.slice(&[0], &[36]).reshape([3, 3, 1, 4]), w.slice(&[36], &[180]).reshape([3, 3, 4, 4]));
    let normalised = |x: Var<'t>| {
        let centred = x - x.mean(&[0, 1, 2]);
        centred / (centred.square().mean(&[0, 1, 2]) + 1e-3).sqrt()
    };
    let hidden = normalised(image.conv2d(first, [1, 1], [1, 1])).tanh();
    let f = (normalised(hidden.conv2d(second, [1, 1], [1, 1])) - target).square().sum_all();
    let gradient = grad(f, &[w])[0];
    let product = hvp(f, &[w], &[(w, v)])[0];
    let outputs = vec![
        (Stage::POINT, f),
        (Stage::POINT, gradient.dot(gradient)),
        (Stage::POINT, w - gradient * 0.1),
        (Stage::DIRECTION, product),
    ];
    (outputs, lens)
}

#[test]
fn what_is_not_asked_for_changes_nothing_else() {
    let tape = Tape::new();
    let (outputs, lens) = convolutional(&tape);
    let inputs: Vec<Vec<f64>> = lens.iter().enumerate().map(|(i, &n)| numbers(40 + i as u64, n)).collect();
    let args: Vec<Arg<'_, f64>> = inputs.iter().map(|x| x.into()).collect();
    for fuse in [true, false] {
        let options = Options { fuse, ..Options::default() };
        let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0, 1], options);
        let whole = plan.evaluate_args(&args);
        let mut workspace = plan.workspace();
        let (mut next, mut product) = (vec![f64::NAN; lens[1]], vec![f64::NAN; lens[1]]);
        plan.run(Stage::DATA, &mut workspace, &args, &mut []);
        plan.run(Stage::POINT, &mut workspace, &args, &mut [&mut [], &mut [], &mut next]);
        plan.run(Stage::DIRECTION, &mut workspace, &args, &mut [&mut product]);
        assert_eq!([&next, &product], [&whole[2], &whole[3]]);
    }
}

#[test]
#[should_panic(expected = "run: output 1 of the point stage has 1 elements")]
fn optional_outputs_are_left_out_together() {
    let tape = Tape::new();
    let x = tape.input("x", 2, Stage::POINT);
    let outputs = [(Stage::POINT, x.sum_all()), (Stage::POINT, x.dot(x))];
    let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0, 1], Options::default());
    plan.run(Stage::POINT, &mut plan.workspace(), &[[1.0, 2.0][..].into()], &mut [&mut [], &mut [0.0]]);
}

/// An output that is left out may hold what others need, or be asked for twice.
#[test]
fn what_an_optional_output_holds_is_there_without_it() {
    let tape = Tape::new();
    let (w, x) = (tape.input("w", [4, 4], Stage::POINT), tape.input("x", [4, 1], Stage::POINT));
    let p = w.matmul(x).reshape([4]);
    let both = Var::concat(&[p, p.tanh()], 0);
    let f = p.dot(p);
    let (w, x) = (numbers(1, 16), numbers(2, 4));
    for others in [vec![f], vec![f, both], vec![both.reshape([2, 4]), f]] {
        for optional in [both, f] {
            let outputs: Vec<_> = [optional].iter().chain(&others).map(|&y| (Stage::POINT, y)).collect();
            let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0], Options::default());
            let all = plan.evaluate(&[&w, &x]);
            let mut left: Vec<Vec<f64>> = all[1..].iter().map(|y| vec![f64::NAN; y.len()]).collect();
            let mut slices: Vec<&mut [f64]> = vec![&mut []];
            slices.extend(left.iter_mut().map(|y| &mut y[..]));
            plan.run(Stage::POINT, &mut plan.workspace(), &[(&w).into(), (&x).into()], &mut slices);
            assert_eq!(left, all[1..]);
        }
    }
}

/// A maximum and where it is are one step, of which a run may want the half; of few candidates, and of many.
#[test]
fn a_maximum_may_be_left_out_where_its_place_is_needed() {
    for columns in [4, 70] {
        let tape = Tape::new();
        let x = tape.input("x", [3, columns], Stage::POINT);
        let most = x.max_axes(&[1]);
        let outputs = [(Stage::POINT, most), (Stage::POINT, grad(most.sum_all(), &[x])[0])];
        let (x, mut gradient) = (numbers(60, 3 * columns), vec![f64::NAN; 3 * columns]);
        let largest: Vec<f64> = x.chunks(columns).map(|row| row.iter().copied().fold(f64::MIN, f64::max)).collect();
        let is_largest = |(i, &x): (usize, &f64)| f64::from(u8::from(x == largest[i / columns]));
        let expected: Vec<f64> = x.iter().enumerate().map(is_largest).collect();
        for fuse in [true, false] {
            let options = Options { fuse, ..Options::default() };
            let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0], options);
            assert_eq!(plan.evaluate(&[&x]), [&largest[..], &expected]);
            let (mut workspace, inputs) = (plan.workspace(), [(&x).into()]);
            plan.run(Stage::DATA, &mut workspace, &inputs, &mut []);
            plan.run(Stage::POINT, &mut workspace, &inputs, &mut [&mut [], &mut gradient]);
            assert_eq!(gradient, expected);
            gradient.fill(f64::NAN);
            plan.run_through(Stage::POINT, &mut workspace, &inputs, &mut [&mut [], &mut gradient]);
            assert_eq!(gradient, expected);
        }
    }
}

/// What is left of a pass may be cut for threads where the whole, with sums of two kinds, is not.
#[test]
fn threads_share_what_is_left_of_a_pass() {
    const ROWS: usize = 120_003;
    let tape = Tape::new();
    let x = tape.input("x", [ROWS, 32], Stage::POINT);
    let squares = x * x;
    let outputs = [(Stage::POINT, squares.sum_all()), (Stage::POINT, squares.sum(&[0]))];
    let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0], Options::default());
    let x = numbers(61, ROWS * 32);
    let sums = |threads| {
        let mut sums = [f64::NAN; 32];
        let mut workspace = plan.shared_workspace(threads);
        plan.run(Stage::POINT, &mut workspace, &[(&x).into()], &mut [&mut [], &mut sums]);
        sums
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    assert_eq!(pool.install(|| sums(2)), sums(1));
}

#[test]
fn what_is_computed_again_has_the_same_bits() {
    let tape = Tape::new();
    let (outputs, lens) = convolutional(&tape);
    let inputs: Vec<Vec<f64>> = lens.iter().enumerate().map(|(i, &n)| numbers(50 + i as u64, n)).collect();
    let inputs: Vec<&[f64]> = inputs.iter().map(|x| &x[..]).collect();
    let again = recompute(&outputs, Stage::POINT);
    for fuse in [true, false] {
        let options = Options { fuse, ..Options::default() };
        let [kept, computed] = [&outputs, &again].map(|outputs| Plan::<f64>::staged(&tape, outputs, options));
        assert_eq!(kept.evaluate(&inputs), computed.evaluate(&inputs));
        // The second layer's convolution and the cotangent of the first layer's activations, and sums.
        let image = 2 * 6 * 6 * 4 * size_of::<f64>();
        let bytes = computed.kept_bytes(Stage::POINT);
        assert!(2 * image <= bytes && bytes < 3 * image, "{bytes} bytes");
        assert!(2 * bytes < kept.kept_bytes(Stage::POINT));
    }
}

/// What lies inside a tensor that lies inside an output is copied to where else that output has it.
#[test]
fn a_stage_that_keeps_nothing_has_tensors_inside_tensors() {
    let tape = Tape::new();
    let [a, b] = [[2, 3], [3, 2]].map(|shape| tape.input("factor", shape, Stage::POINT));
    let (c, r) = (tape.input("c", [1, 4], Stage::POINT), tape.input("r", [2, 2], Stage::POINT));
    let v = tape.input("v", [2, 2], Stage::DIRECTION);
    let q = a.matmul(b);
    let p = Var::concat(&[q.reshape([1, 4]), c], 0);
    let t = p.pad(&[0, 0], [4, 4]) + q.pad(&[2, 0], [4, 4]) + r.pad(&[2, 2], [4, 4]);
    let outputs = [(Stage::POINT, t), (Stage::POINT, r.sum_all()), (Stage::DIRECTION, r.tanh() * v)];
    let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[1], Options::default());
    let values = [6, 6, 4, 4, 4].map(|len| numbers(len as u64, len));
    let inputs: Vec<Arg<'_, f64>> = values.iter().map(Arg::from).collect();
    let (mut whole, mut fleeting) = ([0.0; 16], [0.0; 16]);
    plan.run(Stage::POINT, &mut plan.workspace(), &inputs, &mut [&mut whole, &mut []]);
    plan.run_through(Stage::POINT, &mut plan.workspace(), &inputs, &mut [&mut fleeting, &mut []]);
    assert_eq!(whole, fleeting);
    assert_eq!(whole[..4], whole[8..10].iter().chain(&whole[12..14]).copied().collect::<Vec<_>>());
}

#[test]
fn a_stage_that_keeps_nothing_computes_the_same() {
    let tape = Tape::new();
    let (mut outputs, lens) = convolutional(&tape);
    // One that the direction stage reads, and that is therefore copied.
    outputs.push((Stage::POINT, outputs[0].1));
    outputs.push((Stage::DIRECTION, outputs[0].1 * 2.0));
    let inputs: Vec<Vec<f64>> = lens.iter().enumerate().map(|(i, &n)| numbers(60 + i as u64, n)).collect();
    let elsewhere: Vec<f64> = numbers(70, lens[1]);
    let args: Vec<Arg<'_, f64>> = inputs.iter().map(|x| x.into()).collect();
    let mut other = args.clone();
    other[1] = (&elsewhere).into();
    for fuse in [true, false] {
        let options = Options { fuse, ..Options::default() };
        let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0, 1], options);
        let whole = plan.evaluate_args(&args);
        let mut workspace = plan.workspace();
        let (mut next, mut product) = (vec![0.0; lens[1]], vec![0.0; lens[1]]);
        let (mut value, mut twice) = ([0.0], [0.0]);
        plan.run(Stage::DATA, &mut workspace, &args, &mut []);
        for args in [&other, &args] {
            let outputs = &mut [&mut [][..], &mut [], &mut next, &mut value];
            plan.run_through(Stage::POINT, &mut workspace, args, outputs);
        }
        assert_eq!([&next[..], &value], [&whole[2][..], &whole[4]]);
        plan.run(Stage::POINT, &mut workspace, &args, &mut [&mut [], &mut [], &mut next, &mut value]);
        plan.run(Stage::DIRECTION, &mut workspace, &args, &mut [&mut product, &mut twice]);
        assert_eq!([&next[..], &product, &twice], [&whole[2][..], &whole[3], &whole[5]]);
    }
}

/// What depends on no input is computed in the first stage, whether or not that is asked for.
#[test]
fn constants_are_there_for_whoever_reads_them() {
    let tape = Tape::new();
    let x = tape.input("x", [2], Stage::POINT);
    let f = (x * x).mean_all();
    let plan: Plan<f64> = Plan::compile(&tape, &[f, grad(f, &[x])[0]]);
    let (mut value, mut gradient) = ([0.0], [0.0; 2]);
    plan.run(Stage::POINT, &mut plan.workspace(), &[[1.0, 2.0][..].into()], &mut [&mut value, &mut gradient]);
    assert_eq!((value, gradient), ([2.5], [1.0, 2.0]));
    let longer = Var::concat(&[x, Var::full(&tape, 3.0, [1])], 0);
    let plan: Plan<f64> = Plan::compile(&tape, &[longer]);
    let mut all = [0.0; 3];
    plan.run(Stage::POINT, &mut plan.workspace(), &[[1.0, 2.0][..].into()], &mut [&mut all]);
    assert_eq!(all, [1.0, 2.0, 3.0]);
}

#[test]
#[should_panic(expected = "which has not run in this workspace")]
fn a_stage_does_not_go_on_from_one_that_has_not_run() {
    let tape = Tape::new();
    let (x, v) = (tape.input("x", [2], Stage::POINT), tape.input("v", [2], Stage::DIRECTION));
    let plan: Plan<f64> = Plan::compile(&tape, &[x.exp().sum_all() * v]);
    let mut product = [0.0; 2];
    plan.run(Stage::DIRECTION, &mut plan.workspace(), &[[0.0; 2][..].into(), [1.0; 2][..].into()], &mut [&mut product]);
}
