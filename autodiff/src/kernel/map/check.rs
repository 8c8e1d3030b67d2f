//! What a pass is checked for once, so that running it need not.

use super::{LeafValue, MOST_SLOTS, Map, MapOp, Reading, Slot, SumKind};
use crate::element::Element;

impl<T: Element> Map<T> {
    /// What running relies on beyond bounds.
    ///
    /// # Panics
    /// Where something is not so: a defect of the compiler that made it.
    pub(in crate::kernel) fn check(&self) {
        assert!(self.leaves.len() <= MOST_SLOTS && self.registers <= MOST_SLOTS && self.outputs.len() <= MOST_SLOTS);
        assert!(self.work.len == self.work_len() && self.block > 0);
        let block = self.block.min(self.numel);
        for leaf in &self.leaves {
            if let LeafValue::At(x) = leaf.value {
                match &leaf.reading {
                    Reading::InOrder => assert_eq!(x.len, self.numel),
                    Reading::Repeated => assert!(x.len > 0 && (block.is_multiple_of(x.len) || self.numel == 0)),
                    Reading::Strided { dims, strides } => {
                        let count = dims.iter().try_fold(1_usize, |product, &d| product.checked_mul(d));
                        assert_eq!(count, Some(self.numel));
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
        for y in &self.outputs {
            assert_eq!(y.len, self.numel);
        }
        for s in &self.sums {
            let fits = match s.kind {
                SumKind::Rows(period) => period > 0 && s.y.len == period && self.numel.is_multiple_of(period),
                SumKind::Within { row, lanes } => {
                    let sums = s.y.len.checked_div(lanes).and_then(|rows| rows.checked_mul(row));
                    row > 0
                        && row.is_multiple_of(lanes)
                        && s.y.len.is_multiple_of(lanes)
                        && sums == Some(self.numel)
                        && block.is_multiple_of(row)
                }
                SumKind::All { lanes } => lanes > 0 && s.y.len == lanes && self.numel.is_multiple_of(lanes),
            };
            assert!(fits, "a fused sum has the shape of its group");
        }
        let exists = |slot: Slot| match slot {
            Slot::Leaf(i) => usize::from(i) < self.leaves.len(),
            Slot::Register(i) => usize::from(i) < self.registers,
            Slot::Output(i) => usize::from(i) < self.outputs.len(),
        };
        for i in &self.code {
            assert!(i.sources.iter().all(|&s| exists(s)), "sources exist");
            if let MapOp::Sum(s) = i.op {
                assert!(usize::from(s) < self.sums.len());
                continue;
            }
            assert!(exists(i.target) && !matches!(i.target, Slot::Leaf(_)), "a leaf is never written");
            assert!(!i.sources.contains(&i.target), "an instruction does not read what it writes");
        }
    }
}
