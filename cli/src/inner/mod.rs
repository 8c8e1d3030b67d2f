//! The inner solver, by name: which methods take it, and what it is made of.
//!
//! μ, β and ε are the usual ones: 0.9 (Sutskever et al. 2013 and every framework), 0.9, 0.999 and 1e-8 (Kingma & Ba 2015). A
//! method that goes back through Adam's steps multiplies what is smaller than ε by up to α/ε: see [`Adam`].

mod rate;

use autodiff::Element;
use clap::{Args, ValueEnum};
use meta::inner::{
    Adam, Adaptation, Descent, GradientDescent, HessianFree, InnerSolver, InnerStop, Lbfgs, Momentum, Nesterov, Step,
};
use serde::{Deserialize, Serialize};

pub use rate::InnerRate;

use crate::failure::Failure;

/// μ of `momentum` and `nesterov`, as usual: the last ten gradients or so.
const MOMENTUM: f64 = 0.9;

/// What finds φ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InnerName {
    /// Gradient descent.
    #[default]
    Gd,
    /// Gradient descent with momentum 0.9 (the heavy ball).
    Momentum,
    /// Gradient descent with Nesterov's momentum 0.9.
    Nesterov,
    /// Adam with β = (0.9, 0.999), ε = 1e-8.
    Adam,
    /// L-BFGS with ten pairs and a line search.
    Lbfgs,
    /// Newton's method by Hessian-vector products.
    HessianFree,
}

impl InnerName {
    /// As in options and files.
    pub fn name(self) -> &'static str {
        match self {
            InnerName::Gd => "gd",
            InnerName::Momentum => "momentum",
            InnerName::Nesterov => "nesterov",
            InnerName::Adam => "adam",
            InnerName::Lbfgs => "lbfgs",
            InnerName::HessianFree => "hessian-free",
        }
    }

    /// As in sentences.
    pub fn title(self) -> &'static str {
        match self {
            InnerName::Gd => "gradient descent",
            InnerName::Momentum => "gradient descent with momentum 0.9",
            InnerName::Nesterov => "gradient descent with Nesterov's momentum 0.9",
            InnerName::Adam => "Adam",
            InnerName::Lbfgs => "L-BFGS",
            InnerName::HessianFree => "Hessian-free Newton",
        }
    }

    /// The step that it repeats, where it is one that can be gone back through.
    fn step(self) -> Option<Box<dyn Step>> {
        match self {
            InnerName::Gd => Some(Box::new(GradientDescent)),
            InnerName::Momentum => Some(Box::new(Momentum::new(MOMENTUM))),
            InnerName::Nesterov => Some(Box::new(Nesterov::new(MOMENTUM))),
            InnerName::Adam => Some(Box::new(Adam::default())),
            InnerName::Lbfgs | InnerName::HessianFree => None,
        }
    }
}

/// Which inner solvers a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// All: it looks at the solution, and not at the way there.
    Any,
    /// Steps, as many as are asked for, of a given size or one found for each task.
    Through,
    /// Steps of a given size, as many as are asked for.
    Steps,
    /// Steps of gradient descent.
    Descent,
}

/// What may be asked of the inner solver; the step size apart, which has a default of its own in training.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct InnerArgs {
    /// What adapts; no method but imaml takes lbfgs or hessian-free [default: gd].
    #[arg(long, value_name = "SOLVER")]
    pub inner_solver: Option<InnerName>,
    /// Step size of adaptation, or auto: for every task one that is safe (of gd; no method but imaml and maml takes it).
    #[arg(long, value_name = "RATE")]
    pub inner_lr: Option<InnerRate>,
    /// Adapt until ‖∇G‖ ≤ E, in --inner-steps at most (no method but imaml takes it).
    #[arg(long, value_name = "E")]
    pub inner_tol: Option<f64>,
}

/// An inner solver, all questions answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inner {
    /// Which.
    pub solver: InnerName,
    /// The size of its steps, where it does not find that as it goes.
    pub rate: Option<InnerRate>,
    /// ‖∇G‖ that ends it.
    pub tol: Option<f64>,
    /// Of which method.
    pub takes: Takes,
}

