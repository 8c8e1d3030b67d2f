//! Functions of two numbers: z = f(x, y), ż = ∂f/∂x ẋ + ∂f/∂y ẏ.

use crate::real::Real;

/// A differentiable function of two numbers.
pub trait Binary: Copy + Default {
    /// z = f(x, y)
    fn f<S: Real>(self, x: S, y: S) -> S;
    /// ∂f/∂x, given z = f(x, y) too.
    fn dfdx<S: Real>(self, x: S, y: S, z: S) -> S;
    /// ∂f/∂y, given z = f(x, y) too.
    fn dfdy<S: Real>(self, x: S, y: S, z: S) -> S;
}

/// Something to do with a rule whose type is only known at run time.
pub trait BinaryVisitor {
    /// What visiting gives.
    type Output;
    /// Receives the rule.
    fn visit<B: Binary>(self, rule: B) -> Self::Output;
}

/// z = x + y        ż = ẋ + ẏ
#[derive(Clone, Copy, Default)]
pub struct Add;
impl Binary for Add {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x + y
    }
    fn dfdx<S: Real>(self, _x: S, _y: S, _z: S) -> S {
        S::one()
    }
    fn dfdy<S: Real>(self, _x: S, _y: S, _z: S) -> S {
        S::one()
    }
}

/// z = x − y        ż = ẋ − ẏ
#[derive(Clone, Copy, Default)]
pub struct Sub;
impl Binary for Sub {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x - y
    }
    fn dfdx<S: Real>(self, _x: S, _y: S, _z: S) -> S {
        S::one()
    }
    fn dfdy<S: Real>(self, _x: S, _y: S, _z: S) -> S {
        S::lit(-1.0)
    }
}

/// z = x y        ż = y ẋ + x ẏ
#[derive(Clone, Copy, Default)]
pub struct Mul;
impl Binary for Mul {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x * y
    }
    fn dfdx<S: Real>(self, _x: S, y: S, _z: S) -> S {
        y
    }
    fn dfdy<S: Real>(self, x: S, _y: S, _z: S) -> S {
        x
    }
}

/// z = x / y        ż = (1/y) ẋ − (z/y) ẏ
#[derive(Clone, Copy, Default)]
pub struct Div;
impl Binary for Div {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x / y
    }
    fn dfdx<S: Real>(self, _x: S, y: S, _z: S) -> S {
        y.recip()
    }
    fn dfdy<S: Real>(self, _x: S, y: S, z: S) -> S {
        -(z / y)
    }
}

/// z = max(x, y)        ż = ẋ where x ≥ y, else ẏ
#[derive(Clone, Copy, Default)]
pub struct Max;
impl Binary for Max {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x.max(y)
    }
    fn dfdx<S: Real>(self, x: S, y: S, _z: S) -> S {
        S::select(x.less(y), S::zero(), S::one())
    }
    fn dfdy<S: Real>(self, x: S, y: S, _z: S) -> S {
        S::select(x.less(y), S::one(), S::zero())
    }
}

/// z = min(x, y)        ż = ẋ where x ≤ y, else ẏ
#[derive(Clone, Copy, Default)]
pub struct Min;
impl Binary for Min {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x.min(y)
    }
    fn dfdx<S: Real>(self, x: S, y: S, _z: S) -> S {
        S::select(y.less(x), S::zero(), S::one())
    }
    fn dfdy<S: Real>(self, x: S, y: S, _z: S) -> S {
        S::select(y.less(x), S::one(), S::zero())
    }
}

/// z = xʸ, x > 0        ż = y xʸ⁻¹ ẋ + z ln x ẏ
#[derive(Clone, Copy, Default)]
pub struct Powf;
impl Binary for Powf {
    #[inline(always)]
    fn f<S: Real>(self, x: S, y: S) -> S {
        x.powf(y)
    }
    fn dfdx<S: Real>(self, x: S, y: S, _z: S) -> S {
        y * x.powf(y - S::one())
    }
    fn dfdy<S: Real>(self, x: S, _y: S, z: S) -> S {
        z * x.ln()
    }
}

/// The table: `Rule name`.
macro_rules! for_each_binary {
    ($callback:ident) => {
        $callback! { Add add, Sub sub, Mul mul, Div div, Max max, Min min, Powf powf }
    };
}

macro_rules! binary_op {
    ($($rule:ident $name:ident),*) => {
        /// A rule as a value, for the tape.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum BinaryOp { $($rule),* }

        impl BinaryOp {
            /// Hands the rule to `visitor` as a type.
            #[inline(always)]
            pub fn visit<V: BinaryVisitor>(self, visitor: V) -> V::Output {
                match self { $(BinaryOp::$rule => visitor.visit($rule)),* }
            }

            /// The name of the operation.
            pub fn name(self) -> &'static str {
                match self { $(BinaryOp::$rule => stringify!($name)),* }
            }

            /// Every rule.
            pub const ALL: &[BinaryOp] = &[$(BinaryOp::$rule),*];
        }
    };
}
for_each_binary!(binary_op);
