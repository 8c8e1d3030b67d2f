//! Products with several directions at one point.

use smallvec::SmallVec;

use crate::element::Element;
use crate::kernel::Arg;
use crate::plan::{Options, Plan, Workspace};
use crate::shape::Shape;
use crate::tape::{NodeId, Prim, Stage, Tape, Var};
use crate::transform::{Batched, ancestors, vmap};

/// The most directions of a group: what a direction gains by more of them is little, and the group's memory grows with each.
const MOST: usize = 16;

/// A product, such as one with a Hessian, compiled for one direction and for a group of them at once.
///
/// Small products are taken together, [one batch](vmap) of longer operations; large ones are as fast one after the other,
/// and share the caches better. The bits are the same, and so is what the point has computed for them.
pub struct Directions<T> {
    plan: Plan<T>,
    /// How many directions are taken together; 1 where each is taken alone.
    together: usize,
    /// The direction's number among the inputs.
    input: usize,
    /// Inputs, the directions of a group apart.
    inputs: usize,
    /// Numbers of a direction, and of a product.
    sizes: [usize; 2],
}

impl<T: Element> Directions<T> {
    /// Compiles `outputs`, of [`Stage::POINT`], and `product`, which depends on `direction`, an input of
    /// [`Stage::DIRECTION`]; for runs of about `count` directions. Where something else is computed in that stage, each
    /// direction is taken alone.
    ///
    /// ```
    /// use autodiff::{Directions, Real, Stage, Tape, hvp};
    /// let tape = Tape::new();
    /// let (x, v) = (tape.input("x", 2, Stage::POINT), tape.input("v", 2, Stage::DIRECTION));
    /// let f = x.powi(3).sum_all();
    /// let products = Directions::<f64>::compile(&tape, &[], hvp(f, &[x], &[(x, v)])[0], v, 3);
    /// let mut workspace = products.plan().workspace();
    /// let inputs = [[2.0, 3.0][..].into(), [][..].into()];
    /// products.run_point(&mut workspace, &inputs, &mut []);
    /// let mut all = [0.0; 6];
    /// products.run(&mut workspace, &inputs, &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], &mut all);
    /// assert_eq!(all, [12.0, 0.0, 0.0, 18.0, 12.0, 18.0]);
    /// ```
    ///
    /// # Panics
    /// Where `direction` is no input, an output is of another stage, or as [`Plan::staged`].
    #[track_caller]
    pub fn compile<'t>(
        tape: &'t Tape,
        outputs: &[(Stage, Var<'t>)],
        product: Var<'t>,
        direction: Var<'t>,
        count: usize,
    ) -> Self {
        assert!(outputs.iter().all(|o| o.0 == Stage::POINT), "what is computed beside products belongs to the point");
        let (id, inputs) = (direction.id_on(tape), tape.read(|g| g.inputs.len()));
        let Prim::Input(input) = tape.get(id).prim else { panic!("a direction is an input of the tape") };
        let alone = [outputs, &[(Stage::DIRECTION, product)]].concat();
        let plan: Plan<T> = Plan::staged(tape, &alone, Options::default());
        let sizes = [direction.shape().numel(), product.shape().numel()];
        let bytes = plan.bytes() + (sizes[0] + sizes[1]) * size_of::<T>();
        // Groups that are about equal.
        let together = count.div_ceil(count.div_ceil(MOST).max(1)).max(1);
        // Whatever the count, by the largest group: large products gain nothing in small groups either.
        let group = (together > 1 && plan.is_small(MOST * bytes))
            .then(|| with_group(tape, &alone, product, direction, together))
            .flatten();
        let (plan, together) = group.map_or((plan, 1), |plan| (plan, together));
        Directions { plan, together, input: input as usize, inputs, sizes }
    }

    /// The compiled plan, in whose workspaces products run: its inputs are those of the tape and, where several are taken
    /// together, one more.
    pub fn plan(&self) -> &Plan<T> {
        &self.plan
    }

    /// How many directions are taken together.
    pub fn together(&self) -> usize {
        self.together
    }

    /// Runs the stages before the directions; `outputs` are those of [`Stage::POINT`].
    ///
    /// # Panics
    /// As [`Plan::run`].
    #[track_caller]
    pub fn run_point(&self, workspace: &mut Workspace<T>, inputs: &[Arg<'_, T>], outputs: &mut [&mut [T]]) {
        let args = self.args(inputs);
        self.plan.run(Stage::DATA, workspace, &args, &mut []);
        self.plan.run(Stage::POINT, workspace, &args, outputs);
    }

    /// products ← the product with each of `directions`, which lie one behind the other; many numbers are best held in
    /// [`Aligned`](crate::Aligned) memory.
    ///
    /// # Panics
    /// Where there are not as many products as directions, or as [`Plan::run`].
    #[track_caller]
    pub fn run(&self, workspace: &mut Workspace<T>, inputs: &[Arg<'_, T>], directions: &[T], products: &mut [T]) {
        let [n, m] = self.sizes;
        let whole = directions.len().is_multiple_of(n) && directions.len() / n * m == products.len();
        assert!(whole, "directions of {n} numbers ({}) and products of {m} ({})", directions.len(), products.len());
        let (count, together) = (directions.len() / n, self.together);
        let mut args = self.args(inputs);
        let mut done = 0;
        while done < count {
            let left = count - done;
            // What is less than half a group is faster one by one; more than that is the end of a whole one, of which the
            // rest is computed again.
            if together > 1 && count >= together && 2 * left >= together {
                let first = done.min(count - together);
                let last = args.len() - 1;
                args[last] = directions[first * n..][..together * n].into();
                let group = &mut products[first * m..][..together * m];
                self.plan.run(Stage::ADJOINT, workspace, &args, &mut [group]);
                done = first + together;
            } else {
                args[self.input] = directions[done * n..][..n].into();
                let product = &mut products[done * m..][..m];
                self.plan.run(Stage::DIRECTION, workspace, &args, &mut [product]);
                done += 1;
            }
        }
    }

    /// The caller's inputs, and room for the directions of a group.
    fn args<'a>(&self, inputs: &[Arg<'a, T>]) -> SmallVec<[Arg<'a, T>; 32]> {
        assert_eq!(inputs.len(), self.inputs, "as many inputs as declared");
        let mut args = SmallVec::from_slice(inputs);
        if self.together > 1 {
            args.push(Arg::Floats(&[]));
        }
        args
    }
}

/// The plan of `alone` with one output and one input more: the product with each of a group of directions. None where a
/// group, which runs without the directions' stage, would read what that stage computes.
#[track_caller]
fn with_group<'t, T: Element>(
    tape: &'t Tape,
    alone: &[(Stage, Var<'t>)],
    product: Var<'t>,
    direction: Var<'t>,
    together: usize,
) -> Option<Plan<T>> {
    let ids = alone.iter().map(|(stage, y)| (*stage, y.id_on(tape))).collect::<Vec<_>>();
    let [product, direction] = [product, direction].map(|x| x.id_on(tape));
    // The caller's has the inputs that the caller knows of.
    let tape = &tape.clone();
    let on_copy = |id| Var::node(tape, id);
    let shape = [together].iter().chain(on_copy(direction).shape().dims()).copied().collect::<Shape>();
    // The group has the stage behind, so that either runs at the same point.
    let directions = tape.input("directions", shape, Stage::ADJOINT);
    let group = vmap(&[on_copy(product)], &[Batched::Values(on_copy(direction), directions)])[0];
    if computes_in_stage(tape, group.id_on(tape), Stage::DIRECTION) {
        return None;
    }
    let outputs: Vec<_> = ids.into_iter().map(|(stage, id)| (stage, on_copy(id))).collect();
    Some(Plan::staged(tape, &[&outputs[..], &[(Stage::ADJOINT, group)]].concat(), Options::default()))
}

/// Whether `id` depends on something that is computed, not given, in `stage`.
fn computes_in_stage(tape: &Tape, id: NodeId, stage: Stage) -> bool {
    let stages = tape.stages();
    let needed = ancestors(tape, [id].into_iter(), stages.len());
    tape.read(|g| {
        let computed = g.nodes.iter().map(|node| !matches!(node.prim, Prim::Input(_)));
        computed.zip(needed).zip(stages).any(|((computed, needed), at)| computed && needed && at == stage)
    })
}
