//! From dual numbers to meta-learning, on one problem small enough to check by hand.
//!
//! A model starts at θ, trains on a task until it reaches φ*(θ), and is then measured: F(θ) = f(φ*(θ)). This page takes
//! dF/dθ, the derivative of a measurement *through the training before it*, and builds everything on the way there.
//! Each snippet runs as a test and asserts what the text claims. The same problem is drawn, with what each method gets
//! right and wrong, by `cargo run --release -p meta --example bilevel -- --open`.
//!
//! 1. [Dual numbers](#1-dual-numbers)
//! 2. [Forward mode](#2-forward-mode)
//! 3. [Reverse mode](#3-reverse-mode)
//! 4. [Hessian-vector products](#4-hessian-vector-products)
//! 5. [The inner problem](#5-the-inner-problem)
//! 6. [Total and partial derivatives](#6-total-and-partial-derivatives)
//! 7. [Unrolling](#7-unrolling)
//! 8. [The implicit function theorem](#8-the-implicit-function-theorem)
//! 9. [Conjugate gradients](#9-conjugate-gradients)
//! 10. [Implicit MAML](#10-implicit-maml)
//! 11. [How it goes wrong](#11-how-it-goes-wrong)
//!
//! # The problem
//!
//! Two parameters. The support set wants φ = a, and more firmly in one direction than in the other; the query set wants
//! φ = c; λ holds φ near θ.
//!
//! ```text
//! support loss      L(φ) = ½ (φ − a)ᵀ H (φ − a)         H = [2 2; 2 5],  a = (−1, 2)
//! query loss        f(φ) = ½ ‖φ − c‖²                   c = (−3, −1)
//! inner objective   G(φ, θ) = L(φ) + ½ λ ‖φ − θ‖²       λ = 1,  θ = (0, −2)
//! outer objective   F(θ) = f(φ*(θ))                     φ*(θ) = argmin_φ G(φ, θ)
//! ```
//!
//! The numbers make the answers whole: φ* = (0, 1), dF/dθ = (1, 0).
//!
//! # 1. Dual numbers
//!
//! A dual number is x + ẋε with ε² = 0: a *primal* x, and a *tangent* ẋ that says how fast x moves. Multiply two of
//! them, and the product rule appears by itself, since the term with ε² is gone:
//!
//! ```text
//! (x + ẋε) (y + ẏε) = xy + (ẋy + xẏ) ε
//! ```
//!
//! So a program that is evaluated on dual numbers computes its own derivative on the side. All it has to be is generic
//! over the number, which here means over [`Real`](autodiff::Real). With x = φ − a the support loss is x₁² + 2x₁x₂ +
//! 5/2 x₂²:
//!
//! ```
//! use autodiff::{Dual, Real};
//!
//! fn support<S: Real>([p, q]: [S; 2]) -> S {
//!     let (x, y) = (p + S::one(), q - S::lit(2.0));
//!     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y
//! }
//!
//! // A number in, a number out:
//! assert_eq!(support([0.0, -2.0]), 33.0);
//! // Let the first coordinate move at speed 1 and the second stand still:
//! let loss = support([Dual::variable(0.0), Dual::constant(-2.0)]);
//! assert_eq!(loss, Dual { primal: 33.0, tangent: -6.0 });
//! ```
//!
//! The tangent is ∂L/∂φ₁ = 2x₁ + 2x₂ = 2 − 8, exact, and no step size had to be chosen.
//!
//! # 2. Forward mode
//!
//! Let φ move in a direction u, and the tangent is the slope in that direction:
//!
//! ```text
//! L(φ + uε) = L(φ) + (∇L · u) ε                 in general  f(x + uε) = f(x) + (J u) ε
//! ```
//!
//! ```
//! # use autodiff::{Dual, Real};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! let along = |u: [f64; 2]| {
//!     support([Dual { primal: 0.0, tangent: u[0] }, Dual { primal: -2.0, tangent: u[1] }]).tangent
//! };
//! // The whole gradient takes one evaluation for each coordinate,
//! assert_eq!([along([1.0, 0.0]), along([0.0, 1.0])], [-6.0, -18.0]);
//! // a single direction takes one, however many coordinates there are.
//! assert_eq!(along([1.0, 1.0]), -24.0);
//! ```
//!
//! This is *forward mode*, J u: cheap when there are few inputs. A network has a million, and one output.
//!
//! # 3. Reverse mode
//!
//! Look at the tangent part of the program alone. It may multiply by primal values, but it is *linear* in the tangents:
//! it is the matrix J, written as a program. Any linear program can be run backwards, each operation replaced by its
//! transpose. That multiplies by Jᵀ:
//!
//! ```text
//! forward   ẏ = J ẋ         backward   x̄ = Jᵀ ȳ         and always   ⟨ȳ, J ẋ⟩ = ⟨Jᵀ ȳ, ẋ⟩
//! ```
//!
//! For a loss, J is one row, ȳ = 1, and a single run gives all of it: Jᵀ · 1 = ∇L. To run something backwards one must
//! have written it down, and that is what a [`Tape`](autodiff::Tape) is for. A [`Var`](autodiff::Var) is a number type
//! like the others, and the same function records itself:
//!
//! ```
//! # use autodiff::{Plan, Real, Stage, Tape, Var, grad, jvp};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! fn pair(v: Var<'_>) -> [Var<'_>; 2] {
//!     [0, 1].map(|i| v.slice(&[i], &[i + 1]).reshape([]))
//! }
//!
//! let tape = Tape::new();
//! let phi = tape.input("phi", [2], Stage::POINT);
//! let u = tape.input("u", [2], Stage::DIRECTION);
//! let loss = support(pair(phi));
//! // Both append to the tape: the tangent program, and the same one backwards.
//! let (forward, backward) = (jvp(&[loss], &[(phi, u)])[0], grad(loss, &[phi])[0]);
//!
//! let plan: Plan<f64> = Plan::compile(&tape, &[forward, backward]);
//! let values = plan.evaluate(&[&[0.0, -2.0], &[1.0, 1.0]]);
//! assert_eq!(values, [vec![-24.0], vec![-6.0, -18.0]]);
//! ```
//!
//! Nobody wrote a backward rule. There is one rule for each operation, its tangent; the rest is transposition.
//!
//! # 4. Hessian-vector products
//!
//! The gradient is a program too. Evaluate *it* on dual numbers, with φ moving along u, and the tangent is how the
//! gradient changes:
//!
//! ```text
//! ∇L(φ + uε) = ∇L(φ) + (H u) ε                  H = ∇²L(φ)
//! ```
//!
//! This is forward over reverse, and costs a few gradients, not n of them; H itself, n × n numbers, never exists.
//! [`linearize`](autodiff::linearize) computes once what does not depend on u:
//!
//! ```
//! # use autodiff::{Real, Var, grad, hessian_vector, linearize};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! # fn pair(v: Var<'_>) -> [Var<'_>; 2] { [0, 1].map(|i| v.slice(&[i], &[i + 1]).reshape([])) }
//! let mut gradient = linearize(|phi| grad(support(pair(phi)), &[phi])[0], &[0.0_f64, -2.0]);
//! assert_eq!(gradient.value(), [-6.0, -18.0]);
//! assert_eq!(gradient.apply(&[1.0, 0.0]), [2.0, 2.0]);
//! assert_eq!(gradient.apply(&[0.0, 1.0]), [2.0, 5.0]);
//! // The same without a tape: dual numbers whose parts are dual numbers.
//! assert_eq!(hessian_vector(|p| support([p[0], p[1]]), &[0.0, -2.0], &[1.0, 0.0]), [2.0, 2.0]);
//! ```
//!
//! # 5. The inner problem
//!
//! Now train. Gradient descent on G starts at θ and takes the step S:
//!
//! ```text
//! φ₀ = θ          φ_{k+1} = S(φ_k, θ) = φ_k − α ∇_φG(φ_k, θ)          α = 0.1
//! ```
//!
//! The prox term ½ λ ‖φ − θ‖² is what keeps φ* dependent on θ: without it, gradient descent on a strictly convex loss
//! forgets where it started, and there is nothing to meta-learn but the first few steps. λ also adds itself to every
//! eigenvalue of H, so that training is better conditioned.
//!
//! Setting ∇_φG = H (φ − a) + λ (φ − θ) to 0 gives φ* = (H + λI)⁻¹ (Ha + λθ) = (0, 1), a compromise between a and θ.
//! The eigenvalues of H + λI are 7 and 2: a step leaves 0.3 of the error in one direction and 0.8 in the other.
//!
//! ```
//! use autodiff::{Dual, Real, gradient};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//!
//! /// G(φ, θ) with λ = 1.
//! fn inner<S: Real>(phi: [S; 2], theta: [S; 2]) -> S {
//!     let [x, y] = [phi[0] - theta[0], phi[1] - theta[1]];
//!     support(phi) + S::lit(0.5) * (x * x + y * y)
//! }
//!
//! /// φ_K, on any numbers: ∇_φG is taken with dual numbers on top of them.
//! fn train<S: Real>(theta: [S; 2], steps: usize) -> [S; 2] {
//!     (0..steps).fold(theta, |phi, _| {
//!         let g = gradient(|p| inner([p[0], p[1]], theta.map(Dual::constant)), &phi);
//!         [0, 1].map(|i| phi[i] - S::lit(0.1) * g[i])
//!     })
//! }
//!
//! let near = |a: [f64; 2], b: [f64; 2], error: f64| (a[0] - b[0]).hypot(a[1] - b[1]) <= error;
//! assert!(near(train([0.0, -2.0], 1), [0.6, -0.2], 1e-15));
//! assert!(near(train([0.0, -2.0], 160), [0.0, 1.0], 1e-14));
//! ```
//!
//! # 6. Total and partial derivatives
//!
//! F(θ) = f(φ*(θ), θ) depends on θ in two places. By the chain rule
//!
//! ```text
//! dF/dθ = ∂f/∂θ + (dφ*/dθ)ᵀ ∂f/∂φ
//!         direct    through training
//! ```
//!
//! - The *partial* derivative ∂f/∂θ holds φ still. It is there if f itself uses θ: a penalty on θ, or parameters that
//!   are not adapted and go into the query loss as they are. In our problem, and in plain few-shot learning, it is 0.
//! - v = ∂f/∂φ says how the measurement would change if one could move φ. One cannot: φ is where training ends.
//! - dφ*/dθ, a matrix, says how training's end moves with its start. This is all there is to meta-gradients; methods
//!   differ in what they take for it. The identity, for one, gives first-order MAML: g = v.
//!
//! A closed form of φ* makes it visible. With (H + I)⁻¹ = [6 −2; −2 3] / 14 and Ha = (2, 8):
//!
//! ```
//! use autodiff::{Real, gradient};
//!
//! fn adapted<S: Real>(theta: [S; 2]) -> [S; 2] {
//!     let [x, y] = [theta[0] + S::lit(2.0), theta[1] + S::lit(8.0)];
//!     let n = S::lit;
//!     [(n(6.0) * x - n(2.0) * y) / n(14.0), (n(3.0) * y - n(2.0) * x) / n(14.0)]
//! }
//! fn query<S: Real>([p, q]: [S; 2]) -> S {
//!     let (x, y) = (p + S::lit(3.0), q + S::one());
//!     S::lit(0.5) * (x * x + y * y)
//! }
//!
//! let theta = [0.0, -2.0];
//! let near = |a: &[f64], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-14;
//! // v: what first-order MAML answers.
//! assert!(near(&gradient(|p| query([p[0], p[1]]), &adapted(theta)), [3.0, 2.0]));
//! // dF/dθ: the total derivative.
//! assert!(near(&gradient(|t| query(adapted([t[0], t[1]])), &theta), [1.0, 0.0]));
//!
//! // With a direct term, f = query(φ) + ½ ‖θ‖², the two parts add up: ∂f/∂θ = θ.
//! fn penalised<S: Real>(theta: [S; 2]) -> S {
//!     query(adapted(theta)) + S::lit(0.5) * (theta[0] * theta[0] + theta[1] * theta[1])
//! }
//! assert!(near(&gradient(|t| penalised([t[0], t[1]]), &theta), [0.0 + 1.0, -2.0 + 0.0]));
//! ```
//!
//! v points along (3, 2), the total derivative along (1, 0): the support set holds φ more firmly in one direction, so
//! moving θ there is of little use.
//!
//! # 7. Unrolling
//!
//! No closed form? Training is a program, so differentiate it. The chain rule over K steps, from the last to the first:
//!
//! ```text
//! w_K = ∂f/∂φ_K
//! w_k = (∂S/∂φ_k)ᵀ w_{k+1}                        for k = K−1, …, 0
//! dF_K/dθ = ∂f/∂θ + w_0 + Σ_k (∂S/∂θ)ᵀ w_{k+1}
//! ```
//!
//! w_0 is there because φ₀ = θ, the sum because each step looks at θ again, through the prox term. For gradient descent
//! ∂S/∂φ = I − α (H + λI): each pullback is one Hessian-vector product. This is MAML. Running it in reverse takes one
//! pass, but needs every φ_k again, last first, hence memory for K points (or recomputation:
//! [`Keep`](crate::method::Keep)).
//!
//! In two dimensions forward mode is as good, and then it is nothing but *training on dual numbers*:
//!
//! ```
//! # use autodiff::{Dual, Real, gradient};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! # fn inner<S: Real>(phi: [S; 2], theta: [S; 2]) -> S { let [x, y] = [phi[0] - theta[0], phi[1] - theta[1]];
//! #     support(phi) + S::lit(0.5) * (x * x + y * y) }
//! # fn train<S: Real>(theta: [S; 2], steps: usize) -> [S; 2] {
//! #     (0..steps).fold(theta, |phi, _| {
//! #         let g = gradient(|p| inner([p[0], p[1]], theta.map(Dual::constant)), &phi);
//! #         [0, 1].map(|i| phi[i] - S::lit(0.1) * g[i])
//! #     })
//! # }
//! # fn query<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::lit(3.0), q + S::one());
//! #     S::lit(0.5) * (x * x + y * y) }
//! let maml = |steps| gradient(|t| query(train([t[0], t[1]], steps)), &[0.0, -2.0]);
//! let error = |g: Vec<f64>| (g[0] - 1.0).hypot(g[1]);
//! // The exact derivative of "4 steps, then measure": not yet that of "train, then measure".
//! assert!((error(maml(4)) - 0.754).abs() < 1e-3);
//! // What is missing falls like 0.8 a step, as training itself does.
//! assert!(error(maml(64)) < 1e-6 && error(maml(160)) < 1e-14);
//! ```
//!
//! # 8. The implicit function theorem
//!
//! Does it matter how training got to φ*? If it went all the way, no: φ* is known by a property, ∇_φG(φ*(θ), θ) = 0,
//! and the property holds *for every θ*. So both sides may be differentiated with respect to θ:
//!
//! ```text
//! ∇²_φφG · dφ*/dθ + ∂_θ∇_φG = 0          so          dφ*/dθ = −(∇²_φφG)⁻¹ ∂_θ∇_φG
//! ```
//!
//! provided ∇²_φφG is invertible, as it is at a proper minimum. In the chain rule this matrix is transposed and
//! multiplied by v. Bracket from the right, and there is no matrix left, only one linear system:
//!
//! ```text
//! dF/dθ = ∂f/∂θ − (∂_θ∇_φG)ᵀ x     where  (∇²_φφG) x = v      for any G
//!       = λ x                      where  (H + λI) x = v      for ours: ∂_θ∇_φG = −λI, ∂f/∂θ = 0
//!       = g                        where  (I + H/λ) g = v     the same, as the iMAML paper has it
//! ```
//!
//! It reads: λ/(λ + h) of a move of θ reaches φ* in a direction of curvature h. Here the shares are 1/7 and 1/2. By
//! hand: x = (1, 0), since (H + I)(1, 0) = (3, 2) = v, and then dF/dθ = 1 · x.
//!
//! ```
//! # use autodiff::{Real, hessian_vector};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! // H x at φ* = (0, 1), and λx to it.
//! let product = hessian_vector(|p| support([p[0], p[1]]), &[0.0, 1.0], &[1.0, 0.0]);
//! assert_eq!([product[0] + 1.0, product[1]], [3.0, 2.0]);
//! ```
//!
//! # 9. Conjugate gradients
//!
//! The system must be solved without its matrix. H + λI is symmetric and, at a minimum, positive definite: conjugate
//! gradients need no more than products with it, one an iteration, and keep four vectors. From x = 0:
//!
//! ```text
//! r = v, p = r
//! repeat:  τ = rᵀr / pᵀAp,  x += τ p,  r′ = r − τ A p,  β = r′ᵀr′ / rᵀr,  p = r′ + β p,  r = r′
//! ```
//!
//! After k iterations x is the best answer there is, in the norm of A, in the span of v, Av, …, Aᵏ⁻¹v; after n it is
//! exact, but for rounding.
//!
//! ```
//! # use autodiff::{Real, hessian_vector};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! // u ↦ (H + λI) u at φ* = (0, 1)
//! let product = |u: &[f64]| {
//!     let h = hessian_vector(|p| support([p[0], p[1]]), &[0.0, 1.0], u);
//!     [h[0] + u[0], h[1] + u[1]]
//! };
//! let dot = |a: &[f64], b: &[f64]| a[0] * b[0] + a[1] * b[1];
//! let cg = |iterations: usize| {
//!     let (mut x, mut r) = (vec![0.0, 0.0], vec![3.0, 2.0]);
//!     let mut p = r.clone();
//!     for _ in 0..iterations {
//!         let (ap, rr) = (product(&p), dot(&r, &r));
//!         let tau = rr / dot(&p, &ap);
//!         x = vec![x[0] + tau * p[0], x[1] + tau * p[1]];
//!         r = vec![r[0] - tau * ap[0], r[1] - tau * ap[1]];
//!         let beta = dot(&r, &r) / rr;
//!         p = vec![r[0] + beta * p[0], r[1] + beta * p[1]];
//!     }
//!     x
//! };
//! // Nothing asked, nothing known: x = 0 leaves only ∂f/∂θ.
//! assert_eq!(cg(0), [0.0, 0.0]);
//! // One step: along v, as first-order MAML, but as far as the curvature along v allows.
//! assert!((cg(1)[0] - 0.52).abs() < 1e-15 && (cg(1)[1] * 3.0 - cg(1)[0] * 2.0).abs() < 1e-15);
//! // Two dimensions, two steps: exact.
//! assert!((cg(2)[0] - 1.0).abs() < 1e-14 && cg(2)[1].abs() < 1e-14);
//! ```
//!
//! [`Cg`](crate::linear::Cg) is this, with its residual checked and negative curvature met.
//!
//! # 10. Implicit MAML
//!
//! Put together, these are the lines of the paper's algorithm: descend G from θ; take v at the end; solve by CG with
//! Hessian-vector products there. Only the last φ is kept, however long training was. This crate wants a
//! [`Problem`](crate::Problem), which records G and f; everything else follows from it.
//!
//! ```
//! use autodiff::{Real, Var};
//! use meta::inner::Hyper;
//! use meta::linear::Cg;
//! use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled};
//! use meta::problem::{At, DataSpec, Problem};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! # fn query<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::lit(3.0), q + S::one());
//! #     S::lit(0.5) * (x * x + y * y) }
//! # fn pair(v: Var<'_>) -> [Var<'_>; 2] { [0, 1].map(|i| v.slice(&[i], &[i + 1]).reshape([])) }
//!
//! struct Little;
//!
//! impl Problem for Little {
//!     fn dim(&self) -> usize {
//!         2
//!     }
//!     fn data(&self) -> Vec<DataSpec> {
//!         vec![] // One task, whose numbers are in the functions.
//!     }
//!     fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
//!         let away = at.phi - at.theta;
//!         support(pair(at.phi)) + 0.5 * at.lambda * away.dot(away)
//!     }
//!     fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
//!         query(pair(at.phi))
//!     }
//! }
//!
//! let gradient = |method: &dyn Method<f64>| {
//!     let mut g = [0.0; 2];
//!     method.worker().gradient(&[0.0, -2.0], Hyper { lambda: 1.0, rate: 0.1 }, &[], &mut g);
//!     g
//! };
//! let near = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-13;
//! let end = InnerStop::Steps(160);
//! let implicit = |stop, n| Implicit::<f64>::new(&Little, stop, Box::new(Cg::iterations(n)));
//! let unrolled = |steps, keep| Unrolled::<f64>::new(&Little, steps, keep);
//!
//! assert!(near(gradient(&implicit(end, 2)), [1.0, 0.0])); // exact
//! assert!(near(gradient(&implicit(end, 1)), [0.52, 26.0 / 75.0])); // along v
//! assert!(near(gradient(&unrolled(160, Keep::Everything)), [1.0, 0.0])); // exact, once K is large
//! assert!(near(gradient(&FirstOrder::new(&Little, 160)), [3.0, 2.0])); // v
//! assert!(near(gradient(&Reptile::new(&Little, 160)), [0.0, -3.0])); // θ − φ*
//!
//! // What they keep: every point, checkpoints (the same bits), the last point.
//! let (every, some) = (unrolled(160, Keep::Everything), unrolled(160, Keep::Checkpoints(8)));
//! assert_eq!(gradient(&some), gradient(&every));
//! assert!(some.bytes() < every.bytes());
//! assert_eq!(implicit(InnerStop::Steps(1), 2).bytes(), implicit(InnerStop::Steps(1000), 2).bytes());
//! ```
//!
//! Reptile deserves a word: it never looks at the query set. λ (θ − φ*) is the exact gradient of min_φ G(φ, θ), of how
//! well the *support* set can be fitted near θ; this too follows from ∇_φG(φ*, θ) = 0, which removes the term with
//! dφ*/dθ.
//!
//! # 11. How it goes wrong
//!
//! | what | what happens | what to do |
//! |---|---|---|
//! | K too small | v and H are taken at φ_K, not φ*; MAML is exact for another function | more steps; see ‖∇G‖ |
//! | λ too small | φ* forgets θ, and dF/dθ vanishes like λ; CG and training slow down | a larger λ |
//! | ill-conditioned H | no dependence on θ where h ≫ λ; slow training where h is small | more steps, also of CG |
//! | indefinite H + λI | φ is at no minimum, and the formula may point backwards | train on, or a larger λ |
//!
//! [`Report`](crate::Report) has what to look at, and a solver's [`Status`](crate::linear::Status) says what to do:
//!
//! ```
//! # use autodiff::{Real, Var};
//! use meta::linear::{Cg, OnNegativeCurvature, Status};
//! # use meta::inner::Hyper;
//! # use meta::method::{FirstOrder, Implicit, InnerStop, Method};
//! # use meta::problem::{At, DataSpec, Problem};
//! # fn support<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::one(), q - S::lit(2.0));
//! #     x * x + S::lit(2.0) * x * y + S::lit(2.5) * y * y }
//! # fn query<S: Real>([p, q]: [S; 2]) -> S { let (x, y) = (p + S::lit(3.0), q + S::one());
//! #     S::lit(0.5) * (x * x + y * y) }
//! # fn pair(v: Var<'_>) -> [Var<'_>; 2] { [0, 1].map(|i| v.slice(&[i], &[i + 1]).reshape([])) }
//! # struct Little;
//! # impl Problem for Little {
//! #     fn dim(&self) -> usize { 2 }
//! #     fn data(&self) -> Vec<DataSpec> { vec![] }
//! #     fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
//! #         let away = at.phi - at.theta;
//! #         support(pair(at.phi)) + 0.5 * at.lambda * away.dot(away)
//! #     }
//! #     fn outer<'t>(&self, at: &At<'t>) -> Var<'t> { query(pair(at.phi)) }
//! # }
//! let with_lambda = |method: &dyn Method<f64>, lambda: f64| {
//!     let mut g = [0.0; 2];
//!     let report = method.worker().gradient(&[0.0, -2.0], Hyper { lambda, rate: 0.1 }, &[], &mut g);
//!     (g[0].hypot(g[1]), report)
//! };
//! // λ → 0: the exact gradient goes, the first-order one does not notice.
//! let solved = InnerStop::Gradient { gradient: 1e-13, cap: 1000 };
//! let implicit = Implicit::new(&Little, solved, Box::new(Cg::iterations(2)));
//! let (at_small, at_smaller) = (with_lambda(&implicit, 1e-3).0, with_lambda(&implicit, 1e-4).0);
//! assert!(at_small < 1e-3 && (at_small / at_smaller - 10.0).abs() < 0.1);
//! assert!(with_lambda(&FirstOrder::new(&Little, 300), 1e-4).0 > 3.0);
//!
//! // A negative λ is the shortest way to an indefinite operator. CG meets pᵀAp ≤ 0 and names it.
//! let stops = Cg::iterations(2).on_negative_curvature(OnNegativeCurvature::Stop);
//! let (_, report) = with_lambda(&Implicit::new(&Little, InnerStop::Steps(0), Box::new(stops)), -3.0);
//! assert_eq!((report.status, report.negative_curvature), (Some(Status::NegativeCurvature), 1));
//! assert!(report.status.unwrap().to_string().contains("raise lambda"));
//! ```
//!
//! # Where to go from here
//!
//! - The example `bilevel`: these numbers as pictures. The example `meta_gradient`: the same with a network.
//! - [`method`](crate::method), one file for each method; [`linear`](crate::linear), the solvers;
//!   [`inner`](crate::inner), how a step recorded once serves running it and pulling back through it.
//! - Section 7 is Finn, Abbeel & Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks*, 2017;
//!   sections 8 to 10 are Rajeswaran, Finn, Kakade & Levine, *Meta-Learning with Implicit Gradients*, 2019.
