//! A thread's memory for a solver.

use autodiff::{Aligned, Element, Isa};

use super::operator::clear_others;

/// What a solver needs beside the answer and the residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Vectors of the operator's dimension.
    pub vectors: usize,
    /// Numbers in `f64`.
    pub scalars: usize,
}

/// What is in a [`SolverSpace`].
#[derive(Debug)]
pub struct Parts<'s, T> {
    /// The answer.
    pub x: &'s mut [T],
    /// The residual.
    pub r: &'s mut [T],
    /// As many as the [`Room`] said.
    pub vectors: &'s mut [Aligned<T>],
    /// As many as the [`Room`] said.
    pub scalars: &'s mut [f64],
}

/// A thread's memory for a solver: made once, used for every solve.
#[derive(Clone, Debug)]
pub struct SolverSpace<T> {
    pub(super) isa: Isa,
    pub(super) x: Aligned<T>,
    pub(super) r: Aligned<T>,
    pub(super) vectors: Vec<Aligned<T>>,
    pub(super) scalars: Vec<f64>,
    /// Whether `x` is where the next solve starts.
    pub(super) started: bool,
}

impl Room {
    /// Enough for either of two.
    pub fn or(self, other: Room) -> Room {
        Room { vectors: self.vectors.max(other.vectors), scalars: self.scalars.max(other.scalars) }
    }

    /// Enough for both of two at once.
    pub fn and(self, other: Room) -> Room {
        Room { vectors: self.vectors + other.vectors, scalars: self.scalars + other.scalars }
    }
}

impl<T: Element> SolverSpace<T> {
    /// Room for systems of `dim` unknowns.
    pub fn new(room: Room, dim: usize, isa: Isa) -> Self {
        let zeros = || Aligned::zeroed(dim);
        let vectors = (0..room.vectors).map(|_| zeros()).collect();
        SolverSpace { isa, x: zeros(), r: zeros(), vectors, scalars: vec![0.0; room.scalars], started: false }
    }

    /// What its vectors are computed with.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// The next solve starts from c x₀ in place of 0, with the c that makes ‖b − c A x₀‖ least: whatever x₀ is, the
    /// first residual is no larger than b, and the size of x₀ does not matter. It takes one product, and holds for
    /// one solve. [`Dense`](super::Dense) starts from 0 all the same.
    ///
    /// # Panics
    /// Where the length is another than the space was made for.
    #[track_caller]
    pub fn start_from(&mut self, x0: &[T]) {
        assert_eq!(x0.len(), self.x.len(), "start_from: start and space");
        self.x.copy_from_slice(x0);
        self.started = true;
    }

    /// The same, but from 0 on what is no [unknown](super::LinearOperator::unknowns), as the solution is.
    pub(crate) fn start_from_unknowns(&mut self, x0: &[T], unknowns: Option<&[bool]>) {
        self.start_from(x0);
        clear_others(unknowns, &mut self.x);
    }

    /// All of it, for a solver of one's own; `x` holds what [`start_from`](SolverSpace::start_from) was last given, or an
    /// earlier answer.
    pub fn parts(&mut self) -> Parts<'_, T> {
        self.started = false;
        let SolverSpace { x, r, vectors, scalars, .. } = self;
        Parts { x, r, vectors, scalars }
    }

    /// Bytes that a space takes.
    pub fn bytes(room: Room, dim: usize) -> usize {
        (2 + room.vectors) * dim * size_of::<T>() + room.scalars * size_of::<f64>()
    }
}