impl Inner {
    /// Checks that the parts go together and suit the method called `method`. Options are named with `dashes` before
    /// them; `usual` is the step size of gradient descent where none is given.
    ///
    /// # Errors
    /// Which do not, or that a step size is missing.
    pub fn new(
        asked: InnerArgs,
        (method, takes): (&str, Takes),
        usual: Option<f64>,
        dashes: &str,
    ) -> Result<Self, Failure> {
        let InnerArgs { inner_solver, inner_lr, inner_tol: tol } = asked;
        let solver = inner_solver.unwrap_or_default();
        let (name, steps, auto) = (solver.name(), solver.step().is_some(), inner_lr == Some(InnerRate::Auto));
        let refuse = |message: String| Err(Failure::new(message));
        if takes == Takes::Descent && solver != InnerName::Gd {
            return refuse(format!(
                "the method {method} chooses by what gradient descent does: leave {dashes}inner-solver out, or name a method"
            ));
        }
        if takes != Takes::Any {
            if !steps {
                return refuse(format!(
                    "{dashes}inner-solver {name} belongs to the method imaml: {method} goes by steps of gd, momentum, nesterov \
                     or adam; choose one of these"
                ));
            }
            if auto && takes != Takes::Through {
                return refuse(format!(
                    "{dashes}inner-lr auto belongs to the methods imaml and maml: give a number with {method}"
                ));
            }
            if tol.is_some() {
                return refuse(format!(
                    "{dashes}inner-tol belongs to the method imaml: {method} takes all of {dashes}inner-steps; leave \
                     {dashes}inner-tol out"
                ));
            }
        }
        if auto && steps && solver != InnerName::Gd {
            return refuse(format!("{dashes}inner-lr auto is for gradient descent: give a number with {name}"));
        }
        if !steps && inner_lr.is_some() {
            return refuse(format!(
                "{dashes}inner-lr belongs to steps of a given size: {name} finds its own; leave {dashes}inner-lr out"
            ));
        }
        let usual = usual.filter(|_| solver == InnerName::Gd).map(InnerRate::Given);
        let rate = inner_lr.or(usual);
        if steps && rate.is_none() {
            return refuse(format!("with the inner solver {name}, give its step size with {dashes}inner-lr"));
        }
        Ok(Inner { solver, rate, tol, takes })
    }

    /// Of gradient descent, and of nothing else.
    pub fn is_plain(&self) -> bool {
        self.solver == InnerName::Gd && self.given_rate().is_some() && self.tol.is_none()
    }

    /// Whether it takes as many steps as are asked for, and does not decide as it goes.
    pub fn takes_all_steps(&self) -> bool {
        let found_before = self.is_automatic() && self.takes == Takes::Through;
        self.tol.is_none() && (found_before || self.given_rate().is_some())
    }

    /// Whether step sizes are found for each task.
    pub fn is_automatic(&self) -> bool {
        self.rate == Some(InnerRate::Auto)
    }

    /// The step that it repeats.
    ///
    /// # Panics
    /// Where it does not repeat one: the method would have been [refused](Inner::new).
    pub fn step(&self) -> Box<dyn Step> {
        self.solver.step().expect("a method that goes by steps was given some")
    }

    /// The size of its steps, where that is a number.
    pub fn given_rate(&self) -> Option<f64> {
        match self.rate {
            Some(InnerRate::Given(rate)) => Some(rate),
            Some(InnerRate::Auto) | None => None,
        }
    }

    /// The number that is its [`Hyper::rate`](meta::inner::Hyper::rate): with `auto` what to take where no curvature is
    /// found, and elsewhere of no use to solvers that have none.
    pub fn hyper_rate(&self) -> f64 {
        self.given_rate().unwrap_or(1.0)
    }

