//! What a verification found: verdicts, in words.

use super::engine::StepName;
use super::vector::{dot, norm, relative_difference};

/// Beyond this a comparison says nothing: a wrong gradient could pass.
pub(super) const MEANINGFUL: f64 = 1e-3;

/// What an average may be off by: chance goes beyond in less than one of a million draws of a χ² with 80 degrees.
pub(super) const STANDARD_ERRORS: f64 = 6.0;

/// What a comparison comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As close as the arithmetic allows.
    Agree,
    /// Further apart than anything explains.
    Disagree,
    /// Nothing follows, for this reason.
    NotComparable(String),
}

impl Verdict {
    /// `agree`, `disagree`, `not comparable`
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Agree => "agree",
            Verdict::Disagree => "disagree",
            Verdict::NotComparable(_) => "not comparable",
        }
    }
}

/// Something that was compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Relative difference; NaN where there was nothing to compare.
    pub difference: f64,
    /// The largest that rounding, residuals and truncation explain.
    pub allowed: f64,
    /// What it comes to.
    pub verdict: Verdict,
    /// Of a difference that is drawn: its standard error.
    pub standard_error: Option<f64>,
}

impl Comparison {
    /// Agreement is a difference of at most what is allowed.
    pub(super) fn of(difference: f64, allowed: f64) -> Self {
        let verdict = if !allowed.is_finite() {
            Verdict::NotComparable("something leaves the finite numbers, or is zero".into())
        } else if allowed > MEANINGFUL {
            Verdict::NotComparable(format!("rounding and residuals allow a difference of {allowed:.0e}"))
        } else if difference <= allowed {
            Verdict::Agree
        } else {
            Verdict::Disagree
        };
        Comparison { difference, allowed, verdict, standard_error: None }
    }

    /// Of what has to have the same bits, however it was computed.
    pub(super) fn to_the_bit<'g>(gradients: impl Iterator<Item = &'g [f64]>, expected: &[f64]) -> Self {
        let same = |g: &[f64]| g.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
        let difference =
            |g: &[f64]| if same(g) { 0.0 } else { relative_difference(g, expected).max(f64::MIN_POSITIVE) };
        Self::of(gradients.map(difference).fold(0.0, f64::max), 0.0)
    }

    /// Of an average of draws: |average − expectation| relative to the latter, allowed six standard errors. It says
    /// something where nothing and the opposite are further off.
    pub(super) fn statistical(difference: f64, standard_error: f64, draws: usize) -> Self {
        let allowed = STANDARD_ERRORS * standard_error;
        let verdict = if allowed >= 1.0 {
            let reason = format!("{draws} pairs leave a standard error of {standard_error:.2}: too few to tell");
            Verdict::NotComparable(reason)
        } else if difference <= allowed {
            Verdict::Agree
        } else {
            Verdict::Disagree
        };
        Comparison { difference, allowed, verdict, standard_error: Some(standard_error) }
    }

    pub(super) fn none(reason: impl Into<String>) -> Self {
        let verdict = Verdict::NotComparable(reason.into());
        Comparison { difference: f64::NAN, allowed: f64::NAN, verdict, standard_error: None }
    }

    /// Of two tasks: the worse verdict, the larger difference.
    fn merge(&mut self, other: &Comparison) {
        let rank = |c: &Comparison| match c.verdict {
            Verdict::NotComparable(_) => 0,
            Verdict::Agree => 1,
            Verdict::Disagree => 2,
        };
        let worse = (rank(other), other.difference) > (rank(self), self.difference);
        if worse || (rank(other) > rank(self)) {
            *self = other.clone();
        }
    }
}

/// An ingredient of meta-gradients, checked by itself.
#[derive(Clone, Debug)]
pub struct Check {
    /// What against what.
    pub name: &'static str,
    /// How it came out.
    pub comparison: Comparison,
}

/// What a way computes: ways are compared where it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// The implicit formula at φ_K.
    Implicit,
    /// The same with exactly this many iterations of CG.
    Iterations(usize),
    /// The derivative of f after exactly this many steps of gradient descent.
    Steps(usize),
    /// After as many of another kind.
    StepsOf(StepName),
    /// ∂f/∂φ at φ_K.
    FirstOrder,
    /// θ − φ_K
    Moved,
    /// The derivative of f at the minimiser.
    Solution,
    /// An estimate of the derivative of f after steps, from draws.
    Estimate,
}

/// A directional derivative by differences.
#[derive(Clone, Debug)]
pub(super) struct Slope {
    pub direction: Vec<f64>,
    pub value: f64,
    pub error: f64,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Gradient(Vec<f64>),
    Slopes(Vec<Slope>),
}

/// One way to compute a meta-gradient, and what it gave.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub name: String,
    pub quantity: Quantity,
    /// Or why there is none.
    pub value: Result<Value, String>,
    /// How far from the truth it may be, relative.
    pub tolerance: f64,
    /// Why it may be further off than that, from what is known without it.
    pub excuse: Option<String>,
}

/// Everything that one verification compared.
#[derive(Clone, Debug)]
pub struct Findings {
    /// λ
    pub lambda: f64,
    /// α
    pub rate: f64,
    /// The ingredients.
    pub checks: Vec<Check>,
    /// Names of the ways.
    pub ways: Vec<String>,
    /// (i, j, comparison) for j < i.
    pub pairs: Vec<(usize, usize, Comparison)>,
}

