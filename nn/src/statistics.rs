//! Which mean and variance batch normalisation uses.

use autodiff::Var;

/// The mean and the biased variance of each channel.
#[derive(Clone, Copy, Debug)]
pub struct Moments<'t> {
    /// Σ x / n
    pub mean: Var<'t>,
    /// Σ (x − mean)² / n
    pub variance: Var<'t>,
}

/// Where batch normalisation takes its [`Moments`] from, layer by layer.
#[derive(Clone, Copy, Debug)]
pub enum Statistics<'a, 't> {
    /// From the batch itself (transductive for a query set). Differentiated through.
    Batch,
    /// Given: the support set's (inductive; functions of φ, differentiated through) or running averages
    /// (inputs, constant). One per normalisation layer.
    Given(&'a [Moments<'t>]),
}

/// Running averages of the moments of one layer: a buffer, never differentiated.
///
/// As in PyTorch, the running variance averages the *unbiased* variance while normalisation uses the
/// biased one. Update once per outer step, in task order.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// running_mean
    pub mean: Vec<f64>,
    /// running_var
    pub variance: Vec<f64>,
    /// PyTorch's default is 0.1.
    pub momentum: f64,
}

impl RunningStatistics {
    /// Mean 0, variance 1.
    pub fn new(channels: usize, momentum: f64) -> Self {
        RunningStatistics { mean: vec![0.0; channels], variance: vec![1.0; channels], momentum }
    }

    /// running ← (1 − m) running + m batch, from the batch's mean and biased variance over `count` values.
    ///
    /// # Panics
    /// Where the lengths differ, or `count` is less than 2: one value has no unbiased variance.
    #[track_caller]
    pub fn update(&mut self, mean: &[f64], biased_variance: &[f64], count: usize) {
        assert_eq!((mean.len(), biased_variance.len()), (self.mean.len(), self.mean.len()), "update: channels");
        assert!(count > 1, "update: the unbiased variance of {count} values does not exist");
        let (m, unbias) = (self.momentum, count as f64 / (count - 1) as f64);
        for (running, &batch) in self.mean.iter_mut().zip(mean) {
            *running = (1.0 - m) * *running + m * batch;
        }
        for (running, &batch) in self.variance.iter_mut().zip(biased_variance) {
            *running = (1.0 - m) * *running + m * batch * unbias;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_variance_is_unbiased_as_in_pytorch() {
        // torch.nn.BatchNorm1d(1) in training mode on [[1.], [3.]]: running_mean 0.2, running_var 1.1.
        let mut running = RunningStatistics::new(1, 0.1);
        running.update(&[2.0], &[1.0], 2);
        assert!((running.mean[0] - 0.2).abs() < 1e-15 && (running.variance[0] - 1.1).abs() < 1e-15);
    }
}
