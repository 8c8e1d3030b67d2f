//! What is compiled here, once for each number type, rather than again in every crate and test that uses it.
//!
//! Generic code becomes machine code where its types are known, which for `Plan<T>` is wherever one is run; and the
//! kernels, for every instruction set, are nearly all of what there is to compile. These functions are not generic.

use std::time::Duration;

use crate::kernel::{Arg, Program, Room};
use crate::plan::{Options, Plan};
use crate::tape::{Stage, Tape, Var};

/// Sealed: a supertrait of `Element`.
pub trait Once: Sized {
    /// [`Plan::with_optional`], where a request without a stage is for the earliest.
    fn build_plan(
        tape: &Tape,
        requests: &[(Option<Stage>, Var<'_>)],
        optional: &[usize],
        options: Options,
    ) -> Plan<Self>;

    /// [`Program::run`]
    fn run_program(
        program: &Program<Self>,
        inputs: &[Arg<'_, Self>],
        outputs: &mut [&mut [Self]],
        room: &mut Room<Self>,
        times: &mut [Duration],
    );
}

macro_rules! once {
    ($float:ident) => {
        impl Once for $float {
            #[inline(never)]
            #[track_caller]
            fn build_plan(
                tape: &Tape,
                requests: &[(Option<Stage>, Var<'_>)],
                optional: &[usize],
                options: Options,
            ) -> Plan<Self> {
                Plan::build(tape, requests, optional, options)
            }

            #[inline(never)]
            #[track_caller]
            fn run_program(
                program: &Program<Self>,
                inputs: &[Arg<'_, Self>],
                outputs: &mut [&mut [Self]],
                room: &mut Room<Self>,
                times: &mut [Duration],
            ) {
                program.run(inputs, outputs, room, times);
            }
        }
    };
}

once!(f32);
once!(f64);
