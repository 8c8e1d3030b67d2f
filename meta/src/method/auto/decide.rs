//! Which method: a pure function of what was measured.

use super::Choice;
use crate::method::{Keep, OverBudget, Schedule, UnrollSizes};

/// The relative error that is small enough for an approximation: well below what the sampling of tasks leaves.
const TOLERANCE: f64 = 1e-2;

/// Runs of a step that an exact gradient from checkpoints is worth.
const MOST_RUNS: usize = 5;

/// What a choice is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Situation {
    /// K
    pub steps: usize,
    /// The size of the inner steps, where they are those of gradient descent, all alike.
    pub rate: Option<f64>,
    /// |φ|
    pub dim: usize,
    /// ‖∇G(φ_K)‖/‖∇G(φ_0)‖: 0 where the inner problem is solved.
    pub left: f64,
    /// A lower bound on the eigenvalues of ∇²G at φ_K, as far as seen.
    pub smallest: f64,
    /// An upper one.
    pub largest: f64,
    /// Bytes of the parts of an unrolled gradient.
    pub unroll: UnrollSizes,
    /// Bytes of an implicit gradient.
    pub implicit: usize,
    /// The most bytes, where there is a bound.
    pub budget: Option<usize>,
}

/// A choice, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub choice: Choice,
    /// Why, in one or two sentences.
    pub reason: String,
}

impl Situation {
    fn fits(&self, bytes: usize) -> bool {
        self.budget.is_none_or(|budget| bytes <= budget)
    }

    fn keeps(&self, keep: Keep) -> bool {
        self.fits(self.unroll.bytes(keep, self.steps))
    }

    fn definite(&self) -> bool {
        self.smallest > 0.0 && self.largest.is_finite()
    }

    /// Iterations after which CG's error is at most the tolerance's part of what it was, in the operator's norm:
    /// ½√κ ln(2/ε) (Saad 2003, section 6.11.3); no more than unknowns.
    fn iterations(&self) -> usize {
        let kappa = self.largest / self.smallest;
        let n = (0.5 * kappa.sqrt() * (2.0 / TOLERANCE).ln()).ceil();
        (n as usize).clamp(1, self.dim.max(1))
    }

    /// The steps that truncation must keep: those further back count for less than the tolerance, where a step of
    /// gradient descent shrinks every mode by max |1 − α eigenvalue|.
    fn memory(&self) -> Option<usize> {
        let rate = self.rate?;
        let q = (1.0 - rate * self.smallest).abs().max((1.0 - rate * self.largest).abs());
        let m = (TOLERANCE.ln() / q.ln()).ceil();
        (self.definite() && q < 1.0 && m < self.steps as f64).then_some((m as usize).max(1))
    }
}

