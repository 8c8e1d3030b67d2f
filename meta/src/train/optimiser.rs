//! Outer optimisers.

use autodiff::{Element, Isa, Task};

/// Something that moves θ along a meta-gradient, in the precision of both.
pub trait Optimiser<T = f32>: Send {
    /// θ ← θ − (something of the gradient).
    ///
    /// # Panics
    /// Where the lengths differ.
    fn step(&mut self, theta: &mut [T], gradient: &[T]);

    /// What continuing needs beyond the settings: named vectors, in order.
    fn state(&self) -> Vec<(&'static str, &[T])>;

    /// Puts back what [`state`](Optimiser::state) gave; `steps` are the steps taken so far.
    ///
    /// # Errors
    /// What does not fit, in one line.
    fn restore(&mut self, steps: u64, state: &[(&str, Vec<T>)]) -> Result<(), String>;

    /// The step size, to schedule.
    fn set_rate(&mut self, rate: f64);
}

/// Stochastic gradient descent: θ ← θ − α g.
#[derive(Clone, Debug)]
pub struct Sgd {
    rate: f64,
}

impl Sgd {
    /// With step size α.
    pub fn new(rate: f64) -> Self {
        Sgd { rate }
    }
}

impl<T: Element> Optimiser<T> for Sgd {
    fn step(&mut self, theta: &mut [T], gradient: &[T]) {
        assert_eq!(theta.len(), gradient.len(), "step: lengths differ");
        let rate = T::from_f64(self.rate);
        theta.iter_mut().zip(gradient).for_each(|(t, &g)| *t = *t - rate * g);
    }

    fn state(&self) -> Vec<(&'static str, &[T])> {
        Vec::new()
    }

    fn restore(&mut self, _steps: u64, _state: &[(&str, Vec<T>)]) -> Result<(), String> {
        Ok(())
    }

    fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }
}

/// Adam (Kingma & Ba 2015, algorithm 1):
///
/// ```text
/// m ← β₁ m + (1 − β₁) g    v ← β₂ v + (1 − β₂) g²    θ ← θ − α (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
/// ```
///
/// Where g² overflows, v is the largest number that is still one after its division.
#[derive(Clone, Debug)]
pub struct Adam<T = f32> {
    rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    steps: u64,
    isa: Isa,
    m: Vec<T>,
    v: Vec<T>,
}

/// One step: `rate` is α/(1 − β₁ᵗ), `root` 1/(1 − β₂ᵗ), `most` what v is at most.
struct Step<'a, T> {
    theta: &'a mut [T],
    gradient: &'a [T],
    m: &'a mut [T],
    v: &'a mut [T],
    b1: T,
    b2: T,
    rate: T,
    root: T,
    most: T,
    epsilon: T,
}

impl<T: Element> Task for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Step { theta, gradient, m, v, b1, b2, rate, root, most, epsilon } = self;
        for ((t, &g), (m, v)) in theta.iter_mut().zip(gradient).zip(m.iter_mut().zip(v)) {
            *m = b1 * *m + (T::one() - b1) * g;
            *v = (b2 * *v + (T::one() - b2) * g * g).min(most);
            *t = *t - rate * *m / ((*v * root).sqrt() + epsilon);
        }
    }
}

impl<T: Element> Adam<T> {
    /// With β = (0.9, 0.999).
    ///
    /// # Panics
    /// Where `AUTODIFF_ISA` names an instruction set that this CPU lacks.
    pub fn new(dim: usize, rate: f64, epsilon: f64) -> Self {
        let zeros = || vec![T::zero(); dim];
        let isa = Isa::detect().unwrap_or_else(|message| panic!("{message}"));
        Adam { rate, betas: [0.9, 0.999], epsilon, steps: 0, isa, m: zeros(), v: zeros() }
    }
}

impl<T: Element> Optimiser<T> for Adam<T> {
    fn step(&mut self, theta: &mut [T], gradient: &[T]) {
        assert_eq!((theta.len(), gradient.len()), (self.m.len(), self.m.len()), "step: lengths differ");
        self.steps += 1;
        let [b1, b2] = self.betas;
        let power = |b: f64| 1.0 - b.powf(self.steps as f64);
        let (rate, root) = (T::from_f64(self.rate / power(b1)), T::from_f64(1.0 / power(b2)));
        let [epsilon, b1, b2] = [self.epsilon, b1, b2].map(T::from_f64);
        let most = (T::one() - b2) * T::MAX;
        let Adam { isa, m, v, .. } = self;
        isa.run(Step { theta, gradient, m, v, b1, b2, rate, root, most, epsilon });
    }

    fn state(&self) -> Vec<(&'static str, &[T])> {
        vec![("adam.m", &self.m), ("adam.v", &self.v)]
    }

    fn restore(&mut self, steps: u64, state: &[(&str, Vec<T>)]) -> Result<(), String> {
        for (name, own) in [("adam.m", &mut self.m), ("adam.v", &mut self.v)] {
            match state.iter().find(|(n, _)| *n == name) {
                Some((_, values)) if values.len() == own.len() => own.copy_from_slice(values),
                Some(_) => return Err(format!("{name} has another length than the model")),
                None => return Err(format!("{name} is missing")),
            }
        }
        self.steps = steps;
        Ok(())
    }

    fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_makes_the_steps_of_its_definition() {
        // torch.optim.Adam(lr=0.1) on θ = 1 with gradients 0.5, −0.25: 0.9, then 0.9 − 0.1·m̂/(√v̂ + 1e-8).
        let mut theta = [1.0_f32];
        let mut adam = Adam::new(1, 0.1, 1e-8);
        adam.step(&mut theta, &[0.5]);
        assert!((theta[0] - 0.9).abs() < 1e-6);
        adam.step(&mut theta, &[-0.25]);
        let m = (0.9 * 0.05 + 0.1 * -0.25) / (1.0 - 0.81);
        let v: f64 = (0.999 * 0.001 * 0.25 + 0.001 * 0.0625) / (1.0 - 0.999 * 0.999);
        assert!((f64::from(theta[0]) - (0.9 - 0.1 * m / v.sqrt())).abs() < 1e-6);
    }

    #[test]
    fn a_gradient_whose_square_overflows_does_not_end_adam() {
        let (mut theta, mut adam) = ([1.0_f32], Adam::new(1, 0.1, 1e-8));
        adam.step(&mut theta, &[1e21]);
        assert!(theta[0].is_finite() && adam.state().iter().all(|(_, x)| x[0].is_finite()));
        let before = theta[0];
        (0..100).for_each(|_| adam.step(&mut theta, &[1.0]));
        assert!(theta[0] < before);
    }
}
