//! Evolution strategies: stochastic, so twice: their values, given their noise; and their average over it.

use super::{MOST_WORK, Ways};
use crate::method::EvolutionStrategies;
use crate::verify::checks::DIFFERENCE_ROUNDING;
use crate::verify::engine::StepName;
use crate::verify::findings::{Check, Comparison, Quantity};
use crate::verify::vector::{add, dot, norm};

/// Six standard errors, 6 √(2/n), are below 1 from 72 on.
const PAIRS: u64 = 80;

/// So small that ∇F_σ is ∇F; the rounding of F is 10⁴ times larger in slopes.
const SIGMA: f64 = 1e-4;

/// Steps are checked elsewhere; values of F are what is checked here.
const STEPS: usize = 2;

/// Where slopes are further from those of the gradient than this, relative, F is curved within σ.
const STRAIGHT: f64 = 1e-2;

impl Ways<'_, '_> {
    /// After at most two steps.
    ///
    /// ```text
    /// ĝ = 1/n Σ_j s_j ε_j,   s_j = (F(θ + σε_j) − F(θ − σε_j))/2σ           the same ε_j, s_j by the reference
    /// E⟨ĝ, g⟩ = ‖g‖²  where s_j = ⟨g, ε_j⟩,  with a standard error of ‖g‖² √(2/n)                   the average
    /// ```
    pub(super) fn evolution(&mut self, rounding: f64) {
        let (steps, theta) = (STEPS.min(self.steps), self.task.theta);
        let pairs = (MOST_WORK / (8 * self.work)).clamp(4, PAIRS) as usize;
        let trajectory = self.task.trajectory(StepName::GradientDescent, steps);
        let f = self.task.query(trajectory.last()).0;
        let g = self.task.unrolled(&trajectory);
        let square = dot(&g, &g);

        // The draws are the engine's, whatever it makes of them: a wrong variance shows in the average.
        let noise = EvolutionStrategies::<f64>::new(self.engine.problem(), 0);
        let (mut epsilon, mut by_hand) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
        let (mut bent, mut straight) = (0.0, 0.0);
        for draw in 0..pairs {
            noise.noise(theta, self.hyper(), self.data, draw, &mut epsilon);
            let [above, below] = [SIGMA, -SIGMA].map(|sigma| {
                let mut moved = theta.to_vec();
                add(sigma, &epsilon, &mut moved);
                let mut there = self.task.from(&moved);
                let path = there.trajectory(StepName::GradientDescent, steps);
                there.query(path.last()).0
            });
            let (slope, expected) = ((above - below) / (2.0 * SIGMA), dot(&g, &epsilon));
            bent += (slope - expected) * (slope - expected);
            straight += expected * expected;
            add(slope / pairs as f64, &epsilon, &mut by_hand);
        }
        // F is off by rounding of its own and of θ, on which it depends by g.
        let of_value = DIFFERENCE_ROUNDING * (1.0 + steps as f64) * (f.abs() + square.sqrt() * norm(theta));
        let of_slopes = of_value / (SIGMA * square.sqrt());
        // Where squares overflow nothing is relative to anything.
        let tolerance = if square.is_finite() { rounding + of_slopes } else { f64::INFINITY };
        self.reference("evolution strategies by hand", Quantity::Estimate, by_hand, tolerance);
        let method = self.engine.evolution(steps, (pairs, SIGMA));
        let (estimate, ..) = self.gradient(method.as_ref());
        let comparison = if bent <= STRAIGHT * STRAIGHT * straight {
            let average = dot(&estimate, &g) / square;
            Comparison::statistical((average - 1.0).abs(), (2.0 / pairs as f64).sqrt(), pairs)
        } else {
            Comparison::none("F is curved, or has kinks, within σ")
        };
        self.checks.push(Check { name: "evolution strategies along ∇F, stochastic", comparison });
        self.reference("evolution strategies", Quantity::Estimate, estimate, tolerance);
    }
}
