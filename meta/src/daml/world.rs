//! The reaching world: tasks as reproducible streams.
//!
//! A task is which of four landmarks to reach, known by its colour. It comes as two demonstrations of T = 40 frames,
//! each in a scene of its own: the same four colours in other places and in another order.
//!
//! ```text
//! person   rests on another landmark, goes to the right one, rests on it: keypoints only
//! robot    from a random pose to the right one: keypoints and joint velocities
//! ```
//!
//! **The demonstration is needed.** The scene and the robot's pose at the start hold next to nothing about which landmark is
//! meant: that its colour was drawn first shows a little in how far the others are from it.
//!
//! **Time is needed.** A person's demonstration that is played backwards is one, just as likely, of going from the
//! right landmark to the one it started at: rests at both ends are drawn alike and the way is symmetric. Whatever a loss
//! adds up frame by frame is the same for both, so a learner that uses such a loss does not know which of the two
//! landmarks is meant, and none is better than a coin's toss between them. Which frames come first is in the
//! differences between frames.

use autodiff::{Arg, Element};

use super::arm::{Expert, JOINTS, Point};
use super::domain::{COLOURS, Domain};
use crate::tasks::Split;
use crate::tasks::random::{Random, sin_cos};

/// Frames of a demonstration.
pub const FRAMES: usize = 40;
/// Landmarks in a scene.
pub const LANDMARKS: usize = 4;
/// Numbers in a frame's arm: shoulder, elbow and hand, x and y each.
pub const ARM: usize = 6;
/// Time between frames.
pub const STEP: f64 = 0.1;
/// A hand this near to a landmark has reached it: less than half of the least distance between two.
pub const RADIUS: f64 = 0.15;

const NAME: &str = "reach";
const APART: f64 = 0.4;
const EXPERT: Expert = Expert { gain: 4.0, speed: 1.0, damping: 0.1 };

/// Keypoints of one demonstration.
#[derive(Clone, Debug, PartialEq)]
pub struct Demonstration<T> {
    /// The arm in each frame, [`FRAMES`] × [`ARM`].
    pub arm: Vec<T>,
    /// The landmarks' places, [`LANDMARKS`] × 2; they do not move.
    pub places: Vec<T>,
    /// Their colours, [`LANDMARKS`] × [`COLOURS`].
    pub colours: Vec<T>,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task<T> {
    /// What the person shows.
    pub person: Demonstration<T>,
    /// What the robot does, to train on.
    pub robot: Demonstration<T>,
    /// The robot's joint velocities, [`FRAMES`] × [`JOINTS`].
    pub actions: Vec<T>,
    /// Which landmark of the robot's scene is meant.
    pub target: usize,
    /// The robot's joint angles in the first frame.
    pub pose: [f64; JOINTS],
}

impl<T: Element> Task<T> {
    /// Room for one.
    pub fn empty() -> Self {
        let zeros = |n| vec![T::zero(); n];
        let demonstration = || Demonstration {
            arm: zeros(FRAMES * ARM),
            places: zeros(LANDMARKS * 2),
            colours: zeros(LANDMARKS * COLOURS),
        };
        Task {
            person: demonstration(),
            robot: demonstration(),
            actions: zeros(FRAMES * JOINTS),
            target: 0,
            pose: [0.0; JOINTS],
        }
    }

    /// In the order of [`Imitation`](super::Imitation)'s data.
    pub fn data(&self) -> [Arg<'_, T>; 7] {
        let Task { person, robot, actions, .. } = self;
        [&person.arm, &person.places, &person.colours, &robot.arm, &robot.places, &robot.colours, actions]
            .map(|values| Arg::Floats(values))
    }
}

/// A landmark's place as seen from the shoulder: how far, as a fraction of the robot's reach, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    distance: f64,
    angle: f64,
}

impl Place {
    fn of(self, reach: f64) -> Point {
        let (sin, cos) = sin_cos(self.angle);
        [reach * self.distance * cos, reach * self.distance * sin]
    }
}

