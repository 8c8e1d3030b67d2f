//! Elementwise primitives: the table of rules, comparisons, select; and `Var` as a [`Real`].

use std::ops::{Add, Div, Mul, Neg, Sub};

use smallvec::SmallVec;

use super::{Cotangents, structure, sum_of};
use crate::real::Real;
use crate::rules::{Binary, BinaryOp, BinaryVisitor, CompareOp, Unary, UnaryOp, UnaryVisitor, for_each_unary};
use crate::shape::{Axes, Shape};
use crate::tape::{Kind, Mask, Node, NodeId, Operands, Prim, Tape, Var};
use crate::tape::{MaskRepr, Repr};

/// Records an elementwise primitive on operands that broadcast against each other.
///
/// Axes along which every operand is constant are left out of the work: f(broadcast u, broadcast v) is
/// recorded as broadcast f(u, v).
#[track_caller]
pub(super) fn record(prim: Prim, kind: Kind, tape: &Tape, operands: &[NodeId]) -> NodeId {
    let shapes: SmallVec<[Shape; 3]> =
        operands.iter().map(|&id| tape.read(|g| g.nodes[id.index()].shape.clone())).collect();
    let mut shape = Shape::scalar();
    // A loop, not a fold: a panic in a closure would not name the caller's line.
    for s in &shapes {
        match shape.broadcast(s) {
            Some(both) => shape = both,
            None => panic!("{}: shapes {shape} and {s} do not broadcast", prim.name()),
        }
    }
    let operands: Operands = operands.iter().map(|&id| structure::broadcast_to(tape, id, &shape)).collect();
    let constant = operands
        .iter()
        .map(|&id| structure::constant_axes(tape, id))
        .reduce(|a, b| a.into_iter().filter(|axis| b.contains(axis)).collect::<Axes>())
        .unwrap_or_default();
    if constant.is_empty() {
        return tape.intern(Node { prim, operands, shape, kind });
    }
    let inner: Operands = operands.iter().map(|&id| structure::without_constant_axes(tape, id, &constant)).collect();
    let reduced = tape.intern(Node { prim, operands: inner, shape: shape.without(&constant), kind });
    structure::broadcast_axes(tape, reduced, constant, shape)
}

struct Evaluate<S>(S);
impl<S: Real> UnaryVisitor for Evaluate<S> {
    type Output = S;
    fn visit<U: Unary>(self, rule: U) -> S {
        rule.f(self.0)
    }
}
impl<S: Real> BinaryVisitor for Evaluate<(S, S)>
where
    S: Real,
{
    type Output = S;
    fn visit<B: Binary>(self, rule: B) -> S {
        rule.f(self.0.0, self.0.1)
    }
}

#[track_caller]
fn unary<'t>(op: UnaryOp, x: Var<'t>) -> Var<'t> {
    let Some((tape, id, node)) = x.parts() else {
        return Var::lit(op.visit(Evaluate(x.literal().expect("not a node"))));
    };
    match (op, &node.prim) {
        // −(−x) = x
        (UnaryOp::Neg, Prim::Unary(UnaryOp::Neg)) => Var::node(tape, node.operands[0]),
        (UnaryOp::Powi(1), _) => x,
        _ => Var::node(tape, record(Prim::Unary(op), Kind::Float, tape, &[id])),
    }
}

#[track_caller]
fn binary<'t>(op: BinaryOp, x: Var<'t>, y: Var<'t>) -> Var<'t> {
    let Some(tape) = x.tape().or(y.tape()) else {
        let (x, y) = (x.literal().expect("not a node"), y.literal().expect("not a node"));
        return Var::lit(op.visit(Evaluate((x, y))));
    };
    if let Some(simpler) = simplify(op, x, y) {
        return simpler;
    }
    let (mut a, mut b) = (x.id_on(tape), y.id_on(tape));
    if matches!(op, BinaryOp::Add | BinaryOp::Mul) && b < a {
        // One order for what commutes exactly, so that x + y and y + x are one node.
        std::mem::swap(&mut a, &mut b);
    }
    Var::node(tape, record(Prim::Binary(op), Kind::Float, tape, &[a, b]))
}

/// Exact identities, none of which can hide a NaN or an infinity.
fn simplify<'t>(op: BinaryOp, x: Var<'t>, y: Var<'t>) -> Option<Var<'t>> {
    let negated = |v: Var<'t>| match v.parts() {
        Some((tape, _, node)) if node.prim == Prim::Unary(UnaryOp::Neg) => Some(Var::node(tape, node.operands[0])),
        _ => None,
    };
    match op {
        BinaryOp::Mul => match (unit(x, y), unit(y, x)) {
            (Some(1.0), _) => Some(y),
            (_, Some(1.0)) => Some(x),
            (Some(-1.0), _) => Some(-y),
            (_, Some(-1.0)) => Some(-x),
            _ => None,
        },
        BinaryOp::Div if y.literal() == Some(1.0) => Some(x),
        BinaryOp::Add => negated(y)
            .map(|y| x - y)
            .or_else(|| negated(x).map(|x| y - x))
            .or_else(|| structure::merge_boxes(x, y))
            // A factor can be taken out of a sum.
            .or_else(|| same(x, y).then(|| x * 2.0)),
        BinaryOp::Sub => negated(y).map(|y| x + y),
        _ => None,
    }
}

