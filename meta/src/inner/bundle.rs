//! Gradients from points near one point, and the shortest combination of them in one metric or another.

use autodiff::{Aligned, Element, Isa};

use super::Stationarity;
use super::krylov::{Krylov, Metric};
use super::min_norm::{MOST, Shortest, shortest};
use crate::linear::Room;

/// The fewest: φ's own, a combination, and a new one.
pub(super) const LEAST: usize = 3;

/// Gradients ∇G(φᵢ) with a bound on ‖φᵢ − φ‖ each, ascending in that; φ moves.
///
/// Where φ moves by d, every bound grows by ‖d‖: points are not kept. A [`Metric`] is one of M = Q(|T| + μI)⁻¹Qᵀ +
/// (I − QQᵀ)/(σ + μ); of a gradient it needs ZᵀQᵀg, some numbers.
pub(super) struct Bundle<'s, T> {
    isa: Isa,
    held: usize,
    gradients: &'s mut [Aligned<T>],
    /// ‖φᵢ − φ‖, or more.
    away: &'s mut [f64],
    /// Of the combination found last.
    weights: &'s mut [f64],
    /// GᵀG's rows, as long as there is room for gradients.
    gram: &'s mut [f64],
    /// GᵀMG's
    scaled: &'s mut [f64],
    /// ZᵀQᵀg, gradient after gradient.
    coordinates: &'s mut [f64],
    work: &'s mut [f64],
}

impl<'s, T: Element> Bundle<'s, T> {
    /// For so many gradients and Krylov spaces of at most so many dimensions.
    pub fn room(gradients: usize, dimensions: usize) -> Room {
        Room { vectors: gradients, scalars: gradients * (3 * gradients + 3 + dimensions) }
    }

    /// None yet, in the room asked for.
    ///
    /// # Panics
    /// Where there is room for fewer than [`LEAST`] or more than [`MOST`].
    pub fn new(isa: Isa, gradients: &'s mut [Aligned<T>], scalars: &'s mut [f64]) -> Self {
        let most = gradients.len();
        assert!((LEAST..=MOST).contains(&most), "a bundle of {most} gradients: {LEAST} to {MOST} can be kept");
        let (away, rest) = scalars.split_at_mut(most);
        let (weights, rest) = rest.split_at_mut(most);
        let (gram, rest) = rest.split_at_mut(most * most);
        let (scaled, rest) = rest.split_at_mut(most * most);
        let (work, coordinates) = rest.split_at_mut(most * (most + 1));
        Bundle { isa, held: 0, gradients, away, weights, gram, scaled, coordinates, work }
    }

    /// Numbers of a gradient in a metric.
    fn stride(&self) -> usize {
        self.coordinates.len() / self.gradients.len()
    }

    /// Enters the gradient at a point that far away. In a full bundle it takes the place of the farthest of those that the
    /// combination found last has no part of. Where that is made of all of them, the two with the least part in it become
    /// one, their mean by weight: so it can still be made (Kiwiel 1985), and combined with the new one it becomes shorter.
    ///
    /// The first, which is φ's own, stays.
    pub fn push(&mut self, krylov: &mut Krylov<'_, T>, gradient: &[T], away: f64) {
        let mut i = self.held;
        if i < self.gradients.len() {
            self.held += 1;
        } else if let Some(idle) = self.weights.iter().skip(1).rposition(|&w| w == 0.0) {
            i = 1 + idle;
        } else {
            i = self.merge(krylov);
        }
        self.gradients[i].copy_from_slice(gradient);
        (self.away[i], self.weights[i]) = (away, 0.0);
        self.relate(krylov, i);
        while i > 0 && self.away[i] < self.away[i - 1] {
            self.swap(i);
            i -= 1;
        }
        while i + 1 < self.held && self.away[i + 1] < self.away[i] {
            self.swap(i + 1);
            i += 1;
        }
    }

