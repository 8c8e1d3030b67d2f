//! The floating-point types a plan can run in.

use crate::kernel::{Plain, ProductElement, math};
use crate::once::Once;
use crate::real::Real;

/// `f32` or `f64`.
pub trait Element:
    Real<Mask = bool> + ProductElement + Once + Plain + PartialOrd + Default + Send + Sync + std::fmt::Display + 'static
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;
    /// The distance from 1 to the next larger number.
    const EPSILON: f64;
    /// The largest finite number.
    const MAX: Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Rounded to nearest.
    fn from_f64(value: f64) -> Self;
    /// Whether it is no number.
    fn is_nan(self) -> bool;

    /// Up to here the sine and cosine below hold, which vectorise; [`Real::sin`] is the same there and goes on.
    const SIN_EXACT: Self;
    /// sin x for |x| ≤ [`SIN_EXACT`](Element::SIN_EXACT).
    fn moderate_sin(self) -> Self;
    /// cos x for |x| ≤ [`SIN_EXACT`](Element::SIN_EXACT).
    fn moderate_cos(self) -> Self;
}

macro_rules! element {
    ($float:ident, $math:ident) => {
        impl Element for $float {
            const NAME: &'static str = stringify!($float);
            const EPSILON: f64 = $float::EPSILON as f64;
            const MAX: Self = $float::MAX;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $float
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $float::is_nan(self)
            }

            const SIN_EXACT: Self = math::$math::SIN_EXACT;
            #[inline(always)]
            fn moderate_sin(self) -> Self {
                math::$math::sin(self)
            }
            #[inline(always)]
            fn moderate_cos(self) -> Self {
                math::$math::cos(self)
            }
        }
    };
}

element!(f32, single);
element!(f64, double);