/// Four places, any two at least [`APART`] from each other for the robot.
fn scene(rng: &mut Random) -> [Place; LANDMARKS] {
    let reach = Domain::robot().arm.reach();
    let mut places = [Place::default(); LANDMARKS];
    for i in 0..LANDMARKS {
        places[i] = loop {
            let place = Place { distance: rng.uniform(0.4, 0.85), angle: rng.uniform(0.4, 2.75) };
            let far = |other: &Place| distance(place.of(reach), other.of(reach)) >= APART;
            if places[..i].iter().all(far) {
                break place;
            }
        };
    }
    places
}

/// Four unit vectors, any two at least 60° apart.
fn colours(rng: &mut Random) -> [[f64; COLOURS]; LANDMARKS] {
    let mut colours = [[0.0; COLOURS]; LANDMARKS];
    let dot = |a: &[f64; COLOURS], b: &[f64; COLOURS]| (0..COLOURS).map(|i| a[i] * b[i]).sum::<f64>();
    for i in 0..LANDMARKS {
        colours[i] = loop {
            let c: [f64; COLOURS] = std::array::from_fn(|_| rng.uniform(-1.0, 1.0));
            let size = dot(&c, &c).sqrt();
            let unit = c.map(|x| x / size);
            if (0.1..=1.0).contains(&size) && colours[..i].iter().all(|other| dot(other, &unit) <= 0.5) {
                break unit;
            }
        };
    }
    colours
}

/// ‖a − b‖
pub(super) fn distance(a: Point, b: Point) -> f64 {
    ((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])).sqrt()
}

/// Writes points side by side.
fn write<T: Element>(points: &[Point], out: &mut [T]) {
    out.iter_mut().zip(points.as_flattened()).for_each(|(o, &x)| *o = T::from_f64(x));
}

impl<T: Element> Demonstration<T> {
    fn write_landmarks(
        &mut self,
        domain: &Domain,
        places: &[Place; LANDMARKS],
        colours: &[[f64; COLOURS]; LANDMARKS],
        order: &[u32; LANDMARKS],
    ) {
        for (i, &which) in order.iter().enumerate() {
            let colour = domain.colour(colours[which as usize]);
            write(&[domain.see(places[i].of(domain.arm.reach()))], &mut self.places[2 * i..]);
            self.colours[COLOURS * i..].iter_mut().zip(colour).for_each(|(o, c)| *o = T::from_f64(c));
        }
    }

    fn write_arm(&mut self, domain: &Domain, frame: usize, elbow: Point, hand: Point) {
        let seen = [[0.0; 2], elbow, hand].map(|x| domain.see(x));
        write(&seen, &mut self.arm[frame * ARM..(frame + 1) * ARM]);
    }
}

/// How a person goes from one landmark to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Motion {
    from: Place,
    to: Place,
    /// Frames of rest before, and frames of moving.
    rest: usize,
    moving: usize,
    /// How far outwards the middle of the way bends.
    bend: f64,
}

impl Motion {
    /// Minimum jerk (Flash & Hogan 1985), m = 10τ³ − 15τ⁴ + 6τ⁵, in polar coordinates, bent by 4 m (1 − m).
    fn at(&self, frame: usize) -> Place {
        let tau = ((frame as f64 - self.rest as f64) / self.moving as f64).clamp(0.0, 1.0);
        let m = tau * tau * tau * (10.0 + tau * (6.0 * tau - 15.0));
        let Motion { from, to, bend, .. } = self;
        Place {
            distance: from.distance + m * (to.distance - from.distance) + 4.0 * bend * m * (1.0 - m),
            angle: from.angle + m * (to.angle - from.angle),
        }
    }
}

/// A stream of reaching tasks: task k of a split is a pure function of (seed, split, k).
///
/// ```
/// use meta::daml::{Task, World};
/// use meta::tasks::Split;
///
/// let world = World::new(1, 0.5)?;
/// let mut task = Task::<f32>::empty();
/// world.sample(Split::Test, 3, &mut task); // writes over the last one, allocates nothing
/// assert!(task.target < 4);
/// # Ok::<(), meta::tasks::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    seed: u64,
    gap: f64,
}

