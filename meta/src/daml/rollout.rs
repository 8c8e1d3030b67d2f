//! How often a policy reaches what it was shown: adaptation, then a closed loop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use autodiff::{Arg, Element, Options, Plan, Stage, Tape, Workspace};

use super::arm::{JOINTS, Point};
use super::domain::{COLOURS, Domain};
use super::problem::Imitation;
use super::world::{ARM, FRAMES, LANDMARKS, RADIUS, STEP, Task, World, distance};
use crate::inner::{Derivative, Hyper, InnerPlan, Run, Step};
use crate::method::take_steps;
use crate::problem::Problem;
use crate::tasks::Split;
use crate::train::Interval;

/// Where a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The hand is within [`RADIUS`] of the landmark that was shown.
    pub reached: bool,
    /// That landmark is the nearest.
    pub nearest: bool,
}

/// Rates over tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Of [`Outcome::reached`] and [`Outcome::nearest`] both.
    pub success: Interval,
    /// Of [`Outcome::nearest`].
    pub nearest: Interval,
    /// Each task's outcome, in task order.
    pub outcomes: Vec<Outcome>,
}

/// Adapts a policy to a person's demonstration and lets it move the robot.
pub struct Rollouts {
    inner: InnerPlan<f32>,
    steps: usize,
    /// φ, one frame ↦ joint velocities.
    policy: Plan<f32>,
}

/// A thread's memory.
struct Space {
    run: Run<f32>,
    policy: Workspace<f32>,
    task: Task<f32>,
}

impl Rollouts {
    /// Adapts by so many steps on the problem's G.
    pub fn new(problem: &Imitation, step: &dyn Step, steps: usize) -> Self {
        let tape = Tape::new();
        let phi = tape.input("phi", problem.dim(), Stage::DATA);
        let places = tape.input("places", [LANDMARKS, 2], Stage::DATA);
        let colours = tape.input("colours", [LANDMARKS, COLOURS], Stage::DATA);
        let arm = tape.input("arm", [1, ARM], Stage::POINT);
        let action = problem.policy().record(phi, arm, places, colours).action;
        let policy = Plan::staged(&tape, &[(Stage::POINT, action)], Options::default());
        Rollouts { inner: InnerPlan::new(problem, step, Derivative::None), steps, policy }
    }

    /// Measures on tasks `0..count` of a split: each in the scene of its robot demonstration, from that one's pose. The
    /// policy sees neither that demonstration's way nor its actions.
    pub fn run(
        &self,
        pool: &rayon::ThreadPool,
        world: &World,
        split: Split,
        count: usize,
        theta: &[f32],
        hyper: Hyper,
    ) -> Rates {
        let blank = Outcome { reached: false, nearest: false };
        let (results, next) = (Mutex::new(vec![blank; count]), AtomicUsize::new(0));
        pool.scope(|scope| {
            for _ in 0..pool.current_num_threads().min(count) {
                scope.spawn(|_| {
                    let mut space =
                        Space { run: Run::new(&self.inner, 1), policy: self.policy.workspace(), task: Task::empty() };
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= count {
                            break;
                        }
                        world.sample(split, i as u64, &mut space.task);
                        let outcome = self.one(&mut space, theta, hyper);
                        results.lock().expect("no thread panics while it holds the results")[i] = outcome;
                    }
                });
            }
        });
        let outcomes = results.into_inner().expect("no thread panics while it holds the results");
        let rate = |is: fn(&Outcome) -> bool| {
            Interval::of(&outcomes.iter().map(|o| f64::from(u8::from(is(o)))).collect::<Vec<_>>())
        };
        Rates { success: rate(|o| o.reached && o.nearest), nearest: rate(|o| o.nearest), outcomes }
    }

    /// One task.
    fn one(&self, space: &mut Space, theta: &[f32], hyper: Hyper) -> Outcome {
        let Space { run, policy, task } = space;
        let data = task.data();
        run.start(&self.inner, theta, hyper, &data);
        if self.steps > 0 {
            take_steps(run, &self.inner, theta, &data, 0..self.steps);
        }
        let phi = &run.state[..self.inner.dim()];

        let robot = Domain::robot();
        let (places, colours) = (Arg::Floats(&task.robot.places), Arg::Floats(&task.robot.colours));
        let (mut q, mut arm, mut dq) = (task.pose, [0.0_f32; ARM], [0.0_f32; JOINTS]);
        self.policy.run(Stage::DATA, policy, &[phi.into(), places, colours, arm[..].into()], &mut []);
        for _ in 0..FRAMES {
            let (elbow, hand) = robot.arm.forward(q);
            let seen = [[0.0; 2], elbow, hand].map(|x| robot.see(x));
            arm.iter_mut().zip(seen.as_flattened()).for_each(|(a, &x)| *a = x as f32);
            let args = [phi.into(), places, colours, arm[..].into()];
            self.policy.run(Stage::POINT, policy, &args, &mut [&mut dq]);
            // A policy that diverged turns its arm at most once a frame, and on NaN not at all.
            for (q, dq) in q.iter_mut().zip(dq) {
                let turn = STEP * f64::from(dq);
                *q += if turn.is_finite() { turn.clamp(-6.0, 6.0) } else { 0.0 };
            }
        }
        judge(robot.arm.forward(q).1, &task.robot.places, task.target)
    }
}

/// What a hand that ends here has reached.
fn judge(hand: Point, places: &[f32], target: usize) -> Outcome {
    let to = |i: usize| distance(hand, [places[2 * i].to_f64(), places[2 * i + 1].to_f64()]);
    let own = to(target);
    Outcome { reached: own <= RADIUS, nearest: (0..LANDMARKS).all(|i| i == target || to(i) > own) }
}
