//! Reverse mode: record the tangent program for tangents yet unnamed, then run it backwards.

use super::jvp::{ancestors, tangents, variable, zeros};
use crate::prim;
use crate::real::Real;
use crate::tape::{NodeId, Var};

/// x̄ = Σⱼ (∂yⱼ/∂x)ᵀ ȳⱼ for each variable x: the transposed Jacobian times cotangents.
///
/// `outputs` pairs each y with its cotangent ȳ. A variable that no output depends on gets zeros.
///
/// # Panics
/// Where a cotangent has another shape than its output.
#[track_caller]
pub fn vjp<'t>(outputs: &[(Var<'t>, Var<'t>)], wrt: &[Var<'t>]) -> Vec<Var<'t>> {
    let cotangents = vjp_structural(outputs, wrt);
    wrt.iter().zip(cotangents).map(|(x, ct)| ct.unwrap_or_else(|| zeros(*x, *x))).collect()
}

/// [`vjp`] that tells structural zeros: `None` for a variable that no output depends on.
///
/// # Panics
/// As [`vjp`].
#[track_caller]
pub fn vjp_structural<'t>(outputs: &[(Var<'t>, Var<'t>)], wrt: &[Var<'t>]) -> Vec<Option<Var<'t>>> {
    let Some(tape) = wrt.iter().find_map(|x| x.tape()) else { return vec![None; wrt.len()] };
    for (y, ct) in outputs {
        assert_eq!(y.shape(), ct.shape(), "vjp: output and cotangent differ in shape");
    }

    // Linearise. Seeds are new nodes, and so is whatever depends on them: the linear program is exactly
    // what is recorded from here on and depends on a seed.
    let start = tape.len();
    let mut seeds: Vec<Var<'t>> = Vec::with_capacity(wrt.len());
    let mut along: Vec<(Var<'t>, Var<'t>)> = Vec::with_capacity(wrt.len());
    for x in wrt {
        // One seed for each distinct variable.
        let id = variable(tape, *x);
        let seed = match along.iter().find(|(seen, _)| seen.parts_id() == Some(id)) {
            Some(&(_, seed)) => seed,
            None => {
                along.push((*x, tape.seed(x.shape())));
                along[along.len() - 1].1
            }
        };
        seeds.push(seed);
    }
    let primals: Vec<Var<'t>> = outputs.iter().map(|&(y, _)| y).collect();
    let dy = tangents(&primals, &along);

    // Transpose.
    let end = tape.len();
    let mut linear = vec![false; end - start];
    tape.read(|g| {
        for i in start..end {
            let node = &g.nodes[i];
            linear[i - start] = seeds.iter().any(|s| matches!(s.parts_id(), Some(id) if id.index() == i))
                || node.operands.iter().any(|o| o.index() >= start && linear[o.index() - start]);
        }
    });
    let mut cotangent: Vec<Option<Var<'t>>> = vec![None; end - start];
    let mut roots: Vec<NodeId> = Vec::new();
    for ((_, ct), dy) in outputs.iter().zip(&dy) {
        if let Some(id) = dy.and_then(Var::parts_id) {
            accumulate(&mut cotangent, id.index() - start, *ct);
            roots.push(id);
        }
    }
    let needed = ancestors(tape, roots.into_iter(), end);
    for i in (start..end).rev() {
        let Some(ct) = cotangent[i - start] else { continue };
        let node = tape.get(NodeId(i as u32));
        if node.operands.is_empty() || !needed[i] {
            continue;
        }
        let is_linear = |o: &NodeId| o.index() >= start && linear[o.index() - start];
        let which: Vec<bool> = node.operands.iter().map(is_linear).collect();
        for (operand, value) in prim::transpose(tape, &node, &which, ct) {
            accumulate(&mut cotangent, node.operands[operand].index() - start, value);
        }
    }
    let of_seed = |seed: &Var<'t>| cotangent[seed.parts_id().expect("a seed is a node").index() - start];
    seeds.iter().map(of_seed).collect()
}

fn accumulate<'t>(cotangents: &mut [Option<Var<'t>>], at: usize, value: Var<'t>) {
    cotangents[at] = Some(cotangents[at].map_or(value, |sum| prim::add_cotangents(sum, value)));
}

/// ∇f with respect to each of `wrt`: the transposed Jacobian of a single number, times 1.
///
/// # Panics
/// Where f is not a single number.
///
/// ```
/// use autodiff::{grad, Plan, Stage, Tape};
/// let tape = Tape::new();
/// let x = tape.input("x", [3], Stage::POINT);
/// let f = (x * x).sum_all();
/// let plan: Plan<f64> = Plan::compile(&tape, &[grad(f, &[x])[0]]);
/// assert_eq!(plan.evaluate(&[&[1.0, 2.0, 3.0]])[0], [2.0, 4.0, 6.0]);
/// ```
#[track_caller]
pub fn grad<'t>(f: Var<'t>, wrt: &[Var<'t>]) -> Vec<Var<'t>> {
    assert_eq!(f.shape().rank(), 0, "grad: the function is not a single number but has shape {}", f.shape());
    vjp(&[(f, Var::one())], wrt)
}