fn same(x: Var<'_>, y: Var<'_>) -> bool {
    match (x.0, y.0) {
        (Repr::Node(tape, id), Repr::Node(other, its)) => std::ptr::eq(tape, other) && id == its,
        _ => false,
    }
}

/// The literal that `x` is or repeats, where multiplying `other` by it does not stretch `other`.
fn unit<'t>(x: Var<'t>, other: Var<'t>) -> Option<f64> {
    if let Some(value) = x.literal() {
        return Some(value);
    }
    let (tape, _, node) = x.parts()?;
    let repeats = matches!(&node.prim, Prim::Broadcast(axes) if axes.len() == node.shape.rank());
    let shape = other.shape();
    let fits = repeats && node.shape.broadcast(&shape).as_ref() == Some(&shape);
    if fits { Var::node(tape, node.operands[0]).literal() } else { None }
}

#[track_caller]
fn compare<'t>(op: CompareOp, x: Var<'t>, y: Var<'t>) -> Mask<'t> {
    let Some(tape) = x.tape().or(y.tape()) else {
        let (x, y) = (x.literal().expect("not a node"), y.literal().expect("not a node"));
        return Mask(MaskRepr::Literal(match op {
            CompareOp::Less => x < y,
            CompareOp::LessEqual => x <= y,
        }));
    };
    Mask(MaskRepr::Node(tape, record(Prim::Compare(op), Kind::Mask, tape, &[x.id_on(tape), y.id_on(tape)])))
}

#[track_caller]
fn select<'t>(mask: Mask<'t>, yes: Var<'t>, no: Var<'t>) -> Var<'t> {
    match mask.0 {
        MaskRepr::Literal(holds) => {
            let (chosen, other) = if holds { (yes, no) } else { (no, yes) };
            // The other branch still has a say in the shape.
            let (own, its) = (chosen.shape(), other.shape());
            let Some(shape) = own.broadcast(&its) else { panic!("select: shapes {own} and {its} do not broadcast") };
            match (chosen.literal(), chosen.tape().or(other.tape())) {
                (Some(value), Some(tape)) if shape.rank() > 0 => Var::full(tape, value, shape),
                _ => chosen.broadcast_to(shape),
            }
        }
        MaskRepr::Node(tape, mask) => {
            let operands = [mask, yes.id_on(tape), no.id_on(tape)];
            Var::node(tape, record(Prim::Select, Kind::Float, tape, &operands))
        }
    }
}

struct Df<'t>(Var<'t>, Var<'t>);
impl<'t> UnaryVisitor for Df<'t> {
    type Output = Var<'t>;
    fn visit<U: Unary>(self, rule: U) -> Var<'t> {
        rule.df(self.0, self.1)
    }
}

/// ẏ = f′(x) ẋ
pub(super) fn unary_tangent<'t>(op: UnaryOp, x: Var<'t>, y: Var<'t>, dx: Var<'t>) -> Var<'t> {
    op.visit(Df(x, y)) * dx
}

struct Partials<'t> {
    at: [Var<'t>; 3],
    dx: Option<Var<'t>>,
    dy: Option<Var<'t>>,
}
impl<'t> BinaryVisitor for Partials<'t> {
    type Output = Option<Var<'t>>;
    fn visit<B: Binary>(self, rule: B) -> Option<Var<'t>> {
        let [x, y, z] = self.at;
        let along_x = self.dx.map(|dx| rule.dfdx(x, y, z) * dx);
        let along_y = self.dy.map(|dy| rule.dfdy(x, y, z) * dy);
        sum_of(along_x, along_y)
    }
}

/// ż = ∂f/∂x ẋ + ∂f/∂y ẏ
pub(super) fn binary_tangent<'t>(
    op: BinaryOp,
    x: Var<'t>,
    y: Var<'t>,
    z: Var<'t>,
    dx: Option<Var<'t>>,
    dy: Option<Var<'t>>,
) -> Option<Var<'t>> {
    op.visit(Partials { at: [x, y, z], dx, dy })
}

/// The tangent of the branch taken.
pub(super) fn select_tangent<'t>(node: &Node, tape: &'t Tape, yes: Option<Var<'t>>, no: Option<Var<'t>>) -> Var<'t> {
    let zero = Var::zero();
    select(Mask(MaskRepr::Node(tape, node.operands[0])), yes.unwrap_or(zero), no.unwrap_or(zero))
}