    /// Makes the two of the least weight, the first aside, one; whose place is free.
    fn merge(&mut self, krylov: &mut Krylov<'_, T>) -> usize {
        let (mut least, mut next) = (1, 2);
        for i in 2..self.held {
            if self.weights[i] < self.weights[least] {
                (least, next) = (i, least);
            } else if i > 2 && self.weights[i] < self.weights[next] {
                next = i;
            }
        }
        let (near, far) = (least.min(next), least.max(next));
        let sum = self.weights[near] + self.weights[far];
        let (nearer, farther) = self.gradients.split_at_mut(far);
        self.isa.scale(T::from_f64(self.weights[far] / sum), &mut farther[0]);
        self.isa.add_scaled(T::from_f64(self.weights[near] / sum), &nearer[near], &mut farther[0]);
        self.weights[far] = sum;
        self.relate(krylov, far);
        near
    }

    /// Enters the products of gradient i.
    fn relate(&mut self, krylov: &mut Krylov<'_, T>, i: usize) {
        let most = self.gradients.len();
        for j in 0..self.held {
            let dot = self.isa.dot(&self.gradients[i], &self.gradients[j]);
            (self.gram[i * most + j], self.gram[j * most + i]) = (dot, dot);
        }
        self.locate(krylov, i);
    }

    /// Exchanges number i with the one before it.
    fn swap(&mut self, i: usize) {
        let (most, stride) = (self.gradients.len(), self.stride());
        self.gradients.swap(i, i - 1);
        self.away.swap(i, i - 1);
        self.weights.swap(i, i - 1);
        (0..most).for_each(|k| self.gram.swap(i * most + k, (i - 1) * most + k));
        (0..most).for_each(|k| self.gram.swap(k * most + i, k * most + i - 1));
        (0..stride).for_each(|k| self.coordinates.swap(i * stride + k, (i - 1) * stride + k));
    }

    fn locate(&mut self, krylov: &mut Krylov<'_, T>, i: usize) {
        let stride = self.stride();
        krylov.coordinates_of(&self.gradients[i], &mut self.coordinates[i * stride..(i + 1) * stride]);
    }

    /// Metrics are on this space from now on.
    pub fn measure_on(&mut self, krylov: &mut Krylov<'_, T>) {
        (0..self.held).for_each(|i| self.locate(krylov, i));
    }

    /// φ has moved that far.
    pub fn moved(&mut self, by: f64) {
        self.away[..self.held].iter_mut().for_each(|a| *a += by);
    }

    /// Finds the shortest combination of the gradients from within a radius.
    pub fn shortest(&mut self, radius: f64) -> Stationarity {
        let n = self.within(radius);
        let found = shortest(self.gram, self.gradients.len(), &mut self.weights[..n], self.work);
        let farthest = self.weights.iter().rposition(|&w| w > 0.0).map_or(0.0, |i| self.away[i]);
        Stationarity { norm: found.square.sqrt(), radius: farthest }
    }

    /// Finds the combination v of those with the least vᵀMv.
    pub fn shortest_in(&mut self, metric: &Metric<'_>, radius: f64) -> Shortest {
        let (n, most, stride) = (self.within(radius), self.gradients.len(), self.stride());
        let coordinates = |i: usize| &self.coordinates[i * stride..(i + 1) * stride];
        for i in 0..n {
            for j in 0..=i {
                let product = metric.product(coordinates(i), coordinates(j), self.gram[i * most + j]);
                (self.scaled[i * most + j], self.scaled[j * most + i]) = (product, product);
            }
        }
        shortest(self.scaled, most, &mut self.weights[..n], self.work)
    }

    /// How many are from within a radius; the others get no weight.
    fn within(&mut self, radius: f64) -> usize {
        self.weights.fill(0.0);
        self.away[..self.held].partition_point(|&away| away <= radius)
    }