impl World {
    /// With this domain gap, 0 … 1: see `Domain::person`.
    ///
    /// # Errors
    /// Where the gap is not from 0 to 1.
    pub fn new(seed: u64, gap: f64) -> Result<World, crate::tasks::DataError> {
        if !(0.0..=1.0).contains(&gap) {
            return Err(crate::tasks::DataError::Request(format!("a domain gap of {gap} asked: it is from 0 to 1")));
        }
        Ok(World { seed, gap })
    }

    /// Writes task `k` of a split.
    pub fn sample<T: Element>(&self, split: Split, k: u64, out: &mut Task<T>) {
        let mut rng = Random::of_task(NAME, self.seed, split, k);
        let colours = colours(&mut rng);
        // Landmark i of a scene has colour order[i]; the colour that is meant is number 0.
        let [seen, own] = [(); 2].map(|()| {
            let mut order: [u32; LANDMARKS] = std::array::from_fn(|i| i as u32);
            rng.shuffle(&mut order);
            order
        });
        let place = |order: &[u32; LANDMARKS], which| order.iter().position(|&o| o == which).expect("in the order");

        let person = Domain::person(self.gap, &mut rng);
        let places = scene(&mut rng);
        out.person.write_landmarks(&person, &places, &colours, &seen);
        let moving = (person.moving * FRAMES as f64).round() as usize;
        let motion = Motion {
            from: places[place(&seen, 1)],
            to: places[place(&seen, 0)],
            // From no rest before to none after, evenly.
            rest: rng.below((FRAMES - moving) as u32) as usize,
            moving,
            bend: rng.uniform(-0.1, 0.1),
        };
        for frame in 0..FRAMES {
            let hand = motion.at(frame).of(person.arm.reach());
            out.person.write_arm(&person, frame, person.arm.elbow(hand), hand);
        }

        let robot = Domain::robot();
        let places = scene(&mut rng);
        out.robot.write_landmarks(&robot, &places, &colours, &own);
        out.target = place(&own, 0);
        out.pose = [rng.uniform(0.3, 2.2), rng.uniform(0.5, 2.3)];
        let target = places[out.target].of(robot.arm.reach());
        let mut q = out.pose;
        for frame in 0..FRAMES {
            let (elbow, hand) = robot.arm.forward(q);
            out.robot.write_arm(&robot, frame, elbow, hand);
            let dq = EXPERT.velocity(elbow, hand, target);
            write(&[dq], &mut out.actions[frame * JOINTS..]);
            (0..JOINTS).for_each(|j| q[j] += STEP * dq[j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(world: &World, split: Split, k: u64) -> Task<f64> {
        let mut task = Task::empty();
        world.sample(split, k, &mut task);
        task
    }

    #[test]
    fn tasks_are_pure_functions_of_seed_split_and_number() {
        let world = World::new(3, 0.5).unwrap();
        let mut reused = Task::empty();
        for k in [5, 0, u64::MAX, 3, 0] {
            for split in Split::ALL {
                world.sample(split, k, &mut reused);
                let task = fresh(&world, split, k);
                assert_eq!(reused, task, "{split} {k}");
                let finite = |arg: Arg<'_, f64>| matches!(arg, Arg::Floats(x) if x.iter().all(|v| v.is_finite()));
                assert!(task.data().into_iter().all(finite));
            }
        }
        // Splits share no task, as far as a hundred of each can tell; and seeds and gaps are other worlds.
        let mut poses: Vec<[u64; 2]> = Vec::new();
        for split in Split::ALL {
            poses.extend((0..100).map(|k| fresh(&world, split, k).pose.map(f64::to_bits)));
        }
        poses.sort_unstable();
        poses.dedup();
        assert_eq!(poses.len(), 300);
        let first = fresh(&world, Split::Train, 0);
        assert_ne!(first, fresh(&World::new(4, 0.5).unwrap(), Split::Train, 0));
        assert_ne!(first.person, fresh(&World::new(3, 0.6).unwrap(), Split::Train, 0).person);
    }

    #[test]
    fn tasks_have_the_same_bits_on_every_machine() {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut task = Task::<f32>::empty();
        for k in 0..20 {
            for split in Split::ALL {
                World::new(1, 0.5).unwrap().sample(split, k, &mut task);
                for arg in task.data() {
                    let Arg::Floats(values) = arg else { unreachable!("keypoints are numbers") };
                    values.iter().for_each(|x| hash = (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3));
                }
            }
        }
        assert_eq!(hash, 0x158a_de18_5bc9_68c8, "{hash:#x}");
    }

    #[test]
    fn the_expert_reaches_the_landmark_and_no_other() {
        let world = World::new(3, 1.0).unwrap();
        for k in 0..500 {
            let task = fresh(&world, Split::Train, k);
            let hand = &task.robot.arm[FRAMES * ARM - 2..];
            let place = |i: usize| [task.robot.places[2 * i], task.robot.places[2 * i + 1]];
            let to = |i: usize| distance([hand[0], hand[1]], place(i));
            assert!(to(task.target) < 0.5 * RADIUS, "task {k}: {}", to(task.target));
            assert!((0..LANDMARKS).all(|i| i == task.target || to(i) > RADIUS));
        }
    }

    #[test]
    fn a_person_goes_from_one_landmark_to_the_one_with_the_target_s_colour() {
        // Without a gap colours are the same and can be compared.
        let world = World::new(3, 0.0).unwrap();
        let mut places = [0; LANDMARKS];
        for k in 0..500 {
            let Task { person, robot, target, .. } = fresh(&world, Split::Train, k);
            let colour = &robot.colours[COLOURS * target..COLOURS * (target + 1)];
            let goal = person.colours.chunks_exact(COLOURS).position(|c| c == colour).unwrap();
            let hand = |frame: usize| [person.arm[frame * ARM + 4], person.arm[frame * ARM + 5]];
            let near = |hand: Point| {
                let to = |i: &usize| distance(hand, [person.places[2 * i], person.places[2 * i + 1]]);
                (0..LANDMARKS).find(|i| to(i) < 1e-12)
            };
            assert_eq!(near(hand(FRAMES - 1)), Some(goal));
            let first = near(hand(0));
            assert!(first.is_some_and(|i| i != goal));
            // The links keep their lengths all the way.
            for frame in person.arm.chunks_exact(ARM) {
                let joints: Vec<Point> = frame.chunks_exact(2).map(|x| [x[0], x[1]]).collect();
                assert!((distance(joints[0], joints[1]) - 0.6).abs() < 1e-12);
                assert!((distance(joints[1], joints[2]) - 0.55).abs() < 1e-12);
            }
            places[target] += 1;
        }
        // The place in the list says nothing: 500/4 ± 4 standard deviations of 9.7.
        assert!(places.iter().all(|n| (86..164).contains(n)), "{places:?}");
    }

    #[test]
    fn a_demonstration_played_backwards_is_one_of_the_way_back() {
        let (from, to) = (Place { distance: 0.5, angle: 0.6 }, Place { distance: 0.8, angle: 2.0 });
        for (rest, moving) in [(0, 24), (7, 14), (15, 24), (5, 34)] {
            let there = Motion { from, to, rest, moving, bend: 0.07 };
            let back = Motion { from: to, to: from, rest: FRAMES - 1 - moving - rest, moving, bend: 0.07 };
            for frame in 0..FRAMES {
                let (a, b) = (there.at(frame), back.at(FRAMES - 1 - frame));
                // m(1 − τ) = 1 − m(τ), to some roundings of the polynomial.
                assert!((a.distance - b.distance).abs() < 1e-14 && (a.angle - b.angle).abs() < 1e-14);
            }
        }
    }
}
