//! How long inner solves run, how they end, and what they say of it.

use std::fmt;

use autodiff::Element;

use super::Measured;

/// How long an inner solver runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerStop {
    /// This many steps.
    Steps(usize),
    /// Until ‖∇_φG‖ ≤ `gradient`, at most `cap` steps.
    Gradient {
        /// The bound on ‖∇_φG‖.
        gradient: f64,
        /// The most steps.
        cap: usize,
    },
}

impl InnerStop {
    /// The most steps, and the ‖∇_φG‖ that ends them sooner.
    pub fn limits(self) -> (usize, f64) {
        match self {
            InnerStop::Steps(steps) => (steps, 0.0),
            InnerStop::Gradient { gradient, cap } => (cap, gradient),
        }
    }
}

/// How an inner solve ended; its text says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum InnerStatus {
    /// As many steps as were asked for.
    #[default]
    Finished,
    /// ‖∇G‖ is at or below its bound.
    Converged,
    /// The cap on steps came first.
    Capped,
    /// Steps lower neither G nor ‖∇G‖ further to speak of, although ‖∇G‖ is above its bound: a kink, or the precision.
    /// Asked after 20, 40, 80, … steps, 5, 10, 15, … of Newton's: since it was last asked, did G fall by a millionth of all
    /// that it has fallen (and by more than rounding), or ‖∇G‖ by a tenth below its least? A line search that finds
    /// nothing ends so too.
    Stalled,
    /// At a kink: ∇G jumps from one side to the other of where G is least, so that it is above its bound on all of them.
    /// [`Solved::kink`] says how stationary G is there. Of [`HessianFree`](super::HessianFree), which sees it.
    Kink,
    /// G or its gradient is not finite.
    NotFinite,
}

impl InnerStatus {
    /// One word, for reports.
    pub fn name(self) -> &'static str {
        match self {
            InnerStatus::Finished => "finished",
            InnerStatus::Converged => "converged",
            InnerStatus::Capped => "capped",
            InnerStatus::Stalled => "stalled",
            InnerStatus::Kink => "kink",
            InnerStatus::NotFinite => "not-finite",
        }
    }
}

impl fmt::Display for InnerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InnerStatus::Finished => "finished the steps asked for",
            InnerStatus::Converged => "converged to the tolerance",
            InnerStatus::Capped => "stopped at the cap on steps: allow more steps or a larger tolerance",
            InnerStatus::Stalled => {
                "stalled: no step lowers the objective further (a kink, as ReLU networks have, or the limit of this \
                 precision); use a smooth activation, f64, or a larger tolerance"
            }
            InnerStatus::Kink => {
                "stalled at a kink: the gradient jumps where the objective is least (ReLU networks have such places), and \
                 derivatives describe one side of it; use a smooth activation where they matter"
            }
            InnerStatus::NotFinite => "met a NaN or an infinity: lower the inner learning rate or look at the data",
        })
    }
}

/// How stationary a nonsmooth G is near φ.
///
/// ```text
/// norm = min ‖Σᵢ wᵢ ∇G(φᵢ)‖,    wᵢ ≥ 0, Σᵢ wᵢ = 1,    ‖φᵢ − φ‖ ≤ radius
/// ```
///
/// over points φᵢ that the solve looked at. It is not ‖∇G(φ)‖, which at a kink is large on all sides: it bounds the distance
/// of 0 from G's subdifferential of that radius from above (Goldstein 1977). Along no direction of length 1 does G fall
/// faster than it at all of those points. The points of the gradients that have a weight are within `radius`.
///
/// ```
/// use autodiff::Arg;
/// use meta::inner::{HessianFree, Hyper, InnerStatus, InnerStop};
/// use meta::{Method, linear::Cg, method::Implicit};
///
/// let problem = meta::FewShot::new("mlp:1-20-20-1".parse()?, 10, 10, true);
/// let stop = InnerStop::Gradient { gradient: 1e-9, cap: 30 };
/// let method = Implicit::<f64>::with_solver(&problem, Box::new(HessianFree::new(stop)), Box::new(Cg::iterations(5)));
/// let theta: Vec<f64> = (0..problem.model().layout().len()).map(|i| 0.5 * (1.7 * i as f64).sin()).collect();
/// let x: Vec<f64> = (0..10).map(|i| 0.5 * i as f64 - 2.3).collect();
/// let y: Vec<f64> = x.iter().map(|x| x.sin()).collect();
/// let task = [&x, &y, &x, &y].map(|values| Arg::Floats(values));
/// let mut gradient = theta.clone();
/// let report = method.worker().gradient(&theta, Hyper { lambda: 2.0, rate: 0.0 }, &task, &mut gradient);
/// assert_eq!(report.inner_status, Some(InnerStatus::Kink));
/// let kink = report.inner_kink.ok_or("there is one at a kink")?;
/// assert!(kink.norm < 0.1 * report.inner_gradient && kink.radius < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stationarity {
    /// Of the shortest convex combination of gradients.
    pub norm: f64,
    /// What their points are within.
    pub radius: f64,
}

