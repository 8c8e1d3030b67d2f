//! What a pass is checked for once, so that running it need not.

use super::{LeafValue, MOST_SLOTS, Map, MapOp, Reading, Slot, SumKind};
use crate::element::Element;

impl<T: Element> Map<T> {
    /// What running relies on beyond bounds.
    ///
    /// # Panics
    /// Where something is not so: a defect of the compiler that made it.
    pub fn check(&self) {
        let m = self;
        assert!(m.leaves.len() <= MOST_SLOTS && m.registers <= MOST_SLOTS && m.outputs.len() <= MOST_SLOTS);
        assert!(m.work.len == m.work_len() && m.block > 0);
        let block = m.block.min(m.numel);
        for leaf in &m.leaves {
            if let LeafValue::At(x) = leaf.value {
                match &leaf.reading {
                    Reading::InOrder => assert_eq!(x.len, m.numel),
                    Reading::Repeated => assert!(x.len > 0 && (block.is_multiple_of(x.len) || m.numel == 0)),
                    Reading::Strided { dims, strides } => {
                        let count = dims.iter().try_fold(1_usize, |product, &d| product.checked_mul(d));
                        assert_eq!(count, Some(m.numel));
                        let step = |(&d, &s): (&usize, &usize)| d.checked_sub(1)?.checked_mul(s);
                        let mut last = Some(0_usize);
                        for axis in dims.iter().zip(strides) {
                            last = last.and_then(|sum| sum.checked_add(step(axis)?));
                        }
                        assert!(!dims.is_empty() && last.is_some_and(|last| last < x.len));
                    }
                }
            }
        }
        for y in &m.outputs {
            assert_eq!(y.len, m.numel);
        }
        for s in &m.sums {
            let fits = match s.kind {
                SumKind::Rows(period) => period > 0 && s.y.len == period && m.numel.is_multiple_of(period),
                SumKind::Within { row, lanes } => {
                    let sums = s.y.len.checked_div(lanes).and_then(|rows| rows.checked_mul(row));
                    row > 0
                        && row.is_multiple_of(lanes)
                        && s.y.len.is_multiple_of(lanes)
                        && sums == Some(m.numel)
                        && block.is_multiple_of(row)
                }
                SumKind::All { lanes } => lanes > 0 && s.y.len == lanes && m.numel.is_multiple_of(lanes),
            };
            assert!(fits, "a fused sum has the shape of its group");
        }
        let exists = |slot: Slot| match slot {
            Slot::Leaf(i) => usize::from(i) < m.leaves.len(),
            Slot::Register(i) => usize::from(i) < m.registers,
            Slot::Output(i) => usize::from(i) < m.outputs.len(),
        };
        for i in &m.code {
            assert!(i.sources.iter().all(|&s| exists(s)), "sources exist");
            if let MapOp::Sum(s) = i.op {
                assert!(usize::from(s) < m.sums.len());
                continue;
            }
            assert!(exists(i.target) && !matches!(i.target, Slot::Leaf(_)), "a leaf is never written");
            assert!(!i.sources.contains(&i.target), "an instruction does not read what it writes");
        }
    }
}
