//! Products with several directions at a point: the bits of each alone, whoever else is on the tape.

mod common;

use autodiff::{Directions, Real, Stage, Tape, Var, grad, hessian, jacobian, linearize, recompute};
use common::numbers;

/// Whatever their number: in groups, and what is left alone.
#[test]
fn several_directions_have_the_bits_of_each() {
    let n = 12;
    fn record(x: Var<'_>) -> Var<'_> {
        let (a, b) = (x.slice(&[0], &[6]).reshape([2, 3]), x.slice(&[6], &[12]).reshape([3, 2]));
        a.tanh().matmul(b.sin()).square().sum_all()
    }
    let x = numbers(3, n);
    let mut gradient = linearize(|x| grad(record(x), &[x])[0], &x);
    let directions = numbers(4, 21 * n);
    let one_by_one: Vec<f64> = directions.chunks(n).flat_map(|v| gradient.apply(v)).collect();
    for count in [1, 2, 7, 8, 9, 12, 21] {
        assert_eq!(gradient.apply(&directions[..count * n]), one_by_one[..count * n], "{count} directions");
    }
    let dense = hessian(record, &x);
    let product = |v: &[f64], i: usize| -> f64 { (0..n).map(|j| dense[i * n + j] * v[j]).sum() };
    for (v, hv) in directions.chunks(n).zip(one_by_one.chunks(n)) {
        assert!((0..n).all(|i| (product(v, i) - hv[i]).abs() < 1e-13), "{v:?}");
    }
}

#[test]
fn jacobians_are_made_of_groups_of_any_size() {
    for n in [1, 2, 16, 17, 33] {
        let x = numbers(5, n);
        let entries = jacobian(|x| x * x, &x);
        let expected = (0..n * n).map(|at| if at / n == at % n { 2.0 * x[at % n] } else { 0.0 });
        assert!(entries.into_iter().eq(expected), "{n} unknowns");
    }
}

/// The products with eight directions, and with each alone, in workspaces that have seen nothing else.
fn together_and_alone(products: &Directions<f64>, inputs: &[autodiff::Arg<'_, f64>]) -> [Vec<f64>; 2] {
    let directions = numbers(6, 8 * 2);
    let mut workspace = products.plan().workspace();
    products.run_point(&mut workspace, inputs, &mut []);
    let mut together = vec![0.0; directions.len()];
    products.run(&mut workspace, inputs, &directions, &mut together);
    let mut workspace = products.plan().workspace();
    products.run_point(&mut workspace, inputs, &mut []);
    let mut alone = vec![0.0; directions.len()];
    for (v, product) in directions.chunks(2).zip(alone.chunks_mut(2)) {
        products.run(&mut workspace, inputs, v, product);
    }
    [together, alone]
}

#[test]
fn what_is_computed_once_for_all_directions_is_there_for_a_group() {
    let tape = Tape::new();
    let x = tape.input("x", 2, Stage::POINT);
    let v = tape.input("v", 2, Stage::DIRECTION);
    let w = tape.input("w", 2, Stage::DIRECTION);
    // Computed again of the point, and of another input of the directions' stage.
    let again = recompute(&[(Stage::DIRECTION, x.tanh() * v)], Stage::POINT)[0].1;
    let inputs = [[0.5, -1.0][..].into(), [][..].into(), [0.25, 2.0][..].into()];
    for product in [again, w.exp().reshape([2, 1]).sum(&[1]) * v, x * w * v] {
        let products = Directions::<f64>::compile(&tape, &[], product, v, 8);
        let [together, alone] = together_and_alone(&products, &inputs);
        assert_eq!(together, alone);
        assert!(alone.iter().all(|&x| x != 0.0));
    }
}

#[test]
fn a_tape_stays_as_it_was() {
    let tape = Tape::new();
    let (x, v) = (tape.input("x", 2, Stage::POINT), tape.input("v", 2, Stage::DIRECTION));
    let inputs = [[1.0, 2.0][..].into(), [][..].into()];
    let two = [x * v, x.sin() * v];
    let recorded = tape.len();
    for product in two {
        let products = Directions::<f64>::compile(&tape, &[], product, v, 8);
        assert_eq!(products.together(), 8);
        assert_eq!(tape.len(), recorded);
        let [together, alone] = together_and_alone(&products, &inputs);
        assert_eq!(together, alone);
    }
}
