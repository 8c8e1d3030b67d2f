//! Tasks that one thread takes together, and the sum of their gradients.

use std::sync::{Mutex, RwLock, RwLockReadGuard, TryLockError};

use autodiff::{Aligned, Element, Isa};

use crate::method::Report;

/// Tasks that one thread takes together.
pub(super) struct Group<T> {
    /// One behind the other.
    pub gradients: Aligned<T>,
    pub tasks: Vec<Task>,
    /// How many of them have been taken, all at once.
    pub taken: usize,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Task {
    pub report: Report,
    /// ‖g‖², where all is finite.
    pub square: Option<f64>,
}

impl<T: Element> Group<T> {
    /// For so many tasks, none of them taken.
    pub fn new(tasks: usize, dim: usize) -> Self {
        Group { gradients: Aligned::zeroed(tasks * dim), tasks: vec![Task::default(); tasks], taken: 0 }
    }

    /// Gradients that are finite, of tasks that have been taken.
    pub fn kept(&self) -> impl Iterator<Item = &[T]> {
        let dim = self.gradients.len() / self.tasks.len();
        let tasks = self.tasks.iter().zip(self.gradients.chunks_exact(dim)).take(self.taken);
        tasks.filter(|(task, _)| task.square.is_some()).map(|(_, gradient)| gradient)
    }
}

/// A sum of gradients in the order of tasks, whoever comes when.
///
/// Who has taken a group adds what is done and comes next, which is likely its own: still in its cache, while others are at
/// work. After the last there is little to add.
pub(super) struct InOrder<'g, T> {
    isa: Isa,
    /// The group that comes next, and the sum of those before.
    sum: Mutex<(usize, &'g mut [T])>,
}

impl<'g, T: Element> InOrder<'g, T> {
    /// Added to what `sum` holds.
    pub fn new(isa: Isa, sum: &'g mut [T]) -> Self {
        InOrder { isa, sum: Mutex::new((0, sum)) }
    }

    /// Adds the groups that come next and are done, unless another thread is at it. Groups that are done while it is are added
    /// by it, or later.
    pub fn add_what_is_done(&self, groups: &[RwLock<Group<T>>]) {
        let Ok(mut sum) = self.sum.try_lock() else { return };
        let (next, sum) = &mut *sum;
        while let Some(group) = groups.get(*next).and_then(if_done) {
            group.kept().for_each(|gradient| self.isa.add_scaled(T::one(), gradient, sum));
            *next += 1;
        }
    }
}

/// A group that has been taken and no thread is at. What a panic left in it has been overwritten since.
fn if_done<T>(group: &RwLock<Group<T>>) -> Option<RwLockReadGuard<'_, Group<T>>> {
    let group = match group.try_read() {
        Ok(group) => group,
        Err(TryLockError::Poisoned(group)) => group.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    (group.taken > 0).then_some(group)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::PoisonError;

    use super::*;

    #[test]
    fn groups_are_added_in_order_whenever_they_are_done() {
        let isa = Isa::detect().expect("an instruction set");
        let groups: Vec<RwLock<Group<f32>>> = [2, 2, 1].map(|tasks| RwLock::new(Group::new(tasks, 1))).into();
        let done = |number: usize, gradients: &[f32]| {
            let mut group = groups[number].write().unwrap_or_else(PoisonError::into_inner);
            group.gradients.copy_from_slice(gradients);
            group.taken = gradients.len();
            group
                .tasks
                .iter_mut()
                .zip(gradients)
                .for_each(|(task, g)| task.square = Some(*g).filter(|g| g.is_finite()).map(f64::from));
        };
        let mut total = [0.0];
        let sum = InOrder::new(isa, &mut total);
        let so_far = || sum.sum.lock().expect("no one has panicked").1[0];
        done(1, &[f32::NAN, -1e8]);
        sum.add_what_is_done(&groups);
        assert_eq!(so_far(), 0.0);
        done(0, &[1e8, 1.0]);
        let at_work = groups[1].write().expect("no one has panicked");
        sum.add_what_is_done(&groups);
        assert_eq!(so_far(), 1e8 + 1.0);
        drop(at_work);
        // Whoever was at it before has panicked.
        let at_work = AssertUnwindSafe(|| {
            let _group = groups[2].write();
            panic!("on purpose, at group 2");
        });
        assert!(catch_unwind(at_work).is_err() && groups[2].is_poisoned());
        sum.add_what_is_done(&groups);
        assert_eq!(so_far(), (1e8 + 1.0) - 1e8);
        done(2, &[3.0]);
        sum.add_what_is_done(&groups);
        sum.add_what_is_done(&groups);
        // In another order 4 would be left.
        assert_eq!(total, [(1e8_f32 + 1.0) - 1e8 + 3.0]);
    }
}
