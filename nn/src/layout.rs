//! Where each parameter lives in the flat vector, and how files order it.

use autodiff::{Element, Var};

use crate::init::Init;

/// Views start on 64-byte boundaries of an `f32` vector; what lies between is zero and stays so.
const ALIGN: usize = 16;

/// How a parameter is drawn at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    /// A weight with these fans.
    Weight { fan_in: usize, fan_out: usize },
    /// A bias of a weight with this fan-in.
    Bias { fan_in: usize },
    /// All the same.
    Constant(f64),
}

/// One named parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    name: String,
    offset: usize,
    /// Shape in memory: axis i is axis `from_file[i]` of `file_axes`.
    shape: Vec<usize>,
    from_file: Vec<usize>,
    file_axes: Vec<usize>,
    file_shape: Vec<usize>,
    pub(crate) fill: Fill,
}

impl Entry {
    /// Its name in a PyTorch `state_dict`, such as `conv1.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layer it belongs to: its name up to the last dot, such as `conv1`.
    pub fn layer(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(layer, _)| layer)
    }

    /// The number that every element of it starts at, where none is drawn.
    pub fn constant(&self) -> Option<f64> {
        match self.fill {
            Fill::Constant(value) => Some(value),
            Fill::Weight { .. } | Fill::Bias { .. } => None,
        }
    }

    /// Its shape in files.
    pub fn file_shape(&self) -> &[usize] {
        &self.file_shape
    }

    /// Its shape in memory.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Where it lies in the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }

    /// Calls `f(memory index, file index)` for each element, in memory order.
    fn pairs(&self, mut f: impl FnMut(usize, usize)) {
        let mut strides = vec![1; self.file_axes.len()];
        for i in (1..strides.len()).rev() {
            strides[i - 1] = strides[i] * self.file_axes[i];
        }
        for (i, index) in self.range().enumerate() {
            let (mut rest, mut at) = (i, 0);
            for (axis, &extent) in self.shape.iter().enumerate().rev() {
                at += rest % extent * strides[self.from_file[axis]];
                rest /= extent;
            }
            f(index, at);
        }
    }
}

/// Names, places and file shapes of all parameters of a model.
///
/// The flat vector holds them in *memory order*: weights as [in, out] and HWIO, a fully connected layer
/// behind a flatten with its rows in (height, width, channel) order. Files hold PyTorch's order; the two
/// meet in [`to_file`](Layout::to_file) and [`from_file`](Layout::from_file) only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    entries: Vec<Entry>,
    len: usize,
}

impl Layout {
    /// Elements of the flat vector, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of parameters, padding excluded.
    pub fn parameter_count(&self) -> usize {
        self.entries.iter().map(|e| e.range().len()).sum()
    }

    /// Whether each element of the flat vector is a parameter's, and not padding.
    pub fn is_parameter(&self) -> Vec<bool> {
        let mut is_parameter = vec![false; self.len];
        self.entries.iter().for_each(|e| is_parameter[e.range()].fill(true));
        is_parameter
    }

