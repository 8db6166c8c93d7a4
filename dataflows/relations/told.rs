//! Who is told of changes.

use std::cell::RefCell;
use std::rc::Rc;

use super::{AnyChanges, Collections, Subscribe};
use crate::layout::Layout;
use crate::model::Tick;
use crate::operators::{HandedOver, deliver};

/// Takes the changes of a relation on one worker: a tick, and all changes at it, at least one. Of each relation ticks come in their order,
/// each once.
pub type RelationReceiver = Box<dyn FnMut(Tick, AnyChanges)>;

/// Whose changes are told, and to whom. Of other relations no change is worked out.
#[derive(Clone)]
pub struct Told {
    relations: Vec<&'static str>,
    receiver: Rc<RefCell<RelationReceiver>>,
}

impl Told {
    /// All of these relations, by name.
    pub fn of(relations: &[&'static str], receiver: RelationReceiver) -> Self {
        Told { relations: relations.to_vec(), receiver: Rc::new(RefCell::new(receiver)) }
    }
}

/// Has the changes of a relation handed over, if somebody is told of them.
pub(super) fn told<'scope, R: Subscribe>(
    told: &Told,
    collections: &Collections<'scope>,
    layout: &Layout,
) -> Option<HandedOver<'scope>> {
    if !told.relations.contains(&R::NAME) {
        return None;
    }
    let receiver = told.receiver.clone();
    let name = format!("Deliver {}", R::NAME.replace('_', " "));
    let layout = layout.clone();
    let route = move |change: &R::Change| R::host(change, &layout);
    let receive = move |tick, changes| (receiver.borrow_mut())(tick, R::into_any(changes));
    Some(deliver(R::changes(collections), &name, collections.at_once.clone(), route, Box::new(receive)))
}