/// The choice, in this order:
///
/// 1. *implicit*, by CG, where the steps solve the inner problem (‖∇G‖ fell to a hundredth, and ∇²G is positive
///    definite) and CG takes fewer products than there are steps, or all steps do not fit;
/// 2. *unrolled*, exact, keeping everything, every state, or checkpoints that run no step more than five times;
/// 3. *truncated*, where the steps left out do not count and those left fit;
/// 4. checkpoints, however often they run a step;
/// 5. *implicit* as an approximation, by MINRES where ∇²G may be indefinite, where nothing else fits.
///
/// # Errors
/// Where nothing fits, with the least that would.
pub fn decide(situation: &Situation) -> Result<Decision, OverBudget> {
    let &Situation { steps, left, smallest, largest, budget, .. } = situation;
    let decision = |choice, reason| Ok(Decision { choice, reason });
    let solved = left <= TOLERANCE && situation.definite();
    let everything = situation.keeps(Keep::Everything);
    let implicit = situation.fits(situation.implicit);
    let state = if solved {
        format!("{steps} steps solve the inner problem (‖∇G‖ falls to {left:.1e} of its start)")
    } else if situation.definite() {
        format!("{steps} steps do not solve the inner problem (‖∇G‖ falls to {left:.1e} of its start)")
    } else {
        format!("∇²G is not known to be positive definite after {steps} steps (eigenvalues from {smallest:.1e})")
    };
    if solved && implicit {
        let n = situation.iterations();
        if n < steps || !everything {
            let kappa = largest / smallest;
            let against = match everything {
                true => format!("fewer products than {steps} steps back"),
                false => String::from("and keeping all steps does not fit the memory allowed"),
            };
            let reason = format!("{state}; with a condition number of {kappa:.1e}, {n} CG iterations do, {against}.");
            return decision(Choice::Cg(n), reason);
        }
    }
    let exact = "so the gradient is taken through them, exactly";
    if everything {
        let why = if solved && implicit { " in no more products than CG would take" } else { "" };
        return decision(Choice::Unrolled(Keep::Everything), format!("{state}{why}, {exact}; all of them fit."));
    }
    let fitting = budget.map_or(Ok(Keep::Everything), |bytes| Keep::within(&situation.unroll, steps, bytes));
    if let Ok(Keep::Iterates) = fitting {
        let reason = format!("{state}, {exact}; their states fit the memory allowed, what they computed does not.");
        return decision(Choice::Unrolled(Keep::Iterates), reason);
    }
    let truncated = situation.memory().filter(|&m| situation.keeps(Keep::Last(m)));
    if let Ok(keep @ Keep::Checkpoints(count)) = fitting {
        let runs = Schedule::new(steps, count).runs(steps).into_iter().max().unwrap_or(0);
        if let Some(m) = truncated.filter(|_| runs > MOST_RUNS) {
            let reason = format!(
                "{state}; {count} checkpoints fit and would run steps {runs} times, and all but the last {m} steps count \
                 for less than a hundredth."
            );
            return decision(Choice::Unrolled(Keep::Last(m)), reason);
        }
        let reason = format!(
            "{state}, {exact}; {count} checkpoints fit the memory allowed and run a step at most {runs} times."
        );
        return decision(Choice::Unrolled(keep), reason);
    }
    if implicit {
        let (choice, by) = match situation.definite() {
            true => (Choice::Cg(situation.iterations()), "CG"),
            false => (Choice::Minres(situation.dim.clamp(1, 20)), "MINRES"),
        };
        let reason =
            format!("{state}, but no way through the steps fits the memory allowed: an approximation, by {by}.");
        return decision(choice, reason);
    }
    let least = situation.unroll.bytes(Keep::Checkpoints(1), steps).min(situation.implicit);
    Err(OverBudget { budget: budget.unwrap_or(usize::MAX), least })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: UnrollSizes = UnrollSizes { fixed: 1000, residuals: 100, state: 10 };
    /// A solved, well-conditioned problem without a bound on memory: κ = 16, 11 iterations.
    const EASY: Situation = Situation {
        steps: 100,
        rate: Some(0.1),
        dim: 1000,
        left: 1e-4,
        smallest: 0.5,
        largest: 8.0,
        unroll: SIZES,
        implicit: 1200,
        budget: None,
    };

    #[test]
    fn the_choice_follows_from_the_situation() {
        let unsolved = Situation { left: 0.5, ..EASY };
        let indefinite = Situation { smallest: -0.7, ..EASY };
        let long = Situation { steps: 100_000, ..unsolved };
        let unrolled = Choice::Unrolled;
        let within = |situation: Situation, budget| Situation { budget: Some(budget), ..situation };
        for (situation, choice) in [
            // Solved: CG, where it is shorter than the steps.
            (EASY, Choice::Cg(11)),
            (Situation { steps: 11, ..EASY }, unrolled(Keep::Everything)),
            (Situation { steps: 12, ..EASY }, Choice::Cg(11)),
            (within(Situation { steps: 11, ..EASY }, 1_250), Choice::Cg(11)),
            (Situation { dim: 5, ..EASY }, Choice::Cg(5)),
            // Not solved: through the steps, keeping what fits.
            (unsolved, unrolled(Keep::Everything)),
            (within(unsolved, 12_000), unrolled(Keep::Everything)),
            (within(unsolved, 11_999), unrolled(Keep::Iterates)),
            (within(unsolved, 2_000), unrolled(Keep::Iterates)),
            (within(unsolved, 1_999), unrolled(Keep::Checkpoints(99))),
            (within(unsolved, 1_060), unrolled(Keep::Checkpoints(6))),
            // q = 0.95: 90 steps count, and as many do not fit.
            (within(long, 1_060), unrolled(Keep::Checkpoints(6))),
            // q = 0.1 where the eigenvalues are near 9: two steps count.
            (within(Situation { smallest: 9.0, largest: 9.0, ..long }, 1_230), unrolled(Keep::Last(2))),
            (within(Situation { smallest: 9.0, largest: 9.0, ..long }, 1_219), unrolled(Keep::Checkpoints(21))),
            // A divergent step, or an indefinite operator, is not truncated.
            (within(Situation { largest: 30.0, ..long }, 1_230), unrolled(Keep::Checkpoints(23))),
            (indefinite, unrolled(Keep::Everything)),
            (Situation { smallest: f64::NEG_INFINITY, largest: f64::INFINITY, ..EASY }, unrolled(Keep::Everything)),
            // Nothing but an implicit gradient fits.
            (within(Situation { implicit: 900, ..unsolved }, 950), Choice::Cg(11)),
            (within(Situation { implicit: 900, ..indefinite }, 950), Choice::Minres(20)),
            (Situation { steps: 0, left: 1.0, ..EASY }, unrolled(Keep::Everything)),
        ] {
            let decision = decide(&situation).unwrap();
            assert_eq!(decision.choice, choice, "{situation:?}");
            assert!(decision.reason.ends_with('.') && !decision.reason.contains("  "), "{}", decision.reason);
            assert_eq!(decide(&situation), Ok(decision));
        }
        assert_eq!(decide(&within(EASY, 1009)), Err(OverBudget { budget: 1009, least: 1010 }));
        assert_eq!(
            decide(&within(Situation { implicit: 900, ..EASY }, 899)),
            Err(OverBudget { budget: 899, least: 900 })
        );
    }
}
