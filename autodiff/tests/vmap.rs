//! A batch of programs gives each the bits that it gives alone.

mod common;

use autodiff::check::PRIMITIVES;
use autodiff::{
    Arg, Batched, Options, Plan, Real, Shape, Stage, Tape, Var, grad, hvp, jvp, recompute, vmap, vmap_lanes,
};
use common::numbers;

const MEMBERS: usize = 3;

/// Where the batch has its axis.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Axis {
    Front,
    Lanes,
}

impl Axis {
    const BOTH: [Axis; 2] = [Axis::Front, Axis::Lanes];

    fn vmap<'t>(self, outputs: &[Var<'t>], over: &[Batched<'t>]) -> Vec<Var<'t>> {
        if self == Axis::Front { vmap(outputs, over) } else { vmap_lanes(outputs, over) }
    }

    fn shape(self, one: &[usize], members: usize) -> Shape {
        let (first, last) = if self == Axis::Front { (Some(members), None) } else { (None, Some(members)) };
        first.into_iter().chain(one.iter().copied()).chain(last).collect()
    }

    /// A member of what holds so many.
    fn member(self, of: &[f64], k: usize, members: usize) -> Vec<f64> {
        match self {
            Axis::Front => of[k * of.len() / members..][..of.len() / members].to_vec(),
            Axis::Lanes => of.iter().skip(k).step_by(members).copied().collect(),
        }
    }
}

fn evaluate(tape: &Tape, outputs: &[Var<'_>], inputs: &[Arg<'_, f64>], fuse: bool) -> Vec<Vec<f64>> {
    let outputs: Vec<_> = outputs.iter().map(|&y| (Stage::POINT, y)).collect();
    Plan::staged(tape, &outputs, Options { fuse, ..Options::default() }).evaluate_args(inputs)
}

