//! What a batch takes up.

use std::rc::Rc;

use differential_dataflow::trace::implementations::ord_neu::OrdKeyBatch;
use differential_dataflow::trace::implementations::ord_neu::layers::{Upds, Vals};
use differential_dataflow::trace::implementations::{OffsetList, Update, Vector};

use crate::batches::ValBatch;

/// What a batch has allocated for itself.
///
/// ```
/// use dataflows::arrangements::Footprint;
///
/// let with_room: Vec<u64> = Vec::with_capacity(100);
/// assert!(with_room.bytes() >= 800);
/// ```
pub trait Footprint {
    /// In bytes.
    fn bytes(&self) -> usize;
}

impl<B: Footprint> Footprint for Rc<B> {
    fn bytes(&self) -> usize {
        B::bytes(self)
    }
}

impl<U: Update<Diff: Ord>> Footprint for ValBatch<U> {
    fn bytes(&self) -> usize {
        let storage = self.storage();
        storage.keys.bytes() + storage.vals.bytes() + storage.upds.bytes()
    }
}

impl<U: Update> Footprint for OrdKeyBatch<Vector<U>> {
    fn bytes(&self) -> usize {
        self.storage.keys.bytes() + self.storage.upds.bytes()
    }
}

impl<O: Footprint, V: Footprint> Footprint for Vals<O, V> {
    fn bytes(&self) -> usize {
        self.offs.bytes() + self.vals.bytes()
    }
}

impl<O: Footprint, T: Footprint, D: Footprint> Footprint for Upds<O, T, D> {
    fn bytes(&self) -> usize {
        self.offs.bytes() + self.times.bytes() + self.diffs.bytes()
    }
}

impl<T> Footprint for Vec<T> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl Footprint for OffsetList {
    fn bytes(&self) -> usize {
        self.smol.bytes() + self.chonk.bytes()
    }
}
