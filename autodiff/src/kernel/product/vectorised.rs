//! The micro-kernels are what they are written to be: asserted on the machine code.

use super::dots::Dots;
use super::lanes::{FAR, PLAIN, Strip, TAIL, Tiles};
use super::simd::Simd;
use super::tile::{MicroKernel, Tile, most_rows};
use super::vectors::Vectors;
use crate::kernel::machine_code::{Width, loops};

/// One step of the depth is a multiply-add for every vector of the tile and nothing else that computes, and the tile
/// stays in registers.
fn check<V: Simd, const ROWS: usize, const VECTORS: usize>(width: Width)
where
    V::Scalar: 'static,
{
    assert_eq!(ROWS, most_rows(V::REGISTERS, VECTORS), "the tallest tile that is {VECTORS} vectors wide");
    let kernels = [
        V::compiled::<&Tile<'_, V::Scalar>, MicroKernel<'_, V, ROWS, VECTORS, false>>() as usize,
        V::compiled::<&Tile<'_, V::Scalar>, MicroKernel<'_, V, ROWS, VECTORS, true>>() as usize,
    ];
    for kernel in kernels {
        let Some(loops) = loops(kernel) else { return };
        let name = format!("{ROWS} × {VECTORS} vectors of {}", std::any::type_name::<V>());
        let hot = loops.iter().max_by_key(|l| l.fused).expect("a micro-kernel loops over the depth");
        assert!(hot.fused > 0 && hot.fused == hot.packed(width) && hot.scalar == 0, "{name}: {hot:?}");
        // Assertions check every pointer, and the loop is too long for the compiler to keep the tile in registers.
        if !cfg!(debug_assertions) {
            assert_eq!((hot.fused, hot.stores, hot.calls), (ROWS * VECTORS, 0, 0), "{name}: {hot:?}");
        }
    }
}

/// So are the products in lanes, whether or not lanes share an operand.
fn check_lanes<V: Simd, const COLUMNS: usize>(width: Width)
where
    V::Scalar: 'static,
{
    let kernels = [
        V::compiled::<Strip<V::Scalar>, Tiles<V, false, false, 5, COLUMNS, PLAIN>>() as usize,
        V::compiled::<Strip<V::Scalar>, Tiles<V, true, false, 5, COLUMNS, PLAIN>>() as usize,
        V::compiled::<Strip<V::Scalar>, Tiles<V, false, true, 5, COLUMNS, PLAIN>>() as usize,
        V::compiled::<Strip<V::Scalar>, Tiles<V, false, false, 5, COLUMNS, FAR>>() as usize,
        V::compiled::<Strip<V::Scalar>, Tiles<V, false, false, 5, COLUMNS, TAIL>>() as usize,
    ];
    for kernel in kernels {
        let Some(loops) = loops(kernel) else { return };
        let name = format!("lanes of {}", std::any::type_name::<V>());
        let hot = loops.iter().max_by_key(|l| l.fused).expect("a micro-kernel loops over the depth");
        assert!(hot.fused > 0 && hot.fused == hot.packed(width) && hot.scalar == 0, "{name}: {hot:?}");
        if !cfg!(debug_assertions) {
            assert_eq!((hot.fused, hot.stores, hot.calls), (5 * COLUMNS, 0, 0), "{name}: {hot:?}");
        }
    }
}

/// With one column the lanes run along the depth.
fn check_dots<V: Simd>(width: Width)
where
    V::Scalar: 'static,
{
    let Some(loops) = loops(V::compiled::<Dots<'_, V>, Dots<'_, V>>() as usize) else { return };
    let name = format!("dots of {}", std::any::type_name::<V>());
    // What is added after the last step of the depth, one lane to another, is scalar.
    let hot = loops.iter().max_by_key(|l| l.fused).filter(|l| l.fused > 0 && l.scalar == 0);
    assert!(hot.is_some_and(|hot| hot.packed(width) == hot.fused), "{name}: {loops:?}");
}

fn check_all<T: Vectors + 'static>() {
    check::<T::Avx512, 16, 1>(Width::Zmm);
    check::<T::Avx512, 12, 2>(Width::Zmm);
    check::<T::Avx512, 8, 3>(Width::Zmm);
    check::<T::Avx512, 6, 4>(Width::Zmm);
    check::<T::HalfAvx512, 16, 1>(Width::Ymm);
    check::<T::Avx2, 10, 1>(Width::Ymm);
    check::<T::Avx2, 6, 2>(Width::Ymm);
    check_lanes::<T::Avx512, 4>(Width::Zmm);
    check_lanes::<T::Avx512, 2>(Width::Zmm);
    check_lanes::<T::Avx2, 2>(Width::Ymm);
    check_dots::<T::Avx512>(Width::Zmm);
    check_dots::<T::Avx2>(Width::Ymm);
}

#[test]
fn micro_kernels_keep_a_tile_in_registers() {
    check_all::<f32>();
    check_all::<f64>();
}