/// What a solve did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Solved {
    /// How it ended.
    pub status: InnerStatus,
    /// At φ₀.
    pub first: Measured,
    /// At the point that is differentiated at.
    pub last: Measured,
    /// Steps taken.
    pub steps: usize,
    /// Evaluations of G and its gradient, the last included.
    pub evaluations: usize,
    /// Hessian-vector products.
    pub products: usize,
    /// How stationary G is at the last point, where that is at a kink.
    pub kink: Option<Stationarity>,
}

/// Rounding of G: some units in the last place of what it is made of, which the first G shows better than a small last one.
pub(super) fn noise<T: Element>(first: f64, last: f64) -> f64 {
    16.0 * T::EPSILON * last.abs().max(first.abs())
}

impl Solved {
    /// Nothing but a look at φ₀.
    pub(super) fn started(first: Measured) -> Self {
        Solved { first, last: first, evaluations: 1, ..Solved::default() }
    }

    /// [`noise`] of the first G and the last.
    pub(super) fn noise<T: Element>(&self) -> f64 {
        noise::<T>(self.first.value, self.last.value)
    }

    /// A change of G that is none to speak of: a millionth of all that it has fallen, or rounding.
    pub(super) fn little<T: Element>(&self) -> f64 {
        (1e-6 * (self.first.value - self.last.value)).max(self.noise::<T>())
    }

    /// Whether to stop at the last point; says why in `status`.
    pub(super) fn ended(&mut self, stop: InnerStop) -> bool {
        let (cap, tolerance) = stop.limits();
        let status = if !(self.last.value.is_finite() && self.last.gradient_norm.is_finite()) {
            InnerStatus::NotFinite
        } else if self.last.gradient_norm <= tolerance {
            InnerStatus::Converged
        } else if self.steps == cap {
            if matches!(stop, InnerStop::Steps(_)) { InnerStatus::Finished } else { InnerStatus::Capped }
        } else {
            return false;
        };
        self.status = status;
        true
    }
}

/// The rule of [`InnerStatus::Stalled`].
///
/// On a kink steps get ever smaller, and never none; at the limit of the precision they go to and fro. However slow
/// linear convergence is, the steps between two questions become enough for it to be seen.
#[derive(Debug)]
pub(super) struct Idle {
    /// G and the least ‖∇G‖ when last asked.
    then: Measured,
    least: f64,
    /// When to ask next.
    next: usize,
    gap: usize,
    growth: usize,
}

impl Idle {
    /// Asks after `gap` steps, and again after as many times `growth`, …
    pub fn at(start: Measured, gap: usize, growth: usize) -> Self {
        Idle { then: start, least: start.gradient_norm, next: gap, gap, growth }
    }

    /// Enters a step; whether the solve has stalled with it.
    pub fn after<T: Element>(&mut self, solved: &Solved) -> bool {
        let Measured { value, gradient_norm } = solved.last;
        self.least = self.least.min(gradient_norm);
        if solved.steps < self.next {
            return false;
        }
        let gained = self.then.value - value > solved.little::<T>() || self.least < 0.9 * self.then.gradient_norm;
        self.then = Measured { value, gradient_norm: self.least };
        self.next += self.gap;
        self.gap *= self.growth;
        !gained
    }
}
