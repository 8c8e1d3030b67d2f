//! DAML as a bi-level problem.

use autodiff::{Element, Real, Var};

use super::arm::JOINTS;
use super::domain::COLOURS;
use super::loss::{LearnedLoss, Sight};
use super::policy::{Activations, Policy};
use super::world::{ARM, FRAMES, LANDMARKS};
use crate::problem::{At, DataSpec, Problem};

/// Imitation of a person by a robot, through a learned inner loss.
///
/// ```text
/// θ = (φ₀, ψ)        G(φ, θ) = L_ψ(activations of the policy φ on the person's frames)  [+ ½ λ ‖φ − φ₀‖²]
///                    f(φ)    = mean (q̇ − q̇_robot)² + γ mean (a₁ − the robot's hand at the end)²
/// ```
///
/// f is behavioural cloning, and that the first feature point be where the demonstration ends (γ = 10), from the same
/// demonstration: an auxiliary task of this kind is what Finn et al. (*One-Shot Visual Imitation Learning via
/// Meta-Learning*, 2017) train their real robot with.
///
/// Data: the person's arm, places, colours; the robot's arm, places, colours, joint velocities. The inner level has no
/// actions to read: the person's demonstrations have none.
///
/// Source: Yu, Finn, Xie, Dasari, Zhang, Abbeel & Levine, *One-Shot Imitation from Observing Humans via Domain-Adaptive
/// Meta-Learning*, RSS 2018, equation 2. The prox term, for implicit differentiation, is not in the paper.
#[derive(Clone, Debug)]
pub struct Imitation {
    policy: Policy,
    loss: LearnedLoss,
    prox: bool,
}

/// γ
const GOAL: f64 = 10.0;

/// The inputs of one demonstration's keypoints.
const KEYPOINTS: usize = 3;

impl Imitation {
    /// With this learned loss; `prox` says whether G has the prox term.
    pub fn new(sight: Sight, prox: bool) -> Self {
        Imitation { policy: Policy::new(), loss: LearnedLoss::new(sight), prox }
    }

    /// The policy, whose parameters are φ.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The loss, whose parameters are ψ.
    pub fn loss(&self) -> &LearnedLoss {
        &self.loss
    }

    /// θ₀ = (φ₀, ψ₀), PyTorch's default in φ₀; `uniform` draws from [0, 1).
    pub fn init<T: Element>(&self, uniform: &mut dyn FnMut() -> f64) -> Vec<T> {
        let mut theta = self.policy.layout().init(nn::Init::PyTorch, uniform);
        theta.extend(self.loss.init::<T>(uniform));
        theta
    }

    fn activations<'t>(&self, at: &At<'t>, first: usize) -> Activations<'t> {
        let [arm, places, colours] = [0, 1, 2].map(|i| at.data[first + i].values());
        self.policy.record(at.phi, arm, places, colours)
    }
}

impl Problem for Imitation {
    fn dim(&self) -> usize {
        self.policy.layout().len()
    }

    fn theta_dim(&self) -> usize {
        self.dim() + self.loss.layout().len()
    }

    fn adapts(&self) -> Vec<bool> {
        self.policy.layout().is_parameter()
    }

    fn data(&self) -> Vec<DataSpec> {
        let values = |name, shape: [usize; 2]| DataSpec { name, shape: shape.into(), bound: None };
        vec![
            values("person.arm", [FRAMES, ARM]),
            values("person.places", [LANDMARKS, 2]),
            values("person.colours", [LANDMARKS, COLOURS]),
            values("robot.arm", [FRAMES, ARM]),
            values("robot.places", [LANDMARKS, 2]),
            values("robot.colours", [LANDMARKS, COLOURS]),
            values("robot.actions", [FRAMES, JOINTS]),
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let psi = at.theta.slice(&[self.dim()], &[self.theta_dim()]);
        let loss = self.loss.record(psi, &self.activations(at, 0));
        if !self.prox {
            return loss;
        }
        let away = at.phi - at.theta.slice(&[0], &[self.dim()]);
        loss + 0.5 * at.lambda * away.dot(away)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let Activations { action, goal, .. } = self.activations(at, KEYPOINTS);
        let end = at.data[KEYPOINTS].values().slice(&[FRAMES - 1, ARM - 2], &[FRAMES, ARM]).reshape([2]);
        let cloning = (action - at.data[2 * KEYPOINTS].values()).square().mean_all();
        cloning + GOAL * (goal - end).square().mean_all()
    }
}
