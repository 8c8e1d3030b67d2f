//! What is vectorised is told from what is not.

use super::*;

/// Each number needs the one before.
struct Recurrence<'a>(&'a mut [f32]);
impl Task for Recurrence<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mut last = 1.0;
        for x in self.0 {
            last = last * 0.5 + *x;
            *x = last;
        }
    }
}

/// `std` calls the system's library, a number at a time.
struct Library<'a>(&'a mut [f32]);
impl Task for Library<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|x| *x = 1.0 + x.exp());
    }
}

/// y ← 2 y + 1, which any compiler vectorises.
struct Line<'a>(&'a mut [f32]);
impl Task for Line<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|x| *x = 2.0 * *x + 1.0);
    }
}

/// Whether each function is vectorised in its registers.
fn found<K: Task>() -> Option<Vec<bool>> {
    functions::<K>().into_iter().map(|(width, f)| Some(vectorised(&loops(f)?, width).is_ok())).collect()
}

#[test]
fn loops_that_are_vectorised_are_told_from_those_that_are_not() {
    let Some(line) = found::<Line<'_>>() else { return };
    assert_eq!(line, [true, true]);
    assert_eq!(found::<Recurrence<'_>>(), Some(vec![false, false]));
    assert_eq!(found::<Library<'_>>(), Some(vec![false, false]));
}

#[test]
fn vectors_of_half_the_registers_are_not_enough() {
    let [(_, avx2), _] = functions::<Line<'_>>();
    let Some(loops) = loops(avx2) else { return };
    assert!(vectorised(&loops, Width::Ymm).is_ok());
    assert!(vectorised(&loops, Width::Zmm).is_err());
}

#[test]
fn instructions_are_told_apart() {
    let of = |line| Instruction::parse(line).unwrap();
    let packed = of("  25bc80:\tvfmadd231ps zmm0,zmm1,DWORD BCST [rax+0x4]");
    assert_eq!((packed.address, Loop::of(&[packed]).packed(Width::Zmm), Loop::of(&[packed]).fused), (0x25bc80, 1, 1));
    assert_eq!(Loop::of(&[of("  1:\tvmulsd xmm0,xmm1,xmm2"), of("  2:\taddss  xmm0,xmm1")]).scalar, 2);
    assert_eq!(Loop::of(&[of("  1:\tvmovups ZMMWORD PTR [rsp+0x40],zmm1")]).stores, 1);
    assert_eq!(Loop::of(&[of("  1:\tvmovups zmm1,ZMMWORD PTR [rsp+0x40]")]), Loop::default());
    assert_eq!(of("  1:\tjne    25bc80 <name+0x20>").jumps_to(), Some(0x25bc80));
    assert_eq!(of("  1:\tjmp    rax").jumps_to(), None);
}