    /// The solver, for so many steps.
    pub fn build<T: Element>(&self, steps: usize) -> Box<dyn InnerSolver<T>> {
        let stop = match self.tol {
            None => InnerStop::Steps(steps),
            Some(gradient) => InnerStop::Gradient { gradient, cap: steps },
        };
        match self.solver {
            InnerName::Gd if self.is_automatic() => Box::new(Descent::automatic(stop)),
            InnerName::Gd | InnerName::Momentum | InnerName::Nesterov | InnerName::Adam => {
                Box::new(Descent::boxed(self.step(), stop))
            }
            InnerName::Lbfgs => Box::new(Lbfgs::new(stop)),
            InnerName::HessianFree => Box::new(HessianFree::new(stop)),
        }
    }

    /// The same for any number of steps, to evaluate and predict with, of what trained with `steps` of them.
    pub fn adaptation<T: Element>(&self, steps: usize) -> Adaptation<T> {
        let inner = *self;
        match (self.takes_all_steps(), self.is_automatic()) {
            (true, true) => Adaptation::Automatic { steps },
            (true, false) => Adaptation::Steps(self.step()),
            (false, _) => Adaptation::Solver(Box::new(move |steps| inner.build(steps))),
        }
    }

    /// `at most `, where it may end before as many steps as are asked for.
    pub fn at_most(&self) -> &'static str {
        if self.takes_all_steps() { "" } else { "at most " }
    }

    /// What its steps are of: `0.1`, `Adam at 0.01`, `L-BFGS`.
    pub fn of(&self) -> String {
        let title = self.solver.title();
        match self.rate {
            Some(InnerRate::Given(rate)) if self.solver == InnerName::Gd => rate.to_string(),
            Some(InnerRate::Given(rate)) => format!("{title} at {rate}"),
            Some(InnerRate::Auto) => format!("{title} at a rate found for each task"),
            None => title.into(),
        }
    }

    /// How it goes on after `gradient descent on G`: `, step size 0.1, until ‖∇G‖ ≤ 0.001`.
    pub fn details(&self) -> String {
        let size = match self.rate {
            Some(InnerRate::Given(rate)) => format!(", step size {rate}"),
            Some(InnerRate::Auto) => String::from(", step size found for each task"),
            None => String::new(),
        };
        size + &self.until()
    }

    /// `, until ‖∇G‖ ≤ 0.001`, where that ends it.
    pub fn until(&self) -> String {
        self.tol.map_or(String::new(), |tol| format!(", until ‖∇G‖ ≤ {tol}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(solver: InnerName, inner_lr: Option<InnerRate>, inner_tol: Option<f64>) -> InnerArgs {
        InnerArgs { inner_solver: Some(solver), inner_lr, inner_tol }
    }

    #[test]
    fn every_solver_is_taken_by_implicit_methods_and_steps_by_others() {
        for &solver in InnerName::value_variants() {
            let rate = solver.step().map(|_| InnerRate::Given(0.1));
            let new = |takes, tol| Inner::new(asked(solver, rate, tol), ("name", takes), None, "--");
            for tol in [None, Some(0.1)] {
                let inner = new(Takes::Any, tol).unwrap();
                assert_eq!(inner.takes_all_steps(), rate.is_some() && tol.is_none(), "{solver:?}");
                assert_eq!(matches!(inner.adaptation::<f32>(1), Adaptation::Steps(_)), inner.takes_all_steps());
                assert_eq!(new(Takes::Steps, tol).is_ok(), inner.takes_all_steps());
                assert_eq!(new(Takes::Through, tol).is_ok(), inner.takes_all_steps());
                assert_eq!(new(Takes::Descent, tol).is_ok(), inner.is_plain());
            }
        }
    }

    #[test]
    fn a_rate_is_found_as_it_goes_or_before_or_not_at_all() {
        let new = |takes| Inner::new(asked(InnerName::Gd, Some(InnerRate::Auto), None), ("name", takes), None, "");
        let kind = |takes| match new(takes).unwrap().adaptation::<f64>(7) {
            Adaptation::Steps(_) => "steps",
            Adaptation::Automatic { steps: 7 } => "found before",
            Adaptation::Automatic { .. } => "found for others",
            Adaptation::Solver(_) => "found on the way",
        };
        assert_eq!((kind(Takes::Any), kind(Takes::Through)), ("found on the way", "found before"));
        assert!(new(Takes::Steps).is_err() && new(Takes::Descent).is_err());
    }
}
