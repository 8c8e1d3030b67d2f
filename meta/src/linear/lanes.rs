//! Conjugate gradients on several systems at a time, one in every lane.
//!
//! The iteration is [`Cg`](super::Cg)'s, with α and β of each lane's own and the bits of each system alone, for as long as
//! nothing happens that one lane would have to decide: a residual that vanishes, a breakdown, a number that is not finite.
//! A lane in which something does is told *apart*; whoever asked solves that system alone.

use autodiff::{Aligned, Element, Isa};

use super::cycles::{exponent, power_of_two, vanishing};
use super::{Stats, Status};
use crate::inner::MOST_LANES;

/// So many iterations of conjugate gradients from zero in every lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgLanes {
    /// In every lane.
    pub(super) iterations: usize,
    /// Whether negative curvature tells a lane apart.
    pub(super) stops: bool,
}

/// Vectors for [`CgLanes::minus_solution`].
pub struct CgLanesSpace<T> {
    x: Aligned<T>,
    r: Aligned<T>,
    p: Aligned<T>,
    ap: Aligned<T>,
}

impl<T: Element> CgLanesSpace<T> {
    /// For vectors of so many numbers in all lanes.
    pub fn new(len: usize) -> Self {
        let zeros = || Aligned::zeroed(len);
        CgLanesSpace { x: zeros(), r: zeros(), p: zeros(), ap: zeros() }
    }
}

/// How the solve of one lane went.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneSolution {
    /// What it took.
    pub stats: Stats,
    /// How it ended.
    pub status: Status,
    /// Whether it has to be solved alone.
    pub apart: bool,
}

/// A number for each lane.
type OfLanes = [f64; MOST_LANES];

impl CgLanes {
    /// −x for A x = b in every lane, `apply` being y ← A x for all: what an implicit gradient goes on with. There are as many
    /// lanes as `solutions`.
    ///
    /// # Panics
    /// Where those are more than 16, or the vectors are not as long as b.
    pub fn minus_solution<'s, T: Element>(
        self,
        isa: Isa,
        mut apply: impl FnMut(&[T], &mut [T]),
        b: &[T],
        space: &'s mut CgLanesSpace<T>,
        solutions: &mut [LaneSolution],
    ) -> &'s [T] {
        let CgLanesSpace { x, r, p, ap } = space;
        let lanes = solutions.len();
        solutions.fill(LaneSolution { status: Status::Finished, ..LaneSolution::default() });
        let factors = scales::<T>(isa, b, solutions);
        x.fill(T::zero());
        let (mut rr, mut next) = (OfLanes::default(), OfLanes::default());
        isa.scaled_square_lanes(factors.down.each_ref().map(|by| &by[..lanes]), b, [r, p], &mut rr[..lanes]);
        let norms = rr.map(f64::sqrt);
        for (lane, solution) in solutions.iter_mut().enumerate() {
            solution.stats.residual = 1.0;
            solution.apart |= norms[lane] <= 0.0 || !norms[lane].is_finite();
        }
        for iteration in 0..self.iterations {
            apply(p, ap);
            let mut grams = [[0.0; 3]; MOST_LANES];
            isa.gram_lanes(p, ap, &mut grams[..lanes]);
            let (mut alpha, mut minus_alpha) = ([T::zero(); MOST_LANES], [T::zero(); MOST_LANES]);
            for (lane, solution) in solutions.iter_mut().enumerate() {
                let [curvature, pp, aap] = grams[lane];
                let negative = curvature <= 0.0;
                let breaks = curvature.abs() <= T::EPSILON * (pp * aap).sqrt();
                let finite = curvature.is_finite() && aap.is_finite();
                solution.apart |= !finite || breaks || (negative && self.stops);
                if solution.apart {
                    continue;
                }
                if negative {
                    solution.stats.met_negative(curvature, pp);
                }
                alpha[lane] = T::from_f64(rr[lane] / curvature);
                minus_alpha[lane] = T::from_f64(-(rr[lane] / curvature));
            }
            isa.add_scaled_square_lanes(&minus_alpha[..lanes], ap, r, &mut next[..lanes]);
            let mut beta = [T::zero(); MOST_LANES];
            for (lane, solution) in solutions.iter_mut().enumerate().filter(|(_, solution)| !solution.apart) {
                solution.stats.products += 1;
                solution.stats.iterations += 1;
                let residual = next[lane].sqrt() / norms[lane];
                solution.stats.residual = residual;
                solution.apart = residual <= vanishing::<T>() || residual.is_nan();
                beta[lane] = T::from_f64(next[lane] / rr[lane]);
            }
            if iteration + 1 < self.iterations {
                isa.add_scaled_then_turn_lanes(&alpha[..lanes], p, x, &beta[..lanes], r);
            } else {
                isa.add_scaled_lanes(&alpha[..lanes], p, x);
            }
            rr = next;
        }
        let [up, rest] = factors.up;
        isa.scale_lanes(&up.map(|by| -by)[..lanes], x);
        if rest.iter().any(|&by| by != T::one()) {
            isa.scale_lanes(&rest[..lanes], x);
        }
        x
    }
}

/// A number for each lane, in the vectors' type.
type Factors<T> = [T; MOST_LANES];

/// Powers of two for each lane, as the factors of [`power_of_two`].
struct Scales<T> {
    down: [Factors<T>; 2],
    up: [Factors<T>; 2],
}

/// Those that make the largest number of each lane one of [1, 2), and their inverses; a lane in which there are none is told
/// apart.
fn scales<T: Element>(isa: Isa, b: &[T], solutions: &mut [LaneSolution]) -> Scales<T> {
    let mut largest = [T::zero(); MOST_LANES];
    isa.largest_lanes(b, &mut largest[..solutions.len()]);
    let ones = [[T::one(); MOST_LANES]; 2];
    let mut scales = Scales { down: ones, up: ones };
    for (lane, solution) in solutions.iter_mut().enumerate() {
        let Some(exponent) = exponent(largest[lane].to_f64()) else {
            solution.apart = true;
            continue;
        };
        for (factors, k) in [(&mut scales.down, -exponent), (&mut scales.up, exponent)] {
            [factors[0][lane], factors[1][lane]] = power_of_two(k);
        }
    }
    scales
}
