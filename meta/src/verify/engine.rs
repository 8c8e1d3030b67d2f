//! What is verified: every part that a meta-gradient is made of, so that a test can put a wrong one in its place.

use crate::inner::{Adam, Descent, GradientDescent, HessianFree, InnerSolver, Lbfgs, Momentum, Nesterov, Step};
use crate::linear::{Cg, Dense, Gmres, LinearSolver, Minres, Neumann};
use crate::method::{
    Choice, EvolutionStrategies, FiniteDifference, FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled,
};
use crate::problem::Problem;

/// GMRES with fewer vectors may stagnate on operators that others solve.
pub(super) const GMRES_RESTART: usize = 150;

/// A linear solver by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SolverName {
    /// Conjugate gradients.
    Cg,
    /// Minimal residuals.
    Minres,
    /// Generalised minimal residuals.
    Gmres,
    /// Neumann series.
    Neumann,
    /// Factorisation of the matrix.
    Dense,
}

/// μ of momentum and Nesterov's.
pub(super) const MU: f64 = 0.9;

/// Adam's β₁ and β₂.
pub(super) const BETA: [f64; 2] = [0.9, 0.999];

/// Adam's ε: its derivative is of size 1/ε where nothing depends on a coordinate, and multiplies rounding by that.
pub(super) const EPSILON: f64 = 0.1;

/// An inner step by name, with the settings that are verified: μ = 0.9, β = (0.9, 0.999), ε = 0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepName {
    /// Gradient descent.
    GradientDescent,
    /// Momentum.
    Momentum,
    /// Nesterov's momentum.
    Nesterov,
    /// Adam.
    Adam,
}

/// An inner solver by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerName {
    /// Gradient descent with a step size of its own.
    Automatic,
    /// L-BFGS.
    Lbfgs,
    /// Hessian-free Newton.
    HessianFree,
}

/// How long a linear solver runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SolverStop {
    /// Exactly so many iterations.
    Iterations(usize),
    /// To a relative residual, in so many iterations.
    Tolerance(f64, usize),
}

/// The parts under test. What is given here is the crate's own; a test replaces one to see the fault found.
pub trait Engine {
    /// G, with its prox term, and f.
    fn problem(&self) -> &dyn Problem;

    /// A linear solver.
    fn solver(&self, name: SolverName, stop: SolverStop) -> Box<dyn LinearSolver<f64>> {
        match (name, stop) {
            (SolverName::Cg, SolverStop::Iterations(n)) => Box::new(Cg::iterations(n)),
            (SolverName::Cg, SolverStop::Tolerance(e, cap)) => Box::new(Cg::tolerance(e, cap)),
            (SolverName::Minres, SolverStop::Iterations(n)) => Box::new(Minres::iterations(n)),
            (SolverName::Minres, SolverStop::Tolerance(e, cap)) => Box::new(Minres::tolerance(e, cap)),
            (SolverName::Gmres, SolverStop::Iterations(n)) => Box::new(Gmres::iterations(n)),
            (SolverName::Gmres, SolverStop::Tolerance(e, cap)) => {
                Box::new(Gmres::tolerance(e, cap).restarting_every(GMRES_RESTART))
            }
            (SolverName::Neumann, SolverStop::Iterations(n)) => Box::new(Neumann::iterations(n)),
            (SolverName::Neumann, SolverStop::Tolerance(e, cap)) => Box::new(Neumann::tolerance(e, cap)),
            (SolverName::Dense, _) => Box::new(Dense),
        }
    }

    /// Implicit differentiation.
    fn implicit(&self, stop: InnerStop, solver: Box<dyn LinearSolver<f64>>) -> Box<dyn Method<f64>> {
        Box::new(Implicit::new(self.problem(), stop, solver))
    }

    /// An inner solver that decides as it goes.
    fn inner(&self, name: InnerName, stop: InnerStop) -> Box<dyn InnerSolver<f64>> {
        match name {
            InnerName::Automatic => Box::new(Descent::automatic(stop)),
            InnerName::Lbfgs => Box::new(Lbfgs::new(stop)),
            InnerName::HessianFree => Box::new(HessianFree::new(stop)),
        }
    }

    /// Implicit differentiation where an inner solver leads.
    fn implicit_by(
        &self,
        inner: Box<dyn InnerSolver<f64>>,
        solver: Box<dyn LinearSolver<f64>>,
    ) -> Box<dyn Method<f64>> {
        Box::new(Implicit::with_solver(self.problem(), inner, solver))
    }

    /// Backpropagation through steps of gradient descent.
    fn unrolled(&self, steps: usize, keep: Keep) -> Box<dyn Method<f64>> {
        Box::new(Unrolled::new(self.problem(), steps, keep))
    }

    /// A step.
    fn step(&self, name: StepName) -> Box<dyn Step> {
        match name {
            StepName::GradientDescent => Box::new(GradientDescent),
            StepName::Momentum => Box::new(Momentum::new(MU)),
            StepName::Nesterov => Box::new(Nesterov::new(MU)),
            StepName::Adam => Box::new(Adam::default().with_betas(BETA[0], BETA[1]).with_epsilon(EPSILON)),
        }
    }

    /// Backpropagation through steps of another kind.
    fn unrolled_by(&self, step: &dyn Step, steps: usize, keep: Keep) -> Box<dyn Method<f64>> {
        Box::new(Unrolled::with_step(self.problem(), step, steps, keep))
    }

    /// Backpropagation through steps with Hessian products by differences (DARTS).
    fn differenced(&self, steps: usize) -> Box<dyn Method<f64>> {
        Box::new(FiniteDifference::new(self.problem(), steps))
    }

    /// Evolution strategies with n pairs and σ, seed 0.
    fn evolution(&self, steps: usize, (pairs, sigma): (usize, f64)) -> Box<dyn Method<f64>> {
        Box::new(EvolutionStrategies::new(self.problem(), steps).with_pairs(pairs).with_sigma(sigma))
    }

    /// What `auto` has chosen, as it makes it.
    fn chosen(&self, choice: Choice, steps: usize) -> Box<dyn Method<f64>> {
        choice.method(self.problem(), GradientDescent, steps)
    }

    /// First-order MAML.
    fn first_order(&self, steps: usize) -> Box<dyn Method<f64>> {
        Box::new(FirstOrder::new(self.problem(), steps))
    }

    /// Reptile.
    fn reptile(&self, steps: usize) -> Box<dyn Method<f64>> {
        Box::new(Reptile::new(self.problem(), steps))
    }
}

/// The crate's own parts.
pub struct Own<'p>(pub &'p dyn Problem);

impl Engine for Own<'_> {
    fn problem(&self) -> &dyn Problem {
        self.0
    }
}
