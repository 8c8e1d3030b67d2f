//! A thread's memory for a solver.

use autodiff::{Element, Isa};

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
    pub vectors: &'s mut [Vec<T>],
    /// As many as the [`Room`] said.
    pub scalars: &'s mut [f64],
}

/// A thread's memory for a solver: made once, used for every solve.
#[derive(Clone, Debug)]
pub struct SolverSpace<T> {
    pub(super) isa: Isa,
    pub(super) x: Vec<T>,
    pub(super) r: Vec<T>,
    pub(super) vectors: Vec<Vec<T>>,
    pub(super) scalars: Vec<f64>,
}

impl<T: Element> SolverSpace<T> {
    /// Room for systems of `dim` unknowns.
    pub fn new(room: Room, dim: usize, isa: Isa) -> Self {
        let zeros = || vec![T::zero(); dim];
        let vectors = (0..room.vectors).map(|_| zeros()).collect();
        SolverSpace { isa, x: zeros(), r: zeros(), vectors, scalars: vec![0.0; room.scalars] }
    }

    /// All of it, for a solver of one's own.
    pub fn parts(&mut self) -> Parts<'_, T> {
        let SolverSpace { x, r, vectors, scalars, .. } = self;
        Parts { x, r, vectors, scalars }
    }

    /// Bytes that a space takes.
    pub fn bytes(room: Room, dim: usize) -> usize {
        (2 + room.vectors) * dim * size_of::<T>() + room.scalars * size_of::<f64>()
    }
}
