//! Functions of one number: y = f(x), ẏ = f′(x) ẋ.

use std::f64::consts::FRAC_2_SQRT_PI;

use crate::real::Real;

/// A differentiable function of one number.
pub trait Unary: Copy + Default {
    /// y = f(x)
    fn f<S: Real>(self, x: S) -> S;
    /// f′(x), given y = f(x) too: often the cheaper thing to compute it from.
    fn df<S: Real>(self, x: S, y: S) -> S;
}

/// Something to do with a rule whose type is only known at run time.
pub trait UnaryVisitor {
    /// What visiting gives.
    type Output;
    /// Receives the rule.
    fn visit<U: Unary>(self, rule: U) -> Self::Output;
}

/// y = eˣ        ẏ = y ẋ
#[derive(Clone, Copy, Default)]
pub struct Exp;
impl Unary for Exp {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.exp()
    }
    fn df<S: Real>(self, _x: S, y: S) -> S {
        y
    }
}

/// y = eˣ − 1        ẏ = eˣ ẋ
#[derive(Clone, Copy, Default)]
pub struct ExpM1;
impl Unary for ExpM1 {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.exp_m1()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        // Not y + 1, which loses eˣ to rounding where x ≪ 0.
        x.exp()
    }
}

/// y = ln x        ẏ = ẋ / x
#[derive(Clone, Copy, Default)]
pub struct Ln;
impl Unary for Ln {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.ln()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        x.recip()
    }
}

/// y = ln(1 + x)        ẏ = ẋ / (1 + x)
#[derive(Clone, Copy, Default)]
pub struct Ln1p;
impl Unary for Ln1p {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.ln_1p()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        (x + S::one()).recip()
    }
}

/// y = √x        ẏ = ẋ / (2 y)
#[derive(Clone, Copy, Default)]
pub struct Sqrt;
impl Unary for Sqrt {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.sqrt()
    }
    fn df<S: Real>(self, _x: S, y: S) -> S {
        S::lit(0.5) / y
    }
}

/// y = 1/x        ẏ = −y² ẋ
#[derive(Clone, Copy, Default)]
pub struct Recip;
impl Unary for Recip {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.recip()
    }
    fn df<S: Real>(self, _x: S, y: S) -> S {
        -(y * y)
    }
}

/// y = sin x        ẏ = cos x ẋ
#[derive(Clone, Copy, Default)]
pub struct Sin;
impl Unary for Sin {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.sin()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        x.cos()
    }
}

/// y = cos x        ẏ = −sin x ẋ
#[derive(Clone, Copy, Default)]
pub struct Cos;
impl Unary for Cos {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.cos()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        -x.sin()
    }
}

/// y = tanh x        ẏ = (1 − y²) ẋ
#[derive(Clone, Copy, Default)]
pub struct Tanh;
impl Unary for Tanh {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.tanh()
    }
    fn df<S: Real>(self, _x: S, y: S) -> S {
        S::one() - y * y
    }
}

/// y = 1/(1 + e⁻ˣ)        ẏ = y (1 − y) ẋ
#[derive(Clone, Copy, Default)]
pub struct Sigmoid;
impl Unary for Sigmoid {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.sigmoid()
    }
    fn df<S: Real>(self, _x: S, y: S) -> S {
        y * (S::one() - y)
    }
}

/// y = ln(1 + eˣ)        ẏ = sigmoid(x) ẋ
#[derive(Clone, Copy, Default)]
pub struct Softplus;
impl Unary for Softplus {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.softplus()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        x.sigmoid()
    }
}

/// y = erf x        ẏ = 2/√π e^(−x²) ẋ
#[derive(Clone, Copy, Default)]
pub struct Erf;
impl Unary for Erf {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.erf()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        (-(x * x)).exp() * S::lit(FRAC_2_SQRT_PI)
    }
}

/// y = 1 − erf x        ẏ = −2/√π e^(−x²) ẋ
#[derive(Clone, Copy, Default)]
pub struct Erfc;
impl Unary for Erfc {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.erfc()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        (-(x * x)).exp() * S::lit(-FRAC_2_SQRT_PI)
    }
}

/// y = |x|        ẏ = sign(x) ẋ, sign(0) = 0
#[derive(Clone, Copy, Default)]
pub struct Abs;
impl Unary for Abs {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.abs()
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        let zero = S::zero();
        // Neither comparison holds at 0, and for NaN; x · 0 is 0 at one and NaN at the other.
        S::select(x.less(zero), S::lit(-1.0), S::select(zero.less(x), S::one(), x * zero))
    }
}

/// y = −x        ẏ = −ẋ
#[derive(Clone, Copy, Default)]
pub struct Neg;
impl Unary for Neg {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        -x
    }
    fn df<S: Real>(self, _x: S, _y: S) -> S {
        S::lit(-1.0)
    }
}

/// y = xⁿ        ẏ = n xⁿ⁻¹ ẋ
#[derive(Clone, Copy, Default)]
pub struct Powi(pub i32);
impl Unary for Powi {
    #[inline(always)]
    fn f<S: Real>(self, x: S) -> S {
        x.powi(self.0)
    }
    fn df<S: Real>(self, x: S, _y: S) -> S {
        match self.0 {
            0 => S::zero(),
            n => x.powi(n.saturating_sub(1)) * S::lit(f64::from(n)),
        }
    }
}

/// The table of functions without parameters: `Rule method`. [`Powi`] is the one with.
macro_rules! for_each_unary {
    ($callback:ident) => {
        $callback! {
            Exp exp, ExpM1 exp_m1, Ln ln, Ln1p ln_1p, Sqrt sqrt, Recip recip, Sin sin, Cos cos, Tanh tanh,
            Sigmoid sigmoid, Softplus softplus, Erf erf, Erfc erfc, Abs abs
        }
    };
}
pub(crate) use for_each_unary;

macro_rules! unary_op {
    ($($rule:ident $method:ident),*) => {
        /// A rule as a value, for the tape.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum UnaryOp { Neg, $($rule,)* Powi(i32) }

        impl UnaryOp {
            /// Hands the rule to `visitor` as a type.
            #[inline(always)]
            pub fn visit<V: UnaryVisitor>(self, visitor: V) -> V::Output {
                match self {
                    UnaryOp::Neg => visitor.visit(Neg),
                    $(UnaryOp::$rule => visitor.visit($rule),)*
                    UnaryOp::Powi(n) => visitor.visit(Powi(n)),
                }
            }

            /// The name of its method on [`Real`](crate::Real).
            pub fn name(self) -> &'static str {
                match self {
                    UnaryOp::Neg => "neg",
                    $(UnaryOp::$rule => stringify!($method),)*
                    UnaryOp::Powi(_) => "powi",
                }
            }

            /// Every rule, with one representative power.
            pub const ALL: &[UnaryOp] = &[UnaryOp::Neg, $(UnaryOp::$rule,)* UnaryOp::Powi(3)];
        }
    };
}
for_each_unary!(unary_op);
