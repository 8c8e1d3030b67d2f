//! `{plan}`: its steps, shapes and addresses, stage by stage.

use std::fmt;

use super::{Plan, bytes};
use crate::element::Element;
use crate::kernel::{
    By, Ending, Form, LeafValue, Map, MapOp, Passing, Place, Reading, Region, Slot, Step, SumKind, SumShape,
};
use crate::tape::Stage;

impl<T: Element> fmt::Display for Plan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan in {}, {} bytes: scratch {}", T::NAME, self.bytes(), bytes::<T>(self.scratch))?;
        for (i, input) in self.inputs.iter().enumerate() {
            writeln!(f, "  input {i} {} {} ({})", input.name, input.shape, input.stage)?;
        }
        for stage in Stage::ALL {
            let program = &self.programs[stage.index()];
            let (kept, flops) = (self.kept_bytes(stage), self.flops(stage));
            writeln!(f, "{stage} stage: {} steps, keeps {kept} bytes, {flops} flops", program.steps().len())?;
            for step in program.steps() {
                write_step(f, step)?;
            }
        }
        Ok(())
    }
}

struct At(Place);
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { region, offset, len } = self.0;
        match region {
            Region::Input(i) => write!(f, "in{i}")?,
            Region::Output(i) => write!(f, "out{i}")?,
            Region::Kept(s) => write!(f, "kept{s}")?,
            Region::Scratch => write!(f, "s")?,
        }
        write!(f, "[{offset}..{}]", offset + len)
    }
}

pub(super) fn write_step<T: Element>(f: &mut fmt::Formatter<'_>, step: &Step<T>) -> fmt::Result {
    match step {
        Step::Map(map) => write_map(f, map),
        Step::MatMul { shape, a, b, c, .. } => {
            let (sign, t) = (if shape.add { "+=" } else { "=" }, |trans| if trans { "ᵀ" } else { "" });
            let (m, k, n, batch) = (shape.m, shape.k, shape.n, shape.batch);
            let product = format!("{}{} · {}{}", At(*a), t(shape.trans_a), At(*b), t(shape.trans_b));
            writeln!(f, "  {} {sign} {product}    {batch} × [{m}, {k}]·[{k}, {n}]", At(*c))
        }
        Step::Conv { conv, face, add, a, b, c } => {
            let (g, sign) = (conv.geometry(), if *add { "+=" } else { "=" });
            writeln!(
                f,
                "  {} {sign} conv {face:?} {}, {}    {}×{}×{}×{} ↔ {}×{}×{}, kernel {}×{}",
                At(*c),
                At(*a),
                At(*b),
                g.batch,
                g.in_h,
                g.in_w,
                g.in_c,
                g.out_h,
                g.out_w,
                g.out_c,
                g.kernel_h,
                g.kernel_w
            )
        }
        Step::LaneMatMul { shape, a, b, c, ending } => {
            let t = |trans| if trans { "ᵀ" } else { "" };
            let (m, k, n, lanes) = (shape.m, shape.k, shape.n, shape.lanes);
            let product = format!("{}{} · {}{}", At(*a), t(shape.trans_a), At(*b), t(shape.trans_b));
            let (sign, what) = match (ending, shape.add) {
                (None, add) => (if add { "+=" } else { "=" }, product),
                (Some(ending), true) => ("=", formula(ending, &format!("({} + {product})", At(*c)))),
                (Some(ending), false) => ("=", formula(ending, &product)),
            };
            writeln!(f, "  {} {sign} {what}    [{m}, {k}]·[{k}, {n}] in {lanes} lanes", At(*c))
        }
        Step::Sum { shape: SumShape { summed, inner, .. }, x, y, .. } => {
            writeln!(f, "  {} = sum {} over [{}, {summed}, {inner}]", At(*y), At(*x), y.len / inner.max(&1))
        }
        Step::Read { dims, strides, start, x, y } => {
            writeln!(f, "  {} = {} as {dims:?}, strides {strides:?} from {start}", At(*y), At(*x))
        }
        Step::Assemble { pieces, zeros, y } => {
            write!(f, "  {} = assemble", At(*y))?;
            for piece in pieces {
                write!(f, " {}", At(piece.x))?;
            }
            writeln!(f, ", {} runs of zeros", zeros.len())
        }
        Step::Gather { table, indices, y, .. } => writeln!(f, "  {} = {} at {}", At(*y), At(*table), At(*indices)),
        Step::ScatterAdd { rows, indices, y, .. } => {
            writeln!(f, "  {} += {} at {}", At(*y), At(*rows), At(*indices))
        }
        Step::OneHot { depth, indices, y } => writeln!(f, "  {} = one hot {} below {depth}", At(*y), At(*indices)),
        Step::ArgMax { windows, x, y, values } => {
            let at_values = if values.len > 0 { format!(", {} = max", At(*values)) } else { String::new() };
            writeln!(f, "  {} = arg max{at_values} of {} over windows {:?}", At(*y), At(*x), windows.inner)
        }
    }
}

