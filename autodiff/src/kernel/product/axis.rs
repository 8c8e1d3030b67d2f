//! One axis of a convolution: which taps of the kernel are inside the image, and for which positions.
//!
//! Output position o and tap k meet at input position `i = o·stride + k − pad`, if `0 ≤ i < input`. Positions
//! that meet the same taps form a class: inside a class no tap is ever in the padding, so that the kernels
//! need no test and no multiply by zero.

/// Sizes of a convolution along height or width.
#[derive(Clone, Copy, Debug)]
pub struct ConvAxis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad: usize,
}

/// A tap, and the position that it reads for the first target of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    pub tap: usize,
    pub source: usize,
}

/// Targets `first + t·target_step`, `t < count`, all with the same taps; tap j reads `taps[j].source +
/// t·source_step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub first: usize,
    pub count: usize,
    pub target_step: usize,
    pub source_step: usize,
    pub taps: Vec<Tap>,
}

impl ConvAxis {
    fn input_of(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap).checked_sub(self.pad).filter(|&i| i < self.input)
    }

    fn output_of(&self, input: usize, tap: usize) -> Option<usize> {
        let shifted = (input + self.pad).checked_sub(tap)?;
        (shifted % self.stride == 0).then_some(shifted / self.stride).filter(|&o| o < self.output)
    }

    /// Output positions by the taps that read the input.
    pub fn outputs(&self) -> Vec<Class> {
        classes(self.output, 1, self.stride, |o| self.taps(|tap| self.input_of(o, tap)))
    }

    /// Input positions by the taps through which an output read them: one class at least for each residue
    /// modulo the stride, since those have different taps.
    pub fn inputs(&self) -> Vec<Class> {
        classes(self.input, self.stride, 1, |i| self.taps(|tap| self.output_of(i, tap)))
    }

    /// The outputs `first..first + count` for which `tap` is inside the input.
    pub fn outputs_of(&self, tap: usize) -> (usize, usize) {
        let inside = || (0..self.output).filter(|&o| self.input_of(o, tap).is_some());
        (inside().next().unwrap_or(0), inside().count())
    }

    fn taps(&self, source: impl Fn(usize) -> Option<usize>) -> Vec<Tap> {
        (0..self.kernel).filter_map(|tap| source(tap).map(|source| Tap { tap, source })).collect()
    }
}

fn classes(targets: usize, target_step: usize, source_step: usize, taps_of: impl Fn(usize) -> Vec<Tap>) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    for residue in 0..target_step.min(targets) {
        let mut open = false;
        for target in (residue..targets).step_by(target_step) {
            let taps = taps_of(target);
            match classes.last_mut() {
                Some(class) if open && same_taps(&class.taps, &taps) => class.count += 1,
                _ => classes.push(Class { first: target, count: 1, target_step, source_step, taps }),
            }
            open = true;
        }
    }
    classes
}

fn same_taps(a: &[Tap], b: &[Tap]) -> bool {
    a.iter().map(|t| t.tap).eq(b.iter().map(|t| t.tap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meeting_of_output_and_tap_is_in_one_class_of_each_side() {
        for (input, output, kernel, stride, pad) in
            [(14, 7, 3, 2, 1), (7, 4, 3, 2, 1), (4, 2, 3, 2, 1), (5, 5, 3, 1, 1), (2, 6, 5, 1, 4), (9, 2, 2, 5, 0)]
        {
            let axis = ConvAxis { input, output, kernel, stride, pad };
            let mut meetings = Vec::new();
            for o in 0..output {
                for tap in 0..kernel {
                    meetings.extend(axis.input_of(o, tap).map(|i| (o, tap, i)));
                }
            }
            let pairs = |classes: Vec<Class>| {
                let mut pairs = Vec::new();
                for class in classes {
                    for t in 0..class.count {
                        for tap in &class.taps {
                            let target = class.first + t * class.target_step;
                            pairs.push((target, tap.tap, tap.source + t * class.source_step));
                        }
                    }
                }
                pairs
            };
            let mut outputs = pairs(axis.outputs());
            outputs.sort_unstable();
            assert_eq!(outputs, meetings, "{axis:?}");
            let mut inputs: Vec<_> = pairs(axis.inputs()).into_iter().map(|(i, tap, o)| (o, tap, i)).collect();
            inputs.sort_unstable();
            assert_eq!(inputs, meetings, "{axis:?}");
            for tap in 0..kernel {
                let of_tap: Vec<_> = meetings.iter().filter(|m| m.1 == tap).map(|m| m.0).collect();
                let (first, count) = axis.outputs_of(tap);
                assert_eq!(of_tap, (first..first + count).collect::<Vec<_>>(), "{axis:?}");
            }
        }
    }
}