    /// v ← the combination found last.
    pub fn combine(&self, v: &mut [T]) {
        v.fill(T::zero());
        for (&w, g) in self.weights.iter().zip(&*self.gradients).filter(|(w, _)| **w > 0.0) {
            self.isa.add_scaled(T::from_f64(w), g, v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle and no Krylov space, so that M is I/(σ + μ).
    fn with<R>(most: usize, f: impl FnOnce(&mut Bundle<'_, f64>, &mut Krylov<'_, f64>) -> R) -> R {
        let isa = Isa::detect().unwrap();
        let (room, space) = (Bundle::<f64>::room(most, 1), Krylov::<f64>::room(1));
        let mut vectors = vec![Aligned::zeroed(4); room.vectors + space.vectors];
        let (mut scalars, mut own) = (vec![0.0; space.scalars], vec![0.0; room.scalars]);
        let (basis, gradients) = vectors.split_at_mut(space.vectors);
        let mut krylov = Krylov::new(isa, 1, basis, &mut scalars);
        f(&mut Bundle::new(isa, gradients, &mut own), &mut krylov)
    }

    fn unit(i: usize, length: f64) -> [f64; 4] {
        std::array::from_fn(|j| if i == j { length } else { 0.0 })
    }

    #[test]
    fn combinations_are_of_what_is_within_and_moves_count() {
        with(5, |bundle, krylov| {
            for (i, away) in [(0, 0.0), (1, 3.0), (2, 1.0), (3, 2.0)] {
                bundle.push(krylov, &unit(i, 1.0), away);
            }
            // Of n orthogonal ones of length 1, 1/√n.
            for (radius, n) in [(0.0, 1.0_f64), (1.5, 2.0), (2.0, 3.0), (5.0, 4.0)] {
                let found = bundle.shortest(radius);
                assert!((found.norm - n.sqrt().recip()).abs() <= 1e-15, "{radius} {found:?}");
                assert_eq!(found.radius, n - 1.0);
            }
            bundle.moved(0.5);
            assert_eq!(bundle.shortest(3.4).radius, 2.5);
            // What is not in the combination is not what its radius is of.
            bundle.push(krylov, &unit(0, -9.0), 9.0);
            bundle.push(krylov, &unit(0, 50.0), 0.0);
            assert_eq!(bundle.shortest(0.2).norm, 50.0);
            // In another metric it is the same but for the factor.
            let norm = bundle.shortest(3.0).norm;
            let scaled = bundle.shortest_in(&krylov.metric(0.3, 0.2), 3.0).square;
            assert!((scaled - norm * norm / 0.5).abs() <= 1e-14, "{scaled} {norm}");
        });
    }

    #[test]
    fn what_a_full_bundle_combines_to_outlives_what_it_was_made_of() {
        with(4, |bundle, krylov| {
            let combined = |bundle: &Bundle<'_, f64>| {
                let mut v = [0.0; 4];
                bundle.combine(&mut v);
                v
            };
            for i in 0..4 {
                bundle.push(krylov, &unit(i, 1.0 + i as f64), i as f64);
            }
            let before = bundle.shortest(9.0);
            let v = combined(bundle);
            assert!(v.iter().all(|&v| v > 0.0));
            // All have a part in v. A long gradient changes nothing, though there is no room for it: v stays.
            bundle.push(krylov, &unit(0, 100.0), 0.5);
            let after = bundle.shortest(9.0);
            // Its square, 1e4, is what products are rounded by.
            assert!((after.norm - before.norm).abs() <= 1e-11 && after.radius == before.radius, "{before:?} {after:?}");
            combined(bundle).iter().zip(v).for_each(|(a, b)| assert!((a - b).abs() <= 1e-11, "{a} {b}"));
            // That one goes first, having no part; one against v makes it shorter.
            bundle.push(krylov, &v.map(|v| -v), 0.25);
            let last = bundle.shortest(9.0);
            assert!(last.norm <= 1e-6, "{last:?}: v and −v are there, and √(1e4 ε) is 0");
            // φ's own gradient is still itself.
            assert_eq!(bundle.shortest(0.1), Stationarity { norm: 1.0, radius: 0.0 });
        });
    }

    #[test]
    fn metrics_are_those_of_the_matrix() {
        // Q = (e₁, e₂) and Z = I: M = diag(1/(|w₁| + μ), 1/(|w₂| + μ), 1/(σ + μ), …).
        let metric = Metric { values: &[3.0, -0.5], mu: 0.25, sigma: 2.0 };
        let (a, b) = ([1.0, 2.0, 3.0, -4.0], [0.5, -1.0, 2.0, 1.0]);
        let dot = a.iter().zip(b).map(|(a, b)| a * b).sum();
        let expected = 0.5 / 3.25 - 2.0 / 0.75 + 6.0 / 2.25 - 4.0 / 2.25;
        assert!((metric.product(&a[..2], &b[..2], dot) - expected).abs() <= 1e-15);
    }
}
