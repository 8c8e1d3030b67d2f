//! Everything that touches memory: the kernels, their instruction sets, and the arena they run in.
//!
//! The only module with `unsafe`. Above it, a plan is steps on places; below, each step is a plain loop on
//! slices, compiled for every instruction set by [`Isa::run`].

mod access;
mod arg_max;
mod dots;
mod execute;
mod gang;
mod isa;
mod machine;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod machine_code;
mod map;
pub(crate) mod math;
mod memory;
mod movement;
mod product;
mod program;
mod step;
mod sum;
mod team;
mod vector;

pub use access::Arg;
pub use isa::{Isa, Task};
pub(crate) use map::{
    BLOCK, By, Instruction, Leaf, LeafValue, MOST_SLOTS, Map, MapOp, Passing, Reading, Ring, Slot, Sum, SumKind,
};
pub use memory::{Aligned, Block};
pub(crate) use memory::{Place, Plain, Region, Size};
pub(crate) use movement::permuted_strides;
pub use product::{Conv, ConvGeometry, Epilogue, Form, LaneMatMul, MatMul, ProductElement};
pub(crate) use program::{Program, Room, Sizes};
pub(crate) use step::{Ending, Piece, Step};
pub(crate) use sum::{SumShape, sum_middle_work};
pub use team::Team;
