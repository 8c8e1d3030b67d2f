//! The linear solver of iMAML, by name: which combinations there are, and what they are made of.

use autodiff::Element;
use clap::ValueEnum;
use meta::linear::{
    Cg, Dense, Fallback, Gmres, LinearSolver, Minres, Neumann, Nystrom, OnNegativeCurvature, Policy, Preconditioner,
    Secant,
};
use serde::{Deserialize, Serialize};

use crate::console::note;
use crate::failure::Failure;
use crate::memory;

/// Pairs of the inner trajectory that `--preconditioner lbfgs` keeps.
const PAIRS: usize = 8;

/// Products of `--preconditioner nystrom`.
const RANK: usize = 10;

/// What solves (H + λI) x = v.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SolverName {
    /// Conjugate gradients, for positive definite operators.
    #[default]
    Cg,
    /// Minimal residuals, for indefinite ones too.
    Minres,
    /// Generalised minimal residuals: the most stable, and the most memory.
    Gmres,
    /// A scaled Neumann series.
    Neumann,
    /// A factorisation of the matrix: for networks of a few hundred parameters.
    Dense,
}

impl SolverName {
    /// As in options, files and sentences.
    pub fn name(self) -> &'static str {
        match self {
            SolverName::Cg => "cg",
            SolverName::Minres => "minres",
            SolverName::Gmres => "gmres",
            SolverName::Neumann => "neumann",
            SolverName::Dense => "dense",
        }
    }

    /// An iteration of it: `CG iteration`.
    pub fn iteration(self) -> &'static str {
        match self {
            SolverName::Cg => "CG iteration",
            SolverName::Minres => "MINRES iteration",
            SolverName::Gmres => "GMRES iteration",
            SolverName::Neumann => "Neumann term",
            SolverName::Dense => "dense solve",
        }
    }

    /// Refuses what belongs to iterations for a solver that has none.
    ///
    /// # Errors
    /// The first option that is given and does.
    pub fn check_iterations(solver: Option<SolverName>, options: &[(&str, bool)]) -> Result<(), Failure> {
        match options.iter().find(|(_, given)| *given && solver == Some(SolverName::Dense)) {
            Some((name, _)) => Err(Failure::new(format_args!(
                "{name} belongs to the iterations: the solver dense has none; leave {name} out"
            ))),
            None => Ok(()),
        }
    }

    /// What is done about negative curvature where nothing is asked; training has a
    /// [default of its own](crate::defaults::ON_NEGATIVE_CURVATURE).
    pub fn default_policy(self) -> Option<PolicyName> {
        match self {
            SolverName::Cg => Some(PolicyName::GoOn),
            SolverName::Neumann => Some(PolicyName::Stop),
            SolverName::Minres | SolverName::Gmres | SolverName::Dense => None,
        }
    }
}

/// What CG is preconditioned by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreconditionerName {
    /// Nothing.
    #[default]
    None,
    /// The L-BFGS matrix of the points of adaptation.
    Lbfgs,
    /// A randomised Nyström approximation.
    Nystrom,
}

/// What is done where the operator is not positive definite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Go on: the recurrences hold.
    GoOn,
    /// Keep the last iterate before it.
    Stop,
    /// Solve by MINRES.
    Minres,
    /// Add a multiple of the identity to the operator.
    Damp,
    /// Take a larger λ for that task.
    RaiseLambda,
    /// Solve with the Gauss-Newton matrix in its place, an approximation.
    GaussNewton,
}

/// How long it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// Exactly so many iterations.
    Iterations(usize),
    /// To a relative residual, in so many iterations.
    Tolerance(f64, usize),
}

/// A linear solver, all questions answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Which.
    pub solver: SolverName,
    /// For how long.
    pub stop: Stop,
    /// By what it is preconditioned.
    pub preconditioner: PreconditionerName,
    /// What it does about negative curvature; none where that needs nothing.
    pub policy: Option<PolicyName>,
}

impl Linear {
    /// Checks that the parts go together; what was not asked for is the default.
    ///
    /// # Errors
    /// Which do not.
    pub fn new(
        solver: Option<SolverName>,
        stop: Stop,
        preconditioner: Option<PreconditionerName>,
        policy: Option<PolicyName>,
    ) -> Result<Self, Failure> {
        let (solver, preconditioner) = (solver.unwrap_or_default(), preconditioner.unwrap_or_default());
        let name = solver.name();
        if preconditioner != PreconditionerName::None && solver != SolverName::Cg {
            return Err(format!("preconditioner belongs to the solver cg: leave it out with {name}").into());
        }
        if policy.is_some() && solver.default_policy().is_none() {
            return Err(format!(
                "on-negative-curvature belongs to the solvers cg and neumann: {name} solves indefinite systems as they \
                 are; leave it out"
            )
            .into());
        }
        if policy == Some(PolicyName::GoOn) && solver == SolverName::Neumann {
            return Err("a neumann series diverges at negative curvature and cannot go on: choose another \
                        on-negative-curvature, or the solver cg"
                .into());
        }
        Ok(Linear { solver, stop, preconditioner, policy: policy.or(solver.default_policy()) })
    }

