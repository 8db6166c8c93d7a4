//! Arrays in the events of random histories: none at all, empty, with the same element twice, and with elements that are missing or of
//! another type.

use dataflows::model::Value;
use proptest::prelude::*;

use super::definitions::{PRICE, PRODUCTS, SKU, TAG, TAGS, VARIANT};
use super::drafts::{anything, number, text};
use super::expressions::list;

/// The most elements that an array has.
const ELEMENTS_MAX: usize = 4;

/// The fields that an event has of its arrays.
pub fn array_fields() -> impl Strategy<Value = Vec<(usize, Value)>> {
    let tags = prop_oneof![2 => Just(None), 1 => list_value().prop_map(Some)];
    let tags = tags.prop_map(|tags| tags.map_or_else(Vec::new, |tags| vec![(TAGS, tags.clone()), (TAG, tags)]));
    let products = prop_oneof![
        3 => Just(Vec::new()),
        5 => products(),
        // Of an array that is there, not all need to be.
        1 => (products(), SKU..=VARIANT).prop_map(|(mut fields, column)| {
            fields.retain(|(field, _)| *field != column);
            fields
        }),
        1 => products().prop_map(|fields| fields[..1].to_vec()),
    ];
    (tags, products).prop_map(|(tags, products)| [tags, products].concat())
}

/// What is known of each product.
type ProductDraft = [Option<Value>; 3];

/// The number of products, and what each of them has.
pub fn product_fields(products: &[ProductDraft]) -> Vec<(usize, Value)> {
    let count = Value::number(products.len() as f64).expect("it is finite");
    let column = |place: usize| list(products.iter().map(|product| product[place].clone()));
    vec![(PRODUCTS, count), (SKU, column(0)), (PRICE, column(1)), (VARIANT, column(2))]
}

fn products() -> impl Strategy<Value = Vec<(usize, Value)>> {
    let maybe = |of: BoxedStrategy<Value>| prop_oneof![6 => of.clone().prop_map(Some), 1 => Just(None)];
    let mostly = |of: BoxedStrategy<Value>| prop_oneof![8 => of, 1 => anything()].boxed();
    let product = (maybe(mostly(text().boxed())), maybe(mostly(number().boxed())), maybe(anything().boxed()));
    let products = prop::collection::vec(product, 0..=ELEMENTS_MAX);
    (products, prop::bool::weighted(0.3)).prop_map(|(products, is_repeated)| {
        let mut products: Vec<ProductDraft> =
            products.into_iter().map(|(sku, price, variant)| [sku, price, variant]).collect();
        if is_repeated && products.len() > 1 {
            products[1] = products[0].clone();
        }
        product_fields(&products)
    })
}

/// A list of texts, mostly.
pub fn list_value() -> impl Strategy<Value = Value> {
    let element = prop_oneof![
        6 => text().prop_map(Some),
        2 => prop::sample::select(&["Berlin", "Paris"][..]).prop_map(|city| Some(Value::text(city))),
        2 => Just(None),
        1 => number().prop_map(Some),
        1 => any::<bool>().prop_map(|truth| Some(Value::Bool(truth))),
        1 => json().prop_map(Some),
    ];
    prop::collection::vec(element, 0..=ELEMENTS_MAX).prop_map(list)
}

/// An object, or an array within an array.
pub fn json() -> impl Strategy<Value = Value> {
    let json = |text: &'static str| Value::Json(text.into());
    prop::sample::select(&[r#"{"a":1}"#, r#"{"a":"b"}"#, "[1,[]]", "{}"][..]).prop_map(json)
}
