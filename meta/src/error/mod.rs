//! How far a meta-gradient is from the exact one.
//!
//! | | for | says |
//! |---|---|---|
//! | [`Certificate`] | [convex tasks](crate::convex) | a bound, proven: the error is never above it |
//! | [`ErrorEstimate`] | any problem, smooth networks too | an estimate: about how large the error is |
//! | [`ToleranceState`] | training | how small it has to be for the choice of tasks to matter more |
//!
//! # The certificate, derived
//!
//! At φ, with x̂ = ĝ/λ, H = ∇²L_support(φ), A = H + λI, v = ∇L_query(φ), and stars for the same at φ* = argmin G:
//! the exact gradient is g* = λA*⁻¹v*, the residual r = v − (I + H/λ)ĝ = v − Ax̂, and
//!
//! ```text
//! ĝ − g* = λA*⁻¹(A*x̂ − v*) = λA*⁻¹( −r + (H* − H)x̂ + v − v* )                                      (1)
//! ```
//!
//! Let A ⪰ μ everywhere, ∇²L_support be ρ-Lipschitz, ‖∇²L_query‖ ≤ L, and ε = ‖φ − φ*‖. Strong convexity gives
//! ε ≤ ‖∇G(φ)‖/μ, and (1), term by term,
//!
//! ```text
//! ‖ĝ − g*‖ ≤ (λ/μ)‖r‖ + [ρ‖ĝ‖ + λL]/μ · ‖∇G(φ)‖/μ                                                    (2)
//! ```
//!
//! This is the bound of the usual derivation, which goes through the exact solution at φ, less its ρ(λ/μ)‖r‖·ε/μ: the
//! residual is multiplied by A*⁻¹ alone. Where L is self-concordant with spread τ along φ − φ* (see
//! [`ConvexTask`](crate::convex::ConvexTask)), ±(H* − H) ⪯ (e^τ − 1)H and H ⪯ e^τ A* give
//!
//! ```text
//! ‖A*⁻¹(H* − H)x̂‖ ≤ μ^{−½} e^{τ/2} (e^τ − 1) (x̂ᵀHx̂)^{½}                                             (3)
//! ```
//!
//! in place of ρ‖x̂‖ε/μ, and the smaller is taken: (3) loses √κ where (2) loses κ.
//!
//! # The directed bound
//!
//! (2) bounds directions by norms. With some products more ([`Claim::certify_with`]) they are computed. Let
//! s = ∇G(φ) = Ā(φ − φ*), Ā the mean Hessian of G on the segment, δ ≈ A⁻¹s any vector, q = s − Aδ. The spread τ gives
//! (1 − e^{−τ})/τ A ⪯ Ā ⪯ (e^τ − 1)/τ A, hence
//!
//! ```text
//! ‖φ − φ* − δ‖ ≤ η = ‖A⁻¹q‖ + min( μ^{−½}(τ/(1 − e^{−τ}) − 1)(sᵀA⁻¹s)^{½},  ρε²/(2μ) )               (4)
//! ε ≤ ‖δ‖ + η        τ ≤ spread(δ) + spread factor · η        1 − e^{−τ} ≤ spread factor · (sᵀA⁻¹s/μ)^{½}
//! ```
//!
//! of which the last bounds τ before anything else is known: from sᵀ(φ − φ*) ≥ (1 − e^{−τ})/τ ‖φ − φ*‖²_A. Expanding
//! (1) about φ along δ, with ±(H* − H + ∇³L[φ − φ*]) ⪯ (e^τ − 1 − τ)H,
//!
//! ```text
//! w = −r − ∇³L_support[δ, x̂] + ∇²L_query δ
//! ‖ĝ − g*‖ ≤ λ‖A⁻¹w‖ + λ min( ρε/μ ‖A⁻¹w‖,  μ^{−½} e^{τ/2}(e^τ − 1)(wᵀA⁻¹w)^{½} )
//!          + λ μ^{−½} e^{τ/2} (e^τ − 1 − τ + spread factor · η)(x̂ᵀHx̂)^{½} + (λ/μ)(Lη + ½ρ_query ε²)   (5)
//! ```
//!
//! ‖A⁻¹q‖, ‖A⁻¹w‖, sᵀA⁻¹s and wᵀA⁻¹w are bounded by Gauss–Radau rules with a node at μ (`lanczos.rs`). As ∇G → 0 all
//! of (5) but its first term vanishes faster than the error, and the first is the error to first order.
//!
//! # How loose
//!
//! Over 10,000 tasks, half quadratics, half softmax heads on conv4 features of Omniglot, solved to all accuracies, the
//! bound was never below the error; median bound/error at condition numbers 10, 100, 10³, 10⁴: formula (2) with (3) 2.5,
//! 4.5, 7.4, 16; with (5), an effort of 8: 1.0, 1.1, 2.0, 7.2. Heads whose inner solve is coarse (a spread τ far above 1)
//! are the exception: there no bound here is close. `cargo test -p integration certificates -- --ignored
//! --nocapture` with OMNIGLOT_DIR set.
//!
//! # How near estimates are
//!
//! Over 1,000 tasks, half of mlp:1-16-16-1 with tanh on sinusoids, half of conv4 with 4 channels and softplus on glyphs,
//! ‖∇G‖ at 10⁻¹ to 10⁻⁴ of its start and 3 to 10 CG iterations: estimate/error is within a factor 2 on 99.8 % and on 99.6 %
//! of them, and in nine of ten between 0.98 and 1.00, 0.96 and 1.00. From PyTorch's smaller initialisation, where conv4 is
//! six times as curved, it is on 95 % of 100 tasks, at 240 products a task instead of 20 and 66.
//! `cargo test -p integration estimates -- --ignored --nocapture`.
//!
//! # Rounding
//!
//! r, ∇G, q and w are computed from the task's data in `f64`, each with a bound on its rounding error from the task's
//! formulas; these enter as perturbations of r, s, q and w: (λ/μ)·, and are reported as [`Certificate::rounding`] where
//! they are of r. Eigenvalues of Gram matrices are moved outwards by their rounding error. Norms carry a factor
//! 1 + 8 dim 2⁻⁵³.

mod certificate;
mod estimate;
mod lanczos;
mod tolerance;

pub use certificate::{Certificate, Claim};
pub use estimate::{Answer, ErrorEstimate, Estimator, EstimatorSpace};
pub use tolerance::{EVERY, Tolerance, ToleranceState, TolerantCg, TolerantDescent};
