//! One step size for all steps of a task, found for it: what an unrolled gradient takes where none is given.

use autodiff::{Arg, Element};

use super::solved::noise;
use super::{Hyper, InnerPlan, Run, curvature_bound};

/// A step size, and what finding it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FallingRate {
    pub rate: f64,
    /// Products with ∇²G.
    pub products: usize,
    /// Evaluations of G and its gradient.
    pub evaluations: usize,
}

/// What [`FallingRate`] is found on: gradient descent, compiled with its pullback.
pub(crate) struct Falling<'a, T> {
    pub plan: &'a InnerPlan<T>,
    pub theta: &'a [T],
    pub hyper: Hyper,
    pub data: &'a [Arg<'a, T>],
    /// K
    pub steps: usize,
}

impl<T: Element> Falling<'_, T> {
    /// 1/L at φ₀, halved until G falls in each of K steps: found by taking them. `scratch` is three vectors as long as φ
    /// and one as long as θ. The run is left somewhere.
    pub fn rate(&self, run: &mut Run<T>, scratch: ([&mut [T]; 3], &mut [T])) -> FallingRate {
        let &Falling { plan, theta, hyper, data, steps } = self;
        let (mut rate, products) = self.safe(run, scratch);
        let mut evaluations = 1;
        loop {
            run.start(plan, theta, Hyper { rate, ..hyper }, data);
            let (mut rose, mut before, mut first) = (false, f64::INFINITY, f64::NAN);
            // One more than are taken: that is a look at the last point.
            for k in 0..=steps {
                let value = run.advance(plan, theta, data, k).value;
                evaluations += 1;
                // A NaN is a rise, and rounding is none.
                let rise = value - before;
                rose |= rise > noise::<T>(first, before) || rise.is_nan();
                before = value;
                if k == 0 {
                    first = value;
                }
            }
            // Steps too small to change φ cannot make G rise; what is not finite from the start stays so.
            if !rose || rate < f64::MIN_POSITIVE || !first.is_finite() {
                return FallingRate { rate, products, evaluations };
            }
            rate *= 0.5;
        }
    }

    /// 1/L for the task, and the products it took, by products ∇²G c = c − (∂S/∂φ)ᵀ c of a step of size 1; what was given
    /// where L is none.
    fn safe(&self, run: &mut Run<T>, (scratch, in_theta): ([&mut [T]; 3], &mut [T])) -> (f64, usize) {
        let &Falling { plan, theta, hyper, data, .. } = self;
        run.start(plan, theta, Hyper { rate: 1.0, ..hyper }, data);
        run.look(plan, theta, data);
        let (workspace, state, _, inputs) = run.parts(theta, data);
        let (isa, mut products) = (plan.plan().isa(), 0);
        let bound = curvature_bound(isa, plan.unknowns(), scratch, |c, product| {
            products += 1;
            plan.pullback(workspace, &inputs, state, c, product, in_theta);
            isa.combine(T::one(), c, T::lit(-1.0), product);
        });
        (if bound > 0.0 && bound.is_finite() { 1.0 / bound } else { hyper.rate }, products)
    }
}