/// Every primitive, its gradient and its products, for a batch of points and for a batch of directions.
#[test]
fn a_batch_has_the_bits_of_its_members() {
    // As lanes: less than a vector of them, and whole ones.
    for (axis, members) in [(Axis::Front, MEMBERS), (Axis::Lanes, MEMBERS), (Axis::Lanes, 8)] {
        for (i, p) in PRIMITIVES.iter().enumerate() {
            let tape = Tape::new();
            let (x, v) = (tape.input("x", p.len, Stage::POINT), tape.input("v", p.len, Stage::POINT));
            let y = (p.record)(x);
            let f = y.tanh().sum_all();
            let outputs = [y, grad(f, &[x])[0], hvp(f, &[x], &[(x, v)])[0]];
            let [xs, vs] = ["xs", "vs"].map(|name| tape.input(name, axis.shape(&[p.len], members), Stage::POINT));
            let batches = [
                axis.vmap(&outputs, &[Batched::Values(x, xs), Batched::Values(v, vs)]),
                axis.vmap(&outputs, &[Batched::Values(x, xs)]),
                axis.vmap(&outputs, &[Batched::Values(v, vs)]),
            ];
            let (low, high) = p.domain;
            let point: Vec<f64> = numbers(i as u64, members * p.len).iter().map(|r| low + (high - low) * r).collect();
            let direction = numbers(100 + i as u64, members * p.len);
            let part = |of: &[f64], k: usize| axis.member(of, k, members);
            for fuse in [true, false] {
                for (b, batch) in batches.iter().enumerate() {
                    let (x0, v0) = (part(&point, 0), part(&direction, 0));
                    let inputs = [&x0, &v0, &point, &direction].map(|x| Arg::Floats(x));
                    let all = evaluate(&tape, batch, &inputs, fuse);
                    for k in 0..members {
                        let at = |moves: bool, of: &[f64]| part(of, if moves { k } else { 0 });
                        let (own, along) = (at(b < 2, &point), at(b != 1, &direction));
                        let inputs = [&own, &along, &point, &direction].map(|x| Arg::Floats(x));
                        let one = evaluate(&tape, &outputs, &inputs, fuse);
                        for (all, one) in all.iter().zip(&one) {
                            assert_eq!(part(all, k), *one, "{axis:?}, {}, batch {b}, member {k}", p.name);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn indices_can_be_shared_or_their_own() {
    for axis in Axis::BOTH {
        let tape = Tape::new();
        let table = tape.input("table", [4, 3], Stage::POINT);
        let rows = tape.indices("rows", 5, 4, Stage::POINT);
        let picked = table.gather(rows).tanh();
        let outputs = [picked, picked.scatter_add(rows, 4), rows.one_hot(), grad(picked.sum_all(), &[table])[0]];
        let tables = tape.input("tables", axis.shape(&[4, 3], MEMBERS), Stage::POINT);
        let all_rows = tape.indices("all rows", [MEMBERS, 5], 4, Stage::POINT);
        let (of_tables, of_rows) = (Batched::Values(table, tables), Batched::Indices(rows, all_rows));
        let values = numbers(7, MEMBERS * 12);
        let indices: Vec<u32> = (0..MEMBERS * 5).map(|i| (i * i + i / 5) as u32 % 4).collect();
        for (over, own_table, own_rows) in
            [(vec![of_tables], true, false), (vec![of_rows], false, true), (vec![of_tables, of_rows], true, true)]
        {
            let of =
                |table: usize, rows: usize| (axis.member(&values, table, MEMBERS), indices[rows * 5..][..5].to_vec());
            let run = |outputs: &[Var<'_>], (t, r): &(Vec<f64>, Vec<u32>)| {
                let inputs = [Arg::Floats(t), Arg::Indices(r), Arg::Floats(&values), Arg::Indices(&indices)];
                evaluate(&tape, outputs, &inputs, true)
            };
            let all = run(&axis.vmap(&outputs, &over), &of(0, 0));
            for k in 0..MEMBERS {
                let at = |own: bool| if own { k } else { 0 };
                let one = run(&outputs, &of(at(own_table), at(own_rows)));
                for (all, one) in all.iter().zip(&one) {
                    assert_eq!(axis.member(all, k, MEMBERS), *one, "{axis:?}, member {k}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "vmap: a batch of 2 of")]
fn a_batch_of_another_shape_panics() {
    let tape = Tape::new();
    let (x, xs) = (tape.input("x", 3, Stage::POINT), tape.input("xs", [2, 4], Stage::POINT));
    let _ = vmap(&[x.exp()], &[Batched::Values(x, xs)]);
}

/// A program does not contain what its recording has looked through.
#[test]
#[should_panic(expected = "vmap: a batch takes the place of an input")]
fn a_batch_of_what_is_no_variable_panics() {
    let tape = Tape::new();
    let (x, xs) = (-tape.input("x", 2, Stage::POINT), tape.input("xs", [3, 2], Stage::POINT));
    let _ = vmap(&[-x], &[Batched::Values(x, xs)]);
}

/// What a maximum of the batch picks from, or adds to, need not be of the batch itself.
#[test]
fn derivatives_of_a_maximum_have_a_batch() {
    let tape = Tape::new();
    let (x, v) = (tape.input("x", [2, 3], Stage::POINT), tape.input("v", [2, 3], Stage::POINT));
    let largest = x.max_axes(&[1]);
    let program = [grad(largest.sum_all(), &[x])[0], jvp(&[largest], &[(x, v)])[0]];
    let members = Axis::BOTH.map(|axis| tape.input("members", axis.shape(&[2, 3], 4), Stage::POINT));
    let (direction, values) = (numbers(2, 6), numbers(1, 4 * 6));
    let run = |outputs: &[Var<'_>], one: &[f64]| {
        evaluate(&tape, outputs, &[one.into(), (&direction).into(), (&values).into(), (&values).into()], true)
    };
    for (axis, xs) in Axis::BOTH.into_iter().zip(members) {
        let all = run(&axis.vmap(&program, &[Batched::Values(x, xs)]), &[0.0; 6]);
        for k in 0..4 {
            let alone = run(&program, &axis.member(&values, k, 4));
            for (all, alone) in all.iter().zip(alone) {
                assert_eq!(axis.member(all, k, 4), alone, "{axis:?}, member {k}");
            }
        }
    }
}

/// Indices that a later stage reads, and what it is told to compute again, are as many as without.
#[test]
fn indices_of_an_earlier_stage_have_a_batch() {
    for axis in Axis::BOTH {
        let tape = Tape::new();
        let (x, v) = (tape.input("x", [2, 3], Stage::POINT), tape.input("v", [2, 3], Stage::DIRECTION));
        let rows = tape.indices("rows", 5, 2, Stage::POINT);
        let plain = [jvp(&[x.max_axes(&[1])], &[(x, v)])[0], v.gather(rows).tanh()];
        let again = recompute(&plain.map(|y| (Stage::DIRECTION, y)), Stage::POINT);
        let again: Vec<_> = again.into_iter().map(|(_, y)| y).collect();
        let batch = |name| tape.input(name, axis.shape(&[2, 3], MEMBERS), Stage::POINT);
        let (xs, vs) = (batch("xs"), batch("vs"));
        let all_rows = tape.indices("all rows", [MEMBERS, 5], 2, Stage::POINT);
        let over = [Batched::Values(x, xs), Batched::Values(v, vs), Batched::Indices(rows, all_rows)];
        let (one, values) = (numbers(1, 6), numbers(2, MEMBERS * 6));
        let indices: Vec<u32> = (0..MEMBERS * 5).map(|i| (i * i + i / 5) as u32 % 2).collect();
        let inputs: [Arg<'_, f64>; 6] = [
            Arg::Floats(&one),
            Arg::Floats(&one),
            Arg::Indices(&indices[..5]),
            Arg::Floats(&values),
            Arg::Floats(&values),
            Arg::Indices(&indices),
        ];
        for over in [&over[..1], &over[1..2], &over[2..], &over[1..], &over] {
            let run = |outputs: &[Var<'_>]| {
                let outputs: Vec<_> = outputs.iter().map(|&y| (Stage::DIRECTION, y)).collect();
                Plan::<f64>::staged(&tape, &outputs, Options::default()).evaluate_args(&inputs)
            };
            assert_eq!(run(&axis.vmap(&again, over)), run(&axis.vmap(&plain, over)), "{axis:?}, {over:?}");
        }
    }
}

/// A sum of two products is one that is added to the other where nothing else reads either, with the bits of the sum.
#[test]
fn products_in_lanes_are_added_in_place_where_nothing_else_reads_them() {
    let tape = Tape::new();
    let one = [[3, 4], [4, 5], [3, 4], [4, 5]];
    let [a, b, c, d] = one.map(|shape| tape.input("one", shape, Stage::POINT));
    let [ab, cd, ad] = [a.matmul(b), c.matmul(d), a.matmul(d)];
    // What is asked for, and how often a product of it is added in place.
    let programs = [
        (vec![ab + cd], 1),
        (vec![(ab + cd).reshape([5, 3]) + ad.reshape([5, 3])], 2),
        (vec![(ab + cd).pad(&[1, 0], [5, 5]), (ad + c.matmul(b)).tanh()], 2),
        (vec![ab + cd, ab], 0),
        (vec![ab + cd, cd.exp()], 0),
        (vec![ab + ab, cd - ad], 0),
        (vec![(ab + 1.0) + cd], 0),
    ];
    let all = one.map(|shape| tape.input("all", Axis::Lanes.shape(&shape, 8), Stage::POINT));
    let over: Vec<Batched<'_>> =
        [a, b, c, d].into_iter().zip(all).map(|(one, all)| Batched::Values(one, all)).collect();
    let values: Vec<Vec<f64>> = (0..4).map(|i| numbers(i, 8 * one[i as usize].iter().product::<usize>())).collect();
    for (program, added) in programs {
        let lanes = vmap_lanes(&program, &over);
        assert_eq!(Plan::<f64>::compile(&tape, &lanes).to_string().matches(" += ").count(), added);
        let part = |k: usize| values.iter().map(|v| Axis::Lanes.member(v, k, 8)).collect::<Vec<_>>();
        let inputs = |k: usize| part(k).into_iter().chain(values.iter().cloned()).collect::<Vec<_>>();
        let run = |outputs: &[Var<'_>], k: usize, fuse: bool| {
            let inputs = inputs(k);
            evaluate(&tape, outputs, &inputs.iter().map(|x| Arg::Floats(x)).collect::<Vec<_>>(), fuse)
        };
        let (fused, unfused) = (run(&lanes, 0, true), run(&lanes, 0, false));
        assert_eq!(fused, unfused);
        for k in 0..8 {
            for (all, alone) in fused.iter().zip(run(&program, k, true)) {
                assert_eq!(Axis::Lanes.member(all, k, 8), alone, "lane {k}");
            }
        }
    }
}

/// Passes of many instructions, of which a product could do none, are not looked into: as a formula this chain has 2³⁰ terms.
#[test]
fn long_chains_that_read_their_values_twice_compile_at_once() {
    let tape = Tape::new();
    let (mut x, r) = (tape.input("x", [5000], Stage::POINT), tape.input("r", [5000], Stage::POINT));
    for _ in 0..30 {
        x = r * x * (1.0 - x);
    }
    let [start, rate] = [numbers(1, 5000), numbers(2, 5000)];
    let inputs = [Arg::Floats(&start[..]), Arg::Floats(&rate)];
    assert_eq!(evaluate(&tape, &[x], &inputs, true), evaluate(&tape, &[x], &inputs, false));
}

/// A pass that is cut for one product may end another: weights of two layers, of which one is at the start.
#[test]
fn a_step_ends_the_products_of_all_large_layers() {
    const LANES: usize = 16;
    let tape = Tape::new();
    let [x, y] = ["x", "y"].map(|name| tape.input(name, [6, 24], Stage::POINT));
    let [phi, rate] = [tape.input("phi", [2 * 24 * 24 + 24], Stage::POINT), tape.input("rate", [], Stage::POINT)];
    let weights = |start: usize| phi.slice(&[start], &[start + 24 * 24]).reshape([24, 24]);
    let bias = phi.slice(&[24 * 24], &[25 * 24]).broadcast_to([6, 24]);
    let loss = ((x.matmul(weights(0)) + bias).tanh().matmul(weights(25 * 24)) - y).square().sum_all();
    let next = phi - rate * grad(loss, &[phi])[0];
    let shapes = [vec![6, 24], vec![6, 24], vec![2 * 24 * 24 + 24]];
    let wide = |shape: &[usize]| tape.input("all", Axis::Lanes.shape(shape, LANES), Stage::POINT);
    let over: Vec<Batched<'_>> =
        [x, y, phi].into_iter().zip(&shapes).map(|(one, shape)| Batched::Values(one, wide(shape))).collect();
    let lanes = vmap_lanes(&[next], &over);
    let plan = Plan::<f64>::compile(&tape, &lanes).to_string();
    assert_eq!(plan.matches(" - in3[0..1] · ").count(), 2, "{plan}");
    let values: Vec<Vec<f64>> =
        shapes.iter().zip(0..).map(|(shape, i)| numbers(i, LANES * shape.iter().product::<usize>())).collect();
    let run = |outputs: &[Var<'_>], lane: usize, fuse: bool| {
        let own: Vec<_> = values.iter().map(|v| Axis::Lanes.member(v, lane, LANES)).collect();
        let rate = vec![0.1];
        let inputs: Vec<Arg<'_, f64>> = own.iter().chain([&rate]).chain(&values).map(|x| Arg::Floats(x)).collect();
        evaluate(&tape, outputs, &inputs, fuse).remove(0)
    };
    let all = run(&lanes, 0, true);
    assert_eq!(all, run(&lanes, 0, false));
    for lane in 0..LANES {
        assert_eq!(Axis::Lanes.member(&all, lane, LANES), run(&[next], lane, true), "lane {lane}");
    }
}

/// Of a pass over what a large product has just written, with the bits of the pass. All lanes share the numbers.
#[test]
fn large_products_in_lanes_end_in_the_pass_that_alone_reads_them() {
    const LANES: usize = 16;
    const LEN: usize = 24 * 24 + 30;
    let tape = Tape::new();
    let one = [[24, 5], [5, 24], [24, 5], [5, 24]];
    let [a, b, da, db] = one.map(|shape| tape.input("one", shape, Stage::POINT));
    let [p, q] = ["p", "q"].map(|name| tape.input(name, [LEN], Stage::POINT));
    let [s, r] = ["s", "r"].map(|name| tape.input(name, [], Stage::POINT));
    let [x, sum] = [a.matmul(b), a.matmul(db) + da.matmul(b)].map(|x| x.reshape([24 * 24]).pad(&[20], [LEN]));
    let pulled = p - s * (x + r * (p - q));
    // What is asked for, and whether the last product does it.
    let programs = [
        (vec![x + s * p], true),
        (vec![p * s + x], true),
        (vec![p + x * s], true),
        (vec![p - s * x], true),
        (vec![pulled], true),
        (vec![p - ((p - q) * r + x) * s], true),
        (vec![p - s * sum], true),
        (vec![sum + p * s], true),
        (vec![p - s * x, x.square().sum_all()], false),
        (vec![pulled, x], false),
        (vec![q - s * (x + r * (p - q))], false),
        (vec![p - (x + r * (p - q))], false),
        (vec![(p - s * x).tanh()], false),
        (vec![p * x], false),
        (vec![p - s * (x + r * (p - q)) * r], false),
    ];
    let wide = |shape: &[usize]| tape.input("all", Axis::Lanes.shape(shape, LANES), Stage::POINT);
    let shapes: Vec<Vec<usize>> = one.iter().map(|s| s.to_vec()).chain([vec![LEN], vec![LEN]]).collect();
    let over: Vec<Batched<'_>> =
        [a, b, da, db, p, q].into_iter().zip(&shapes).map(|(one, shape)| Batched::Values(one, wide(shape))).collect();
    let values: Vec<Vec<f64>> =
        shapes.iter().zip(0..).map(|(shape, i)| numbers(i, LANES * shape.iter().product::<usize>())).collect();
    let shared = [vec![0.3], vec![1.7]];
    for (program, ends) in programs {
        let lanes = vmap_lanes(&program, &over);
        let plan = Plan::<f64>::compile(&tape, &lanes).to_string();
        assert_eq!(plan.contains("pass over 9696"), !ends, "{plan}");
        let run = |outputs: &[Var<'_>], lane: usize, fuse: bool| {
            let own: Vec<_> = values.iter().map(|v| Axis::Lanes.member(v, lane, LANES)).collect();
            let inputs: Vec<Arg<'_, f64>> = own.iter().chain(&shared).chain(&values).map(|x| Arg::Floats(x)).collect();
            evaluate(&tape, outputs, &inputs, fuse)
        };
        let ended = run(&lanes, 0, true);
        assert_eq!(ended, run(&lanes, 0, false), "{plan}");
        for lane in 0..LANES {
            for (all, alone) in ended.iter().zip(run(&program, lane, true)) {
                assert_eq!(Axis::Lanes.member(all, lane, LANES), alone, "lane {lane} of {plan}");
            }
        }
    }
}

/// aᵀ·b and a·b, where a batch of b shares a.
fn products_of<'t>(a: Var<'t>, b: Var<'t>) -> Var<'t> {
    a.t().matmul(b).tanh() + a.matmul(b)
}

#[test]
fn derivatives_of_a_batch_with_a_shared_factor_are_those_of_each() {
    let tape = Tape::new();
    let [a, direction] = ["a", "direction"].map(|name| tape.input(name, [3, 3], Stage::POINT));
    let b = tape.input("b", [3, 2], Stage::POINT);
    let all = tape.input("all", [4, 3, 2], Stage::POINT);
    let together = vmap(&[products_of(a, b)], &[Batched::Values(b, all)])[0].square().sum_all();
    let one = |k: usize| products_of(a, all.slice(&[k, 0, 0], &[k + 1, 3, 2]).reshape([3, 2])).square().sum_all();
    let apart = one(0) + one(1) + one(2) + one(3);
    let derivatives = |y: Var<'_>| -> Vec<f64> {
        let outputs = [grad(y, &[a, all]), hvp(y, &[a, all], &[(a, direction)]), vec![y]].concat();
        let plan: Plan<f64> = Plan::compile(&tape, &outputs);
        plan.evaluate(&[&numbers(1, 9), &numbers(2, 9), &[], &numbers(3, 24)]).concat()
    };
    for (together, apart) in derivatives(together).into_iter().zip(derivatives(apart)) {
        // Sums of some twenty numbers of about 1, in another order.
        assert!((together - apart).abs() <= 40.0 * f64::EPSILON * apart.abs().max(1.0), "{together} and {apart}");
    }
}

#[test]
fn batches_of_batches_that_share_a_factor_have_the_bits_of_their_members() {
    for axis in Axis::BOTH {
        let tape = Tape::new();
        let (a, b) = (tape.input("a", [3, 3], Stage::POINT), tape.input("b", [3, 2], Stage::POINT));
        let bs = tape.input("bs", [4, 3, 2], Stage::POINT);
        let batch = vmap(&[products_of(a, b)], &[Batched::Values(b, bs)])[0];
        let [of_a, of_bs] = [(a, "all a"), (bs, "all bs")]
            .map(|(x, name)| Batched::Values(x, tape.input(name, axis.shape(x.shape().dims(), MEMBERS), Stage::POINT)));
        let (all_a, all_bs) = (numbers(4, 9 * MEMBERS), numbers(5, 24 * MEMBERS));
        let member = |all: &[f64], k| axis.member(all, k, MEMBERS);
        let run = |y: Var<'_>, a: &[f64], bs: &[f64]| {
            Plan::<f64>::compile(&tape, &[y]).evaluate(&[a, &[], bs, &all_a, &all_bs]).remove(0)
        };
        for (over, is_a, is_bs) in [(&[of_a][..], 1, 0), (&[of_bs], 0, 1), (&[of_a, of_bs], 1, 1)] {
            let together = run(axis.vmap(&[batch], over)[0], &member(&all_a, 0), &member(&all_bs, 0));
            for k in 0..MEMBERS {
                let alone = run(batch, &member(&all_a, k * is_a), &member(&all_bs, k * is_bs));
                assert_eq!(member(&together, k), alone, "{axis:?}, member {k} of {is_a} {is_bs}");
            }
        }
    }
}

#[test]
fn a_batch_is_read_and_written_where_it_lies() {
    // A network of three layers, its parameters in one vector with gaps: products with its Hessian.
    let (hidden, len, members) = (6, 80, 5);
    let tape = Tape::new();
    let theta = tape.input("theta", len, Stage::POINT);
    let direction = tape.input("direction", len, Stage::DIRECTION);
    let x = tape.input("x", [4, 2], Stage::POINT);
    let part = |from: usize, shape: [usize; 2]| theta.slice(&[from], &[from + shape[0] * shape[1]]).reshape(shape);
    let first = (x.matmul(part(1, [2, hidden])) + part(16, [1, hidden])).relu();
    let second = (first.matmul(part(24, [hidden, hidden])) + part(61, [1, hidden])).relu();
    let loss = second.matmul(part(70, [hidden, 1])).square().sum_all();
    let product = hvp(loss, &[theta], &[(theta, direction)])[0];
    let all = tape.input("all", [members, len], Stage::DIRECTION);
    let together = vmap(&[product], &[Batched::Values(direction, all)])[0];
    let inputs = [numbers(1, len), numbers(2, len), numbers(3, 8), numbers(4, members * len)];
    let run = |y: Var<'_>, direction: &[f64]| {
        let plan: Plan<f64> = Plan::compile(&tape, &[y]);
        let products = plan.evaluate(&[&inputs[0], direction, &inputs[2], &inputs[3]]).remove(0);
        (plan.to_string(), products)
    };
    let (plan, products) = run(together, &[]);
    for (direction, of_direction) in inputs[3].chunks(len).zip(products.chunks(len)) {
        assert_eq!(run(product, direction).1, of_direction);
    }
    // Directions are not copied, nor is what the point has: a matrix of each is transposed beside its product.
    let stage = plan.split("direction stage").nth(1).expect("a stage").split("adjoint stage").next().expect("before");
    assert!(!stage.contains(" as ["), "{plan}");
    assert!(stage.contains("ᵀ    5 × [4, 6]·[6, 6]"), "{plan}");
    // The weights' gradients are where they belong, and what is left are those of two biases.
    let assemble = stage.lines().find(|line| line.contains("assemble")).expect("an output in pieces");
    assert_eq!(assemble.matches(" s[").count(), 2, "{plan}");
}

/// What could not lie where it is written or read is where it would be without a batch.
#[test]
fn products_that_something_else_needs_lie_together() {
    let tape = Tape::new();
    let (a, b) = (tape.input("a", [3, 4], Stage::POINT), tape.input("b", [4, 2], Stage::POINT));
    let all = tape.input("all", [5, 4, 2], Stage::POINT);
    let tensor = a.matmul(b).reshape(6).pad(&[2], 10) + (b.reshape(8).slice(&[0], &[2])).exp().pad(&[8], 10);
    let together = vmap(&[tensor], &[Batched::Values(b, all)])[0];
    let part = together.slice(&[2, 2], &[3, 8]);
    let inputs = [numbers(1, 12), vec![], numbers(2, 40)];
    let args: Vec<Arg<'_, f64>> = inputs.iter().map(|x| (&x[..]).into()).collect();
    let alone = Plan::<f64>::compile(&tape, &[together]).evaluate_args(&args).remove(0);
    // Another output is part of a product, of the same stage and of a later one; and may be left out.
    for stage in [Stage::POINT, Stage::DIRECTION] {
        for optional in [&[][..], &[1]] {
            let outputs = [(Stage::POINT, together), (stage, part)];
            let values = Plan::<f64>::with_optional(&tape, &outputs, optional, Options::default()).evaluate_args(&args);
            assert_eq!(values, [alone.clone(), alone[22..28].to_vec()], "{stage:?}, {optional:?}");
        }
    }
}

#[test]
fn products_do_not_read_what_lies_between_their_matrices() {
    let tape = Tape::new();
    let (x, b) = (tape.input("x", [1, 4], Stage::POINT), tape.input("b", [2, 2], Stage::POINT));
    let all = tape.input("all", [3, 2, 2], Stage::POINT);
    let factor = x.tanh();
    let products = vmap(&[factor.reshape([2, 2]).matmul(b)], &[Batched::Values(b, all)])[0].reshape([3, 4]);
    let boxes = [products.pad(&[0, 0], [3, 8]), factor.pad(&[1, 4], [3, 8])];
    let run =
        |outputs: &[Var<'_>]| Plan::<f64>::compile(&tape, outputs).evaluate(&[&numbers(1, 4), &[], &numbers(2, 12)]);
    let apart = run(&boxes);
    let expected: Vec<f64> = apart[0].iter().zip(&apart[1]).map(|(a, b)| a + b).collect();
    assert_eq!(run(&[boxes[0] + boxes[1]])[0], expected);
}

#[test]
fn transposed_rows_need_not_be_matrices() {
    let tape = Tape::new();
    let (a, x) = (tape.input("a", [4, 2, 4], Stage::POINT), tape.input("x", [16, 8], Stage::POINT));
    let (values, around) = (numbers(1, 32), numbers(2, 128));
    // Rows of four numbers, of a matrix, and of two.
    for (box_of, rows) in [([16, 4], 16), ([4, 16], 4), ([2, 32], 2)] {
        let of = x.reshape([rows, 128 / rows]).slice(&[0, 0], &box_of);
        let product = a.matmul(of.reshape([4, 4, 4]).permute(&[0, 2, 1]));
        let computed = Plan::<f64>::compile(&tape, &[product]).evaluate(&[&values, &around]).remove(0);
        let b: Vec<f64> = around.chunks(128 / rows).flat_map(|row| &row[..box_of[1]]).copied().collect();
        for (at, &c) in computed.iter().enumerate() {
            let (k, i, j) = (at / 8, at / 4, at % 4);
            let exact: f64 = (0..4).map(|d| values[i * 4 + d] * b[k * 16 + j * 4 + d]).sum();
            // Four products below 1, in whatever order.
            assert!((c - exact).abs() <= 8.0 * f64::EPSILON, "{box_of:?}: {c} is not {exact}");
        }
    }
}

#[test]
#[should_panic(expected = "indices that a batch has with tables of its own")]
fn a_second_batch_of_indices_with_tables_of_their_own_is_refused() {
    let tape = Tape::new();
    let (table, tables) = (tape.input("table", [3], Stage::POINT), tape.input("tables", [2, 3], Stage::POINT));
    let indices = |name, shape: &[usize]| tape.indices(name, shape, 3, Stage::POINT);
    let (rows, own, twice) = (indices("rows", &[2]), indices("own", &[2, 2]), indices("twice", &[2, 2, 2]));
    let over = [Batched::Values(table, tables), Batched::Indices(rows, own)];
    let once = vmap(&[table.gather(rows)], &over)[0];
    vmap(&[once], &[Batched::Indices(own, twice)]);
}
