//! What every iteration shares: a scaled right-hand side, a residual that is true, restarts, and how it all ends.
//!
//! b is scaled by a power of two so that ‖b‖ is near 1: the answer is the same for b and 2ᵏ b to the last bit, and a
//! right-hand side of 1e-30 does not underflow in `f32`.
//!
//! With a tolerance, convergence is claimed of the true residual b − A x only: where a recurrence says converged and
//! the truth does not, the iteration starts again from the true residual, and stagnation is named where that no longer
//! halves it.

use autodiff::{Aligned, Element, Isa};

use super::{LinearOperator, Solution, SolverSpace, Stats, Status};

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Until {
    /// Exactly so many iterations, fewer only where the residual has [vanished](vanishing).
    Iterations(usize),
    /// ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` iterations.
    Tolerance { relative: f64, cap: usize },
    /// The same by the iteration's own residual: nothing is claimed of the true one, and no product is spent on it.
    Recurrence { relative: f64, cap: usize },
}

impl Until {
    fn cap(self) -> usize {
        match self {
            Until::Iterations(n) => n,
            Until::Tolerance { cap, .. } | Until::Recurrence { cap, .. } => cap,
        }
    }
}

/// One run of an iteration from a true residual.
pub(super) struct Cycle<'c, T> {
    pub isa: Isa,
    /// The answer so far, to be added to.
    pub x: &'c mut [T],
    /// b − A x at the start; the iteration's own afterwards.
    pub r: &'c mut [T],
    pub vectors: &'c mut [Aligned<T>],
    pub scalars: &'c mut [f64],
    /// ‖r‖ at which to stop.
    pub target: f64,
    /// The count of iterations at which to stop.
    pub cap: usize,
    /// ‖b‖
    pub b_norm: f64,
    pub stats: &'c mut Stats,
}

impl<T: Element> Cycle<'_, T> {
    /// y ← A x, counted.
    pub fn apply(&mut self, a: &mut dyn LinearOperator<T>, x: &[T], y: &mut [T]) {
        a.apply(x, y);
        self.stats.products += 1;
    }

    /// Whether to stop at this ‖r‖; remembers it.
    pub fn is_done(&mut self, residual: f64) -> bool {
        self.stats.residual = residual / self.b_norm;
        residual <= self.target || self.stats.iterations == self.cap
    }
}

/// Solves by cycles. A cycle returns a status where it can only stop, and none where it reached its target or its cap.
pub(super) fn solve<'s, T: Element>(
    a: &mut dyn LinearOperator<T>,
    b: &[T],
    space: &'s mut SolverSpace<T>,
    until: Until,
    mut cycle: impl FnMut(&mut dyn LinearOperator<T>, Cycle<'_, T>) -> Option<Status>,
) -> Solution<'s, T> {
    assert_eq!((b.len(), space.x.len()), (a.dim(), a.dim()), "solve: operator, right-hand side and space");
    let SolverSpace { isa, x, r, vectors, scalars, started } = space;
    let mut stats = Stats::default();
    let started = std::mem::take(started);
    if !started {
        x.fill(T::zero());
    }
    let Some(exponent) = scale_exponent(b) else {
        let finite = b.iter().all(|v| v.to_f64().is_finite());
        stats.residual = if finite { 0.0 } else { f64::NAN };
        x.fill(T::zero());
        return Solution { value: x, status: if finite { Status::Converged } else { Status::NotFinite }, stats };
    };
    scaled_copy(b, -exponent, r);
    let b_norm = isa.dot(r, r).sqrt();
    if started {
        stats.products += start(a, *isa, x, r, &mut vectors[0]);
    }
    // The smallest true residual so far, to tell stagnation.
    let mut best = f64::INFINITY;
    let status = loop {
        let target = match until {
            Until::Iterations(_) => vanishing::<T>() * b_norm,
            Until::Tolerance { relative, .. } | Until::Recurrence { relative, .. } => {
                relative.max(vanishing::<T>()) * b_norm
            }
        };
        let (x, r) = (&mut x[..], &mut r[..]);
        let cap = until.cap();
        let run = Cycle { isa: *isa, x, r, vectors, scalars, target, cap, b_norm, stats: &mut stats };
        if let Some(status) = cycle(a, run) {
            break status;
        }
        let Until::Tolerance { relative, .. } = until else {
            let short = matches!(until, Until::Recurrence { relative, .. } if stats.residual > relative);
            break match stats.residual {
                r if r <= vanishing::<T>() => Status::Converged,
                _ if short => Status::Capped,
                _ => Status::Finished,
            };
        };
        // r ← b − A x
        let ax = &mut vectors[0];
        a.apply(x, ax);
        stats.products += 1;
        scaled_copy(b, -exponent, r);
        isa.add_scaled(T::lit(-1.0), ax, r);
        stats.residual = isa.dot(r, r).sqrt() / b_norm;
        if !stats.residual.is_finite() {
            break Status::NotFinite;
        }
        if stats.residual <= relative {
            break Status::Converged;
        }
        if stats.residual > 0.5 * best {
            break Status::Stagnated;
        }
        if stats.iterations == cap {
            break Status::Capped;
        }
        best = stats.residual;
    };
    rescale(x, exponent);
    Solution { value: x, status, stats }
}

