//! The three codecs, over batches of any record.

use std::hint::black_box;
use std::sync::Arc;

use abomonation::Abomonation;
use columnar::bytes::stash::Stash;
use columnar::{Borrow, Columnar, ContainerBytes, ContainerOf, Index, Len, Push};
use serde::{Serialize, de::DeserializeOwned};

use crate::best::best;

/// What a codec costs, by record.
pub struct Cost {
    pub encode_ns: f64,
    /// Reading each record where the bytes are; what a codec cannot, it does not say.
    pub view_ns: Option<f64>,
    /// Making records of their own of the bytes.
    pub own_ns: f64,
    pub bytes: f64,
    pub lz4_bytes: f64,
}

fn sizes(records: usize, bytes: &[u8]) -> (f64, f64) {
    (bytes.len() as f64 / records as f64, lz4_flex::compress(bytes).len() as f64 / records as f64)
}

/// bincode 1.3.3 with its default options, as timely calls it.
pub fn bincode<T: Serialize + DeserializeOwned>(rows: &Vec<T>) -> Cost {
    let mut store = Vec::new();
    let encode_ns = best(rows.len(), || {
        store.clear();
        bincode::serialize_into(&mut store, rows).expect("a vector takes all");
    });
    let own_ns = best(rows.len(), || {
        black_box(bincode::deserialize::<Vec<T>>(&store).expect("it was written so"));
    });
    let (bytes, lz4_bytes) = sizes(rows.len(), &store);
    Cost { encode_ns, view_ns: None, own_ns, bytes, lz4_bytes }
}

/// abomonation 0.7.3. Its bytes are read where they are, with pointers written into them.
pub fn abomonation<T: Abomonation + Clone>(rows: &Vec<T>) -> Cost {
    let mut store = Vec::new();
    let encode_ns = best(rows.len(), || {
        store.clear();
        // SAFETY: none: padding is read, which is undefined. That is what the codec does.
        unsafe { abomonation::encode(rows, &mut store) }.expect("a vector takes all");
    });
    let (bytes, lz4_bytes) = sizes(rows.len(), &store);
    // Records begin at a multiple of eight, which is what they ask for.
    let mut words = vec![0u64; store.len().div_ceil(8)];
    // SAFETY: words are bytes; the slice has no more of them than the words.
    let aligned = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), store.len()) };
    aligned.copy_from_slice(&store);
    // SAFETY: the bytes were written by `encode` of the same type, and are aligned.
    let mut decode = |each: &mut dyn FnMut(&T)| {
        let (rows, _) = unsafe { abomonation::decode::<Vec<T>>(aligned) }.expect("it was written so");
        rows.iter().for_each(each);
    };
    let view_ns = best(rows.len(), || decode(&mut |row| _ = black_box(row)));
    let own_ns = best(rows.len(), || {
        let mut own = Vec::with_capacity(rows.len());
        decode(&mut |row| own.push(row.clone()));
        black_box(own);
    });
    Cost { encode_ns, view_ns: Some(view_ns), own_ns, bytes, lz4_bytes }
}

/// columnar 0.13. Encoding has the way into columns in it; reading has the check of the bytes.
pub fn columnar<T>(rows: &[T]) -> Cost
where
    T: Columnar,
    ContainerOf<T>: ContainerBytes + for<'a> Push<&'a T>,
{
    let mut store: Vec<u8> = Vec::new();
    let mut columns: ContainerOf<T> = Default::default();
    let encode_ns = best(rows.len(), || {
        columnar::Clear::clear(&mut columns);
        rows.iter().for_each(|row| columns.push(row));
        store.clear();
        columnar::bytes::indexed::write(&mut store, &columns.borrow()).expect("a vector takes all");
    });
    let (bytes, lz4_bytes) = sizes(rows.len(), &store);
    let shared: Arc<[u8]> = store.into();
    let read = || Stash::<ContainerOf<T>, Arc<[u8]>>::try_from_bytes(shared.clone()).expect("it was written so");
    let view_ns = best(rows.len(), || {
        let stash = read();
        let columns = stash.borrow();
        (0..columns.len()).for_each(|place| _ = black_box(columns.get(place)));
    });
    let own_ns = best(rows.len(), || {
        let stash = read();
        let columns = stash.borrow();
        black_box((0..columns.len()).map(|place| T::into_owned(columns.get(place))).collect::<Vec<T>>());
    });
    Cost { encode_ns, view_ns: Some(view_ns), own_ns, bytes, lz4_bytes }
}