    /// Whether there is memory for it; says how long it may take, where that is long.
    ///
    /// # Errors
    /// Where a dense solver would not fit.
    pub fn check_size(&self, unknowns: usize) -> Result<(), Failure> {
        if self.solver != SolverName::Dense {
            return Ok(());
        }
        // The matrix, and its eigenvectors.
        let bytes = 16 * (unknowns as u64).saturating_mul(unknowns as u64);
        memory::check("the solver dense", bytes, "choose another --solver, or a smaller network")?;
        if let Some(warning) = slow(unknowns) {
            note(warning);
        }
        Ok(())
    }

    /// The solver.
    pub fn build<T: Element>(&self) -> Box<dyn LinearSolver<T>> {
        match (self.solver, self.preconditioner) {
            (SolverName::Cg, PreconditionerName::None) => match self.policy() {
                Some(policy) => Box::new(self.cg().or(policy)),
                None => Box::new(self.cg()),
            },
            (SolverName::Cg, PreconditionerName::Lbfgs) => self.preconditioned(Secant::memory(PAIRS)),
            (SolverName::Cg, PreconditionerName::Nystrom) => self.preconditioned(Nystrom::rank(RANK)),
            (SolverName::Minres, _) => self.minres(),
            (SolverName::Gmres, _) => Box::new(match self.stop {
                Stop::Iterations(n) => Gmres::iterations(n),
                Stop::Tolerance(e, cap) => Gmres::tolerance(e, cap),
            }),
            (SolverName::Neumann, _) => {
                let series = Box::new(match self.stop {
                    Stop::Iterations(n) => Neumann::iterations(n),
                    Stop::Tolerance(e, cap) => Neumann::tolerance(e, cap),
                });
                match self.policy() {
                    Some(policy) => Box::new(Fallback::new(series, policy)),
                    None => series,
                }
            }
            (SolverName::Dense, _) => Box::new(Dense),
        }
    }

    fn cg(&self) -> Cg {
        let cg = match self.stop {
            Stop::Iterations(n) => Cg::iterations(n),
            Stop::Tolerance(e, cap) => Cg::tolerance(e, cap),
        };
        let stops = self.policy == Some(PolicyName::Stop);
        cg.on_negative_curvature(if stops { OnNegativeCurvature::Stop } else { OnNegativeCurvature::GoOn })
    }

    fn preconditioned<T: Element>(&self, by: impl Preconditioner<T> + 'static) -> Box<dyn LinearSolver<T>> {
        let solver = self.cg().preconditioned(by);
        match self.policy() {
            Some(policy) => Box::new(solver.or(policy)),
            None => Box::new(solver),
        }
    }

    fn minres<T: Element>(&self) -> Box<dyn LinearSolver<T>> {
        Box::new(match self.stop {
            Stop::Iterations(n) => Minres::iterations(n),
            Stop::Tolerance(e, cap) => Minres::tolerance(e, cap),
        })
    }

    /// Another way to solve, where the policy is one.
    fn policy<T: Element>(&self) -> Option<Policy<T>> {
        match self.policy? {
            PolicyName::GoOn | PolicyName::Stop => None,
            PolicyName::Minres => Some(Policy::Another(self.minres())),
            PolicyName::Damp => Some(Policy::Damp),
            PolicyName::RaiseLambda => Some(Policy::RaiseLambda),
            PolicyName::GaussNewton => Some(Policy::GaussNewton),
        }
    }
}

/// Multiply-adds a second that [`slow`] reckons with: one core's, about, outside of fast products.
const SPEED: f64 = 1e9;

/// What to say of a dense solve of n parameters that may take more than ten seconds: n³/3 multiply-adds where the matrix is
/// positive definite, some 9n³ where it is not, and n products to form it, which are not in the estimate.
fn slow(dim: usize) -> Option<String> {
    let cube = (dim as f64).powi(3);
    let [least, most] = [cube / 3.0, 9.0 * cube].map(|work| work / SPEED);
    (most > 10.0).then(|| {
        format!(
            "the solver dense factorises a matrix of {dim} × {dim} for every task, which takes an estimated {} to {} minutes; \
             the solver minres does not, and solves indefinite systems too",
            minutes(least),
            minutes(most)
        )
    })
}

/// `0.2`, `35`
fn minutes(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    if minutes < 10.0 { format!("{minutes:.1}") } else { format!("{minutes:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_solve_that_takes_minutes_is_announced() {
        assert_eq!(slow(1000), None);
        // 3000³ = 2.7e10: 9 and 243 seconds.
        let warning = slow(3000).unwrap();
        assert!(warning.contains("3000 × 3000") && warning.contains("an estimated 0.1 to 4.0 minutes"), "{warning}");
    }
}
