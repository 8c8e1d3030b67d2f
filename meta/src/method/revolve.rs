//! Binomial checkpointing (Griewank & Walther 2000, algorithm 799: *revolve*).
//!
//! To run n steps backwards with room for c states, the best any schedule can do is to run each step at most r
//! times forward, r the smallest with C(c + r, c) ≥ n.

/// C(c + r, c), saturating.
fn reach(c: usize, r: usize) -> usize {
    let (few, many) = (c.min(r), c.max(r));
    (1..=few).fold(1_usize, |product, i| match product.checked_mul(many + i) {
        Some(product) => product / i,
        None => usize::MAX / 2,
    })
}

/// What to do next while running backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Load the state at `step` from `slot`.
    Restore {
        /// Which checkpoint.
        slot: usize,
        /// The step whose state it holds.
        step: usize,
    },
    /// Run forward from step `from` up to the state at `to`.
    Advance {
        /// The step of the present state.
        from: usize,
        /// The step to reach.
        to: usize,
    },
    /// Store the present state, at `step`, in `slot`.
    Store {
        /// Which checkpoint.
        slot: usize,
        /// The step whose state it is.
        step: usize,
    },
    /// Run the step from the present state once more, keeping what its pullback needs, and pull back.
    Reverse {
        /// The step.
        step: usize,
    },
}

/// Steps `from..to` to be reversed. The state at `from` is in `slot`, and present but where it has to be restored; `free`
/// slots above that are unused.
struct Part {
    from: usize,
    to: usize,
    slot: usize,
    free: usize,
    restores: bool,
}

/// The actions that reverse `steps` steps with `checkpoints` stored states, the one at step 0 included.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// In order.
    pub actions: Vec<Action>,
}

impl Schedule {
    /// Plans the reversal. It begins with the state at step 0 present.
    ///
    /// # Panics
    /// Where there are steps and no checkpoint.
    pub fn new(steps: usize, checkpoints: usize) -> Self {
        assert!(steps == 0 || checkpoints > 0, "reversing takes at least one checkpoint, for the state at step 0");
        let mut schedule = Schedule { actions: Vec::new() };
        if steps == 0 {
            return schedule;
        }
        schedule.actions.push(Action::Store { slot: 0, step: 0 });
        // What is to be reversed, the next last: no recursion, which would go as deep as there are checkpoints.
        let mut parts = vec![Part { from: 0, to: steps, slot: 0, free: checkpoints - 1, restores: false }];
        while let Some(part) = parts.pop() {
            schedule.reverse(part, &mut parts);
        }
        schedule
    }

    /// Reverses a part, or begins it and leaves the rest on top of `parts`.
    fn reverse(&mut self, part: Part, parts: &mut Vec<Part>) {
        let Part { from, to, slot, free, restores } = part;
        if restores {
            self.actions.push(Action::Restore { slot, step: from });
        }
        if to - from == 1 {
            self.actions.push(Action::Reverse { step: from });
            return;
        }
        if free == 0 {
            for step in (from..to).rev() {
                if step + 1 < to {
                    self.actions.push(Action::Restore { slot, step: from });
                }
                if step > from {
                    self.actions.push(Action::Advance { from, to: step });
                }
                self.actions.push(Action::Reverse { step });
            }
            return;
        }
        // The right part gets one slot fewer and the same number of repetitions, the left part one repetition
        // fewer and the same slots (its own among them).
        let n = to - from;
        let slots = free + 1;
        let r = (0..).find(|&r| reach(slots, r) >= n).expect("reach grows without bound");
        let middle = from + (n.saturating_sub(reach(slots - 1, r))).clamp(1, n - 1);
        self.actions.push(Action::Advance { from, to: middle });
        self.actions.push(Action::Store { slot: slot + 1, step: middle });
        parts.push(Part { from, to: middle, slot, free, restores: true });
        parts.push(Part { from: middle, to, slot: slot + 1, free: free - 1, restores: false });
    }

    /// How often each step is run forward, the run that pulls back included.
    pub fn runs(&self, steps: usize) -> Vec<usize> {
        let mut runs = vec![0; steps];
        for action in &self.actions {
            match *action {
                Action::Advance { from, to } => runs[from..to].iter_mut().for_each(|r| *r += 1),
                Action::Reverse { step } => runs[step] += 1,
                _ => {}
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_reverses_every_step_once_from_the_right_state() {
        for steps in 0..40 {
            for checkpoints in 1..8 {
                let mut slots = vec![None; checkpoints];
                let mut present = 0;
                let mut reversed = Vec::new();
                for action in Schedule::new(steps, checkpoints).actions {
                    match action {
                        Action::Restore { slot, step } => {
                            assert_eq!(slots[slot], Some(step));
                            present = step;
                        }
                        Action::Advance { from, to } => {
                            assert!(present == from && from < to);
                            present = to;
                        }
                        Action::Store { slot, step } => {
                            assert_eq!(present, step);
                            slots[slot] = Some(step);
                        }
                        Action::Reverse { step } => {
                            assert_eq!(present, step);
                            reversed.push(step);
                        }
                    }
                }
                assert!(reversed.iter().copied().eq((0..steps).rev()), "{steps} steps, {checkpoints} checkpoints");
            }
        }
    }

    #[test]
    fn as_many_checkpoints_as_steps_are_no_deep_recursion() {
        let actions = Schedule::new(200_000, 200_000).actions;
        // Each step forward and back once, and each state but the first stored and restored.
        assert_eq!(actions.iter().filter(|a| matches!(a, Action::Reverse { .. })).count(), 200_000);
        assert!(actions.len() < 5 * 200_000);
    }

    #[test]
    fn a_thousand_steps_in_ten_checkpoints_run_each_step_at_most_five_times() {
        // C(14, 10) = 1001 ≥ 1000: four repetitions beyond the run that pulls back.
        let most = Schedule::new(1000, 10).runs(1000).into_iter().max().unwrap();
        assert!(most <= 5, "{most}");
    }
}
