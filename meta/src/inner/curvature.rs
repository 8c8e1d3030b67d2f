//! Products with what describes the curvature of G: its Hessian, or one that is never negative.

use autodiff::{Real, Stage, Var, jvp_structural, vjp_structural};

use super::Derivative;
use super::recorded::{Derived, Recorded, add};
use crate::problem::{At, Problem};

/// The product with `direction`, and that of the mixed block with `solution`.
pub(super) fn derive<'t>(
    step: &Recorded<'t>,
    derivative: Derivative,
    problem: &dyn Problem,
    [direction, solution]: [Var<'t>; 2],
) -> Derived<'t> {
    let of_direction = product(derivative, problem, &step.at, step.gradients[0], direction);
    let mixed = jvp_structural(&[step.gradients[1]], &[(step.at.phi, solution)])[0];
    let of_direction = (Stage::DIRECTION, step.or_zeros(of_direction, direction));
    let outputs = std::iter::once(of_direction).chain(mixed.map(|mixed| (Stage::ADJOINT, mixed))).collect();
    Derived { outputs, in_theta: mixed.is_some() }
}

/// The product of `derivative` with `direction`, `gradient` being ∇_φG; `None` where it is zero whatever the direction.
///
/// # Panics
/// Where the problem has no outputs, or no Fisher matrix of them, and the derivative needs them.
fn product<'t>(
    derivative: Derivative,
    problem: &dyn Problem,
    at: &At<'t>,
    gradient: Var<'t>,
    direction: Var<'t>,
) -> Option<Var<'t>> {
    if derivative == Derivative::Hessian {
        return jvp_structural(&[gradient], &[(at.phi, direction)])[0];
    }
    let outputs = problem.outputs(at).unwrap_or_else(|| panic!("{derivative:?}: the problem's G has no outputs"));
    // G as a function of two variables, φ and z: what of φ does not pass through z is the prox term.
    let z = outputs.cut();
    let slopes = vjp_structural(&[(problem.inner_of_outputs(at, z), Var::one())], &[at.phi, z]);
    let slope = |i: usize, along: &[(Var<'t>, Var<'t>)]| jvp_structural(&[slopes[i]?], along)[0];
    let moved = jvp_structural(&[outputs], &[(at.phi, direction)])[0];
    let (direct, of_outputs) = match derivative {
        Derivative::Fisher => {
            let of_outputs = moved.map(|moved| {
                let product = problem.fisher_of_outputs(at, z, moved);
                product.unwrap_or_else(|| panic!("{derivative:?}: the problem's outputs are no distribution's"))
            });
            (slope(0, &[(at.phi, direction)]), of_outputs)
        }
        Derivative::GaussNewton => {
            let along: Vec<_> = [(at.phi, direction)].into_iter().chain(moved.map(|moved| (z, moved))).collect();
            (slope(0, &along), slope(1, &along))
        }
        other => unreachable!("{other:?} is no curvature"),
    };
    add(direct, of_outputs.and_then(|c| vjp_structural(&[(outputs, c)], &[at.phi])[0]))
}