pub(super) fn transpose<'t>(tape: &'t Tape, node: &Node, linear: &[bool], ct: Var<'t>) -> Cotangents<'t> {
    let operand = |i: usize| Var::node(tape, node.operands[i]);
    let mut cotangents = Cotangents::new();
    let mut send = |i: usize, value: &dyn Fn() -> Var<'t>| {
        if linear[i] {
            cotangents.push((i, value()));
        }
    };
    match node.prim {
        Prim::Unary(UnaryOp::Neg) => send(0, &|| -ct),
        Prim::Binary(BinaryOp::Add) => {
            send(0, &|| ct);
            send(1, &|| ct);
        }
        Prim::Binary(BinaryOp::Sub) => {
            send(0, &|| ct);
            send(1, &|| -ct);
        }
        Prim::Binary(BinaryOp::Mul) => {
            send(0, &|| operand(1) * ct);
            send(1, &|| operand(0) * ct);
        }
        Prim::Binary(BinaryOp::Div) => send(0, &|| ct / operand(1)),
        Prim::Select => {
            let mask = Mask(MaskRepr::Node(tape, node.operands[0]));
            send(1, &|| select(mask, ct, Var::zero()));
            send(2, &|| select(mask, Var::zero(), ct));
        }
        ref other => unreachable!("{} is not linear", other.name()),
    }
    cotangents
}

macro_rules! operator {
    ($($trait:ident $method:ident),*) => {$(
        impl<'t> $trait for Var<'t> {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: Var<'t>) -> Var<'t> {
                binary(BinaryOp::$trait, self, other)
            }
        }
        impl<'t> $trait<f64> for Var<'t> {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: f64) -> Var<'t> {
                binary(BinaryOp::$trait, self, Var::lit(other))
            }
        }
        impl<'t> $trait<Var<'t>> for f64 {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: Var<'t>) -> Var<'t> {
                binary(BinaryOp::$trait, Var::lit(self), other)
            }
        }
    )*};
}
operator!(Add add, Sub sub, Mul mul, Div div);

impl<'t> Neg for Var<'t> {
    type Output = Var<'t>;
    #[track_caller]
    fn neg(self) -> Var<'t> {
        unary(UnaryOp::Neg, self)
    }
}

macro_rules! var_methods {
    ($($rule:ident $method:ident),*) => {
        /// Evaluating a rule on a `Var` records it.
        impl<'t> Real for Var<'t> {
            type Mask = Mask<'t>;

            fn lit(value: f64) -> Self {
                Var(Repr::Literal(value))
            }
            #[track_caller]
            fn less(self, other: Self) -> Mask<'t> {
                compare(CompareOp::Less, self, other)
            }
            #[track_caller]
            fn less_equal(self, other: Self) -> Mask<'t> {
                compare(CompareOp::LessEqual, self, other)
            }
            #[track_caller]
            fn select(mask: Mask<'t>, yes: Self, no: Self) -> Self {
                select(mask, yes, no)
            }
            $(#[track_caller]
            fn $method(self) -> Self {
                unary(UnaryOp::$rule, self)
            })*
            #[track_caller]
            fn powi(self, n: i32) -> Self {
                unary(UnaryOp::Powi(n), self)
            }
            #[track_caller]
            fn powf(self, y: Self) -> Self {
                binary(BinaryOp::Powf, self, y)
            }
            #[track_caller]
            fn max(self, other: Self) -> Self {
                binary(BinaryOp::Max, self, other)
            }
            #[track_caller]
            fn min(self, other: Self) -> Self {
                binary(BinaryOp::Min, self, other)
            }
        }
    };
}
for_each_unary!(var_methods);

impl<'t> Var<'t> {
    /// The same value as a variable of its own, to differentiate with respect to.
    ///
    /// Recording looks through structure: a slice of a slice is a slice, −(−x) is x. A program built on a value
    /// may therefore not contain the node that the value is. A cut is opaque: what is built on it depends on
    /// it, and derivatives with respect to it treat all that lies before it as constant. It costs nothing to run.
    ///
    /// ```
    /// use autodiff::{grad, Plan, Stage, Tape};
    /// let tape = Tape::new();
    /// let x = tape.input("x", [2], Stage::POINT);
    /// let negated = (-x).cut();
    /// let f = (x + negated * 3.0).sum_all();
    /// let plan: Plan<f64> = Plan::compile(&tape, &[grad(f, &[negated])[0]]);
    /// assert_eq!(plan.evaluate(&[&[1.0, 2.0]])[0], [3.0, 3.0]);
    /// ```
    ///
    /// # Panics
    /// Where it is a literal, which is no node of any tape.
    #[track_caller]
    pub fn cut(self) -> Var<'t> {
        match self.parts() {
            Some((tape, id, _)) => Var::node(tape, tape.cut(id)),
            None => panic!("cut: a literal is not on a tape"),
        }
    }

    /// The same value, through which no derivative flows.
    pub fn stop_gradient(self) -> Var<'t> {
        match self.parts() {
            None => self,
            Some((tape, id, node)) => Var::node(
                tape,
                tape.intern(Node {
                    prim: Prim::StopGradient,
                    operands: Operands::from_slice(&[id]),
                    shape: node.shape,
                    kind: node.kind,
                }),
            ),
        }
    }
}