/// What becomes of a product x.
fn formula<T: Element>(ending: &Ending<T>, x: &str) -> String {
    let Ending { form, a, b, s, r } = ending;
    let number = |value: &LeafValue<T>| match value {
        LeafValue::Literal(v) => format!("{v}"),
        LeafValue::At(place) => At(*place).to_string(),
    };
    let (a, b, s, r) = (At(*a), At(*b), number(s), number(r));
    match form {
        Form::AddScaled => format!("{x} + {s} · {a}"),
        Form::ScaleAdd => format!("{a} + {s} · {x}"),
        Form::Descend => format!("{a} - {s} · {x}"),
        Form::DescendPulled => format!("{a} - {s} · ({x} + {r} · ({a} - {b}))"),
    }
}

fn write_map<T: Element>(f: &mut fmt::Formatter<'_>, map: &Map<T>) -> fmt::Result {
    writeln!(f, "  pass over {} in blocks of {}, {} registers:", map.numel, map.block, map.registers)?;
    let name = |slot: Slot| match slot {
        Slot::Register(r) => format!("r{r}"),
        Slot::Output(i) => At(map.outputs[usize::from(i)]).to_string(),
        Slot::Leaf(i) => {
            let leaf = &map.leaves[usize::from(i)];
            match (&leaf.value, &leaf.reading) {
                (LeafValue::Literal(v), _) => format!("{v}"),
                (LeafValue::At(x), Reading::InOrder) => At(*x).to_string(),
                (LeafValue::At(x), Reading::Repeated) => format!("{} repeated", At(*x)),
                (LeafValue::At(x), Reading::Strided { strides, .. }) => format!("{} strides {strides:?}", At(*x)),
            }
        }
    };
    for instruction in &map.code {
        let (target, [a, b, c, d]) = (instruction.target, instruction.sources.map(name));
        match instruction.op {
            MapOp::Unary(op) => writeln!(f, "    {} = {} {a}", name(target), op.name())?,
            MapOp::Binary(op) => writeln!(f, "    {} = {} {a}, {b}", name(target), op.name())?,
            MapOp::Compare(op) => writeln!(f, "    {} = {a} {op:?} {b}", name(target))?,
            MapOp::Select => writeln!(f, "    {} = {a} ? {b} : {c}", name(target))?,
            MapOp::Pair { first, second, last } => {
                let inner = format!("({} {a}, {b})", first.name());
                let (x, y) = if last { (&c, &inner) } else { (&inner, &c) };
                writeln!(f, "    {} = {} {x}, {y}", name(target), second.name())?;
            }
            MapOp::Choose(op) => writeln!(f, "    {} = {a} {op:?} {b} ? {c} : {d}", name(target))?,
            MapOp::Gate { by, passing } => {
                let (closed, value, c, d) = match by {
                    By::Value => (format!("{a} LessEqual 0"), a, b, c),
                    By::Of(ring) => {
                        let value = format!("({} {a}, {b})", ring.name());
                        (format!("{value} LessEqual 0"), value, c, d)
                    }
                    By::Mask => (a.clone(), a, b, c),
                };
                let passes = match passing {
                    Passing::Own => value,
                    Passing::Value => c,
                    Passing::Total => format!("(add {c}, {d})"),
                };
                writeln!(f, "    {} = {closed} ? 0 : {passes}", name(target))?;
            }
            MapOp::Copy => writeln!(f, "    {} = {a}", name(target))?,
            MapOp::Sum(s) => {
                let sum = &map.sums[usize::from(s)];
                let over = match sum.kind {
                    SumKind::All { lanes: 1 } => "everything".into(),
                    SumKind::All { lanes } => format!("everything, {lanes} lanes apart"),
                    SumKind::Rows(n) => format!("rows of {n}"),
                    SumKind::Within { row, lanes: 1 } => format!("each row of {row}"),
                    SumKind::Within { row, lanes } => format!("each row of {row}, {lanes} lanes apart"),
                };
                writeln!(f, "    {} = sum {a} over {over}", At(sum.y))?;
            }
        }
    }
    Ok(())
}