    /// The parameters, in the order of their layers.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a parameter whose memory axis i is axis `from_file[i]` of `file_axes`, a finer division of the
    /// axes of `file_shape`.
    pub(crate) fn add(
        &mut self,
        name: String,
        file_shape: &[usize],
        file_axes: &[usize],
        from_file: &[usize],
        fill: Fill,
    ) -> usize {
        let entry = Entry {
            name,
            offset: self.len,
            shape: from_file.iter().map(|&axis| file_axes[axis]).collect(),
            from_file: from_file.into(),
            file_axes: file_axes.into(),
            file_shape: file_shape.into(),
            fill,
        };
        self.len = entry.range().end.next_multiple_of(ALIGN);
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// Adds a vector, the same in memory and files.
    pub(crate) fn add_vector(&mut self, name: String, len: usize, fill: Fill) -> usize {
        self.add(name, &[len], &[len], &[0], fill)
    }

    /// Adds one number that starts at `start`; its index among the entries.
    ///
    /// A layout can be made longer than its model's, for what is learned beside the model's parameters: theirs stay
    /// where they are.
    pub fn add_number(&mut self, name: String, start: f64) -> usize {
        self.add_vector(name, 1, Fill::Constant(start))
    }

    /// Adds a number for each element of `like`, of its shape, in memory and in files.
    pub fn add_like(&mut self, name: String, like: &Entry, start: f64) -> usize {
        self.add(name, &like.file_shape, &like.file_axes, &like.from_file, Fill::Constant(start))
    }

    /// The view of parameter number `index` of the recorded flat vector.
    pub(crate) fn view<'t>(&self, parameters: Var<'t>, index: usize) -> Var<'t> {
        let entry = &self.entries[index];
        let range = entry.range();
        parameters.slice(&[range.start], &[range.end]).reshape(&entry.shape[..])
    }

    /// Initial parameters; `uniform` draws from [0, 1). Padding is 0.
    pub fn init<T: Element>(&self, scheme: Init, uniform: &mut dyn FnMut() -> f64) -> Vec<T> {
        let mut parameters = vec![T::zero(); self.len];
        for entry in &self.entries {
            let bound = match entry.fill {
                Fill::Weight { fan_in, fan_out } => scheme.weight_bound(fan_in, fan_out),
                Fill::Bias { fan_in } => scheme.bias_bound(fan_in),
                Fill::Constant(value) => {
                    parameters[entry.range()].fill(T::from_f64(value));
                    continue;
                }
            };
            // Drawn in file order, so that the draws do not depend on how memory is laid out.
            let drawn: Vec<T> = entry
                .range()
                .map(|_| T::from_f64(if bound == 0.0 { 0.0 } else { bound * (2.0 * uniform() - 1.0) }))
                .collect();
            self.from_file(entry, &drawn, &mut parameters);
        }
        parameters
    }

    /// Reads one parameter, given in file order, into its place.
    ///
    /// # Panics
    /// Where lengths differ from the declared ones.
    #[track_caller]
    pub fn from_file<T: Element>(&self, entry: &Entry, file: &[T], parameters: &mut [T]) {
        assert_eq!(parameters.len(), self.len, "from_file: the flat vector has another length than its layout");
        assert_eq!(file.len(), entry.range().len(), "from_file: {} has another length", entry.name);
        entry.pairs(|memory, at| parameters[memory] = file[at]);
    }

    /// One parameter in file order.
    ///
    /// # Panics
    /// Where the flat vector has another length than the layout.
    #[track_caller]
    pub fn to_file<T: Element>(&self, entry: &Entry, parameters: &[T]) -> Vec<T> {
        assert_eq!(parameters.len(), self.len, "to_file: the flat vector has another length than its layout");
        let mut file = vec![T::zero(); entry.range().len()];
        entry.pairs(|memory, at| file[at] = parameters[memory]);
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_order_and_memory_order_are_inverses() {
        let mut layout = Layout::default();
        let none = Fill::Constant(0.0);
        layout.add("conv.weight".into(), &[4, 3, 2, 2], &[4, 3, 2, 2], &[2, 3, 1, 0], none);
        layout.add("fc.weight".into(), &[5, 12], &[5, 3, 2, 2], &[2, 3, 1, 0], none);
        layout.add_vector("fc.bias".into(), 5, none);
        assert_eq!(layout.len() % ALIGN, 0);
        for entry in layout.entries() {
            let file: Vec<f64> = (0..entry.range().len()).map(|i| i as f64 + 1.0).collect();
            let mut parameters = vec![0.0; layout.len()];
            layout.from_file(entry, &file, &mut parameters);
            assert_eq!(layout.to_file(entry, &parameters), file);
        }
        // conv.weight[o, i, h, w] lies at [h, w, i, o].
        let entry = &layout.entries()[0];
        let mut file = vec![0.0; 48];
        file[(((2 * 3) + 1) * 2) * 2 + 1] = 7.0; // o = 2, i = 1, h = 0, w = 1
        let mut parameters = vec![0.0; layout.len()];
        layout.from_file(entry, &file, &mut parameters);
        assert_eq!(parameters[(3 + 1) * 4 + 2], 7.0);
    }

    #[test]
    fn what_is_added_lies_behind_and_in_the_order_of_what_it_goes_with() {
        let mut layout = Layout::default();
        layout.add("conv1.weight".into(), &[4, 3, 2, 2], &[4, 3, 2, 2], &[2, 3, 1, 0], Fill::Bias { fan_in: 3 });
        let before = layout.clone();
        let conv = layout.entries()[0].clone();
        assert_eq!((conv.layer(), conv.constant()), ("conv1", None));
        let number = layout.add_number("rate".into(), 1.0);
        let like = layout.add_like("rate.conv1.weight".into(), &conv, 1.0);
        assert_eq!(layout.entries()[0], before.entries()[0]);
        let (number, like) = (&layout.entries()[number], &layout.entries()[like]);
        assert_eq!(
            (number.range(), number.layer(), number.constant()),
            (before.len()..before.len() + 1, "rate", Some(1.0))
        );
        assert_eq!((like.shape(), like.file_shape()), (conv.shape(), conv.file_shape()));
        // The same element of both, in memory and in files.
        let file: Vec<f64> = (0..48).map(f64::from).collect();
        let mut flat = vec![0.0; layout.len()];
        layout.from_file(&conv, &file, &mut flat);
        layout.from_file(like, &file, &mut flat);
        assert_eq!(flat[conv.range()], flat[like.range()]);
    }
}