impl Findings {
    pub(super) fn new(lambda: f64, rate: f64, checks: Vec<Check>, ways: &[Way], apart: &Apart) -> Self {
        let pairs = (0..ways.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let pairs = pairs.map(|(i, j)| (i, j, compare(&ways[j], &ways[i], apart))).collect();
        Findings { lambda, rate, checks, ways: ways.iter().map(|w| w.name.clone()).collect(), pairs }
    }

    /// Adds those of another task: the worst of each.
    pub(super) fn merge(&mut self, other: &Findings) {
        for (own, other) in self.checks.iter_mut().zip(&other.checks) {
            own.comparison.merge(&other.comparison);
        }
        for (own, other) in self.pairs.iter_mut().zip(&other.pairs) {
            own.2.merge(&other.2);
        }
    }

    /// All comparisons.
    pub fn comparisons(&self) -> impl Iterator<Item = &Comparison> {
        self.checks.iter().map(|c| &c.comparison).chain(self.pairs.iter().map(|p| &p.2))
    }

    /// How many comparisons have this verdict.
    pub fn count(&self, name: &str) -> usize {
        self.comparisons().filter(|c| c.verdict.name() == name).count()
    }

    /// Whether nothing disagrees.
    pub fn is_sound(&self) -> bool {
        self.count(Verdict::Disagree.name()) == 0
    }

    /// What disagrees, in words.
    pub fn disagreements(&self) -> Vec<String> {
        let line = |what: String, c: &Comparison| match c.verdict {
            Verdict::Disagree => Some(format!("{what}: {:.1e} apart, {:.0e} allowed", c.difference, c.allowed)),
            _ => None,
        };
        let checks = self.checks.iter().filter_map(|c| line(c.name.into(), &c.comparison));
        let pair = |(i, j, c): &(usize, usize, Comparison)| line(format!("{} and {}", self.ways[*j], self.ways[*i]), c);
        checks.chain(self.pairs.iter().filter_map(pair)).collect()
    }
}

/// Why two different quantities are apart.
pub(super) struct Apart {
    /// After how many steps the derivative of steps is that of the solution, and how far from it then.
    pub limit: Option<(usize, f64)>,
    /// What φ_K lacks of being the solution.
    pub unsolved: String,
}

fn compare(a: &Way, b: &Way, apart: &Apart) -> Comparison {
    let (x, y) = match (&a.value, &b.value) {
        (Ok(x), Ok(y)) => (x, y),
        (Err(reason), _) | (_, Err(reason)) => return Comparison::none(reason.clone()),
    };
    let more = match between(a.quantity, b.quantity, apart) {
        Ok(more) => more,
        Err(reason) => return Comparison::none(reason),
    };
    let (difference, error) = match (x, y) {
        (Value::Gradient(x), Value::Gradient(y)) => (relative_difference(y, x), 0.0),
        (Value::Gradient(g), Value::Slopes(s)) | (Value::Slopes(s), Value::Gradient(g)) => slopes(g, s),
        (Value::Slopes(_), Value::Slopes(_)) => return Comparison::none("both are differences"),
    };
    let mut comparison = Comparison::of(difference, a.tolerance + b.tolerance + more + error);
    if let (Verdict::Disagree, Some(excuse)) = (&comparison.verdict, a.excuse.as_ref().or(b.excuse.as_ref())) {
        comparison.verdict = Verdict::NotComparable(excuse.clone());
    }
    comparison
}

/// The difference and the error of the slope that is furthest beyond its error, relative to ‖g‖‖u‖.
fn slopes(g: &[f64], slopes: &[Slope]) -> (f64, f64) {
    let relative = |Slope { direction, value, error }: &Slope| {
        let scale = norm(g) * norm(direction);
        let difference = (dot(g, direction) - value).abs() / scale;
        (if difference.is_nan() { f64::INFINITY } else { difference }, error / scale)
    };
    let beyond = |(difference, error): &(f64, f64)| difference - error;
    slopes.iter().map(relative).max_by(|a, b| beyond(a).total_cmp(&beyond(b))).unwrap_or((0.0, f64::INFINITY))
}

/// How far apart two quantities may be by themselves, or why nothing can be said.
fn between(a: Quantity, b: Quantity, apart: &Apart) -> Result<f64, String> {
    use Quantity::{Estimate, FirstOrder, Implicit, Iterations, Moved, Solution, Steps, StepsOf};
    match (a, b) {
        _ if a == b => Ok(0.0),
        (FirstOrder | Moved, _) | (_, FirstOrder | Moved) => {
            Err("first-order MAML and Reptile are approximations: they differ by what they leave out".into())
        }
        (Estimate, _) | (_, Estimate) => {
            Err("evolution strategies are stochastic: their standard error is in the check of their average".into())
        }
        (StepsOf(_), _) | (_, StepsOf(_)) => Err("steps of another kind lead elsewhere".into()),
        (Iterations(_), _) | (_, Iterations(_)) => Err("so few CG iterations do not solve the system".into()),
        (Steps(k), Solution) | (Solution, Steps(k)) => match apart.limit {
            Some((limit, distance)) if k == limit => Ok(distance),
            Some((limit, _)) => Err(format!("too few steps to have converged: it takes K∞ = {limit}")),
            None => Err(apart.unsolved.clone()),
        },
        (Steps(_), Steps(_)) => Err("derivatives of different numbers of steps".into()),
        (Implicit, _) | (_, Implicit) => Err(apart.unsolved.clone()),
        (Solution, Solution) => Ok(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_judged_by_its_standard_error() {
        let verdict = |difference, error| Comparison::statistical(difference, error, 80).verdict;
        assert_eq!(verdict(0.59, 0.1), Verdict::Agree);
        assert_eq!(verdict(0.61, 0.1), Verdict::Disagree);
        assert_eq!(verdict(f64::NAN, 0.1), Verdict::Disagree);
        // Nothing at all would pass.
        assert!(matches!(verdict(0.0, 0.2), Verdict::NotComparable(_)));
    }
}