/// The residual, relative to b, of a recurrence that has nothing left to add: ε³. Products of what it would go on with may
/// underflow, and a curvature that is 0 for that reason alone is none.
pub(super) fn vanishing<T: Element>() -> f64 {
    T::EPSILON.powi(3)
}

/// x ← c x, r ← r − c A x with the c that makes ‖r‖ least; the products it took. x ← 0 where there is no such c.
fn start<T: Element>(a: &mut dyn LinearOperator<T>, isa: Isa, x: &mut [T], r: &mut [T], ax: &mut [T]) -> usize {
    let Some(exponent) = scale_exponent(x) else {
        x.fill(T::zero());
        return 0;
    };
    rescale(x, -exponent);
    a.apply(x, ax);
    let c = isa.dot(ax, r) / isa.dot(ax, ax);
    if c.is_finite() {
        isa.scale(T::from_f64(c), x);
        isa.add_scaled(T::from_f64(-c), ax, r);
    } else {
        x.fill(T::zero());
    }
    1
}

/// The power of two next to the largest element; `None` where b is zero or not finite.
pub(crate) fn scale_exponent<T: Element>(b: &[T]) -> Option<i32> {
    let mut largest = 0.0_f64;
    for v in b {
        let size = v.to_f64().abs();
        if size.is_nan() {
            return None;
        }
        largest = largest.max(size);
    }
    exponent(largest)
}

/// k with 2ᵏ ≤ `largest` < 2ᵏ⁺¹; `None` where that is zero or not finite.
pub(super) fn exponent(largest: f64) -> Option<i32> {
    (largest > 0.0 && largest.is_finite()).then(|| largest.log2().floor() as i32)
}

/// 2ᵏ as two factors, since it need not be a number of the type itself; where it is one of every type, the second is 1.
pub(super) fn power_of_two<T: Element>(k: i32) -> [T; 2] {
    const SAFE: i32 = 100;
    let first = if k.abs() <= SAFE { k } else { k / 2 };
    [first, k - first].map(|k| T::from_f64(2.0_f64.powi(k)))
}

/// y ← 2ᵏ x, exact.
pub(super) fn scaled_copy<T: Element>(x: &[T], k: i32, y: &mut [T]) {
    y.copy_from_slice(x);
    rescale(y, k);
}

/// x ← 2ᵏ x, exact.
pub(crate) fn rescale<T: Element>(x: &mut [T], k: i32) {
    let [first, second] = power_of_two::<T>(k);
    for v in x {
        *v = *v * first * second;
    }
}
