//! Domain-adaptive meta-learning (DAML): a learned inner loss across a domain shift.
//!
//! A robot sees a person do a task once and then does it itself. The person's demonstration has no actions, and other
//! limbs, another camera, another pace and other colours than the robot's own. So there is nothing to imitate directly; what
//! the robot minimises on it is a loss L_ψ that was itself learned, a function of its policy's activations over time:
//!
//! ```text
//! adapt      φ  ← steps from φ₀ on  L_ψ(activations of the policy on the person's frames)      [+ ½ λ ‖φ − φ₀‖²]
//! measure    f  = behavioural cloning of the adapted policy on the robot's demonstration of the same task
//! learn      θ  = (φ₀, ψ) along dF/dθ, by any method of this crate
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `arm`, `domain`, `world` | a planar arm and its expert, what differs between robot and person, the stream of tasks |
//! | `policy`, `loss`, `problem`, `step` | the networks, G and f, the inner step |
//! | `learner`, `rollout` | training, and success in closed loop |
//!
//! ```
//! use meta::daml::{Imitation, Sight, Task, World};
//! use meta::inner::Hyper;
//! use meta::method::{Keep, Method, Unrolled};
//! use meta::problem::Problem;
//! use meta::tasks::Split;
//!
//! let problem = Imitation::new(Sight::Temporal, false);
//! let mut task = Task::<f64>::empty();
//! World::new(0, 0.5)?.sample(Split::Train, 0, &mut task);
//!
//! let theta = problem.init(&mut || 0.25);
//! let method = Unrolled::<f64>::new(&problem, 2, Keep::Everything);
//! let mut gradient = vec![0.0; problem.theta_dim()];
//! let hyper = Hyper { lambda: 0.0, rate: 0.2 };
//! method.worker().gradient(&theta, hyper, &task.data(), &mut gradient);
//! # Ok::<(), meta::tasks::DataError>(())
//! ```
//!
//! Source: Yu, Finn, Xie, Dasari, Zhang, Abbeel & Levine, *One-Shot Imitation from Observing Humans via Domain-Adaptive
//! Meta-Learning*, RSS 2018. This differs from the paper in: 1. keypoints in place of images; 2. made-up people; 3. what
//! the files above say of their parts.

mod arm;
mod domain;
mod learner;
mod loss;
mod policy;
mod problem;
mod rollout;
mod step;
mod tasks;
mod world;

pub use arm::{Arm, Expert, JOINTS, Point};
pub use domain::{COLOURS, Domain};
pub use learner::{Experiment, Learner, Training};
pub use loss::{LearnedLoss, Sight};
pub use policy::{Activations, Policy, WIDTHS};
pub use problem::Imitation;
pub use rollout::{Outcome, Rates, Rollouts};
pub use step::BoundedDescent;
pub use tasks::WorldTasks;
pub use world::{ARM, Demonstration, FRAMES, LANDMARKS, RADIUS, STEP, Task, World};
