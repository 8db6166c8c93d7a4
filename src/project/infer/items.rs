//! Elements of arrays: what `any` and aggregates with `each` ask of each.

use dataflows::definitions::PathStep;
use dataflows::model::ValueType;

use super::{Checker, FieldName, FieldUse, Scope};
use crate::project::problem::{ProjectProblem, TextSpan};
use crate::project::syntax::{NameNode, NodeKind, SyntaxNode};
use crate::project::typed::{Typed, TypedKind};
use crate::project::types::Variable;

/// The array that `any` looks at.
pub(in crate::project) enum AnyArray<T> {
    /// One of an event: members of its elements are fields.
    OfEvent(FieldName),
    /// A list.
    List(Typed<T>),
}

/// An array, while it is checked what is asked of its elements.
#[derive(Debug)]
pub(in crate::project) struct ItemScope {
    /// Where it is in an event; nothing of a list.
    array: Option<FieldName>,
    /// What its elements are asked for: the steps from an element to there, each once in a use. Without them, any type will do.
    pub(super) columns: Vec<(Option<Vec<PathStep>>, FieldUse)>,
    /// The first of those of the use that is being checked.
    pub(super) first: usize,
    /// Whether anything was asked.
    is_used: bool,
}

impl ItemScope {
    /// Of an array of an event, or a list.
    pub(in crate::project) fn new(array: Option<FieldName>) -> Self {
        ItemScope { array, columns: Vec::new(), first: 0, is_used: false }
    }

    /// The member of an element that is probably meant by a name, which may begin with that of the array.
    pub(in crate::project) fn member_named(&self, path: &[String]) -> Option<String> {
        let (_, array) = self.array.as_ref()?;
        let of_array = match (array.last(), path) {
            (Some(PathStep::Member(array)), [first, rest @ ..]) if array == first && !rest.is_empty() => rest,
            _ => path,
        };
        // What is called differently, in another case or number.
        let of_array = match of_array {
            [first, rest @ ..] if !rest.is_empty() && ["item", "items"].contains(&first.to_lowercase().as_str()) => {
                rest
            }
            all => all,
        };
        Some(of_array.join("."))
    }

    /// The columns.
    pub(in crate::project) fn columns(self) -> Vec<FieldUse> {
        self.columns.into_iter().map(|(_, used)| used).collect()
    }
}

impl Checker {
    /// How many elements the array at a path has, in this use.
    pub(in crate::project) fn count_of(&mut self, array: &FieldName, place: TextSpan) -> Option<FieldUse> {
        let (root, path) = array.clone();
        let used = self.another_use((root, [path, vec![PathStep::Count]].concat()), place);
        let (used, variable) = self.settle(used)?;
        self.demand((variable, place), ValueType::Number, "a number of elements");
        Some(used)
    }

    /// What an element of the array at hand is asked for, and its type. Where any type will do, it is asked apart.
    pub(super) fn item<T>(&mut self, name: &NameNode, place: TextSpan, is_any_type: bool) -> (Variable, TypedKind<T>) {
        let nothing = |checker: &mut Checker| (checker.types.unknown(), TypedKind::Literal(None));
        let Some(items) = &mut self.items else { return nothing(self) };
        items.is_used = true;
        let steps = name.steps();
        let Some((root, array)) = items.array.clone() else {
            if !steps.is_empty() {
                let problem = ProjectProblem::at(place, "elements of a list of a person have no members");
                self.report(problem.help(
                    "of events they have: count('Order Completed', where => any(properties.products, item.price > 5))",
                ));
            }
            return (self.types.unknown(), TypedKind::Item(0));
        };
        let known = items.columns.iter().skip(items.first).position(|(known, _)| known.as_ref() == Some(&steps));
        if let Some(known) = known.filter(|_| !is_any_type) {
            let column = items.first + known;
            let used = items.columns[column].1;
            return (self.uses[used.0].1, TypedKind::Item(column));
        }
        let path = array.into_iter().chain([PathStep::Each]).chain(steps.iter().cloned()).collect();
        let used = self.another_use((root, path), place);
        let Some((used, variable)) = self.settle(used) else { return nothing(self) };
        let column = self.items.as_mut().map_or(0, |items| {
            items.columns.push(((!is_any_type).then_some(steps), used));
            items.columns.len() - 1
        });
        (variable, TypedKind::Item(column))
    }

    /// Checks an expression of which the value may be of any type, if it is a name whose type depends on its use.
    pub(super) fn of_any_type<T: Scope>(&mut self, node: &SyntaxNode) -> Typed<T> {
        match &node.kind {
            NodeKind::Name(name) if self.items.is_some() && name.is_of_item() => {
                let (variable, kind) = self.item(name, node.place, true);
                Typed { variable, kind }
            }
            _ => T::of_any_type(self, node).unwrap_or_else(|| self.check(node)),
        }
    }

    /// Checks whether a condition is true of any element.
    pub(super) fn any<T: Scope>(&mut self, list: &SyntaxNode, condition: &SyntaxNode, place: TextSpan) -> TypedKind<T> {
        if self.items.is_some() {
            let problem = ProjectProblem::at(place, "`any` cannot be asked of each element of an array");
            self.report(problem.help("of one array at a time: a condition on another one would take each with each"));
            return TypedKind::Literal(None);
        }
        let Some(array) = T::array(self, list) else { return TypedKind::Literal(None) };
        let (array, list) = match array {
            AnyArray::OfEvent(name) => (Some(name), None),
            AnyArray::List(typed) => (None, Some(typed)),
        };
        self.items = Some(ItemScope::new(array));
        let reported = self.problems.len();
        let typed = self.expect(condition, ValueType::Bool, "the condition of `any`");
        let Some(items) = self.items.take() else { return TypedKind::Literal(None) };
        if !items.is_used && self.problems.len() == reported {
            let problem = ProjectProblem::at(condition.place, "the condition of `any` says nothing of `item`");
            self.report(problem.help("`item` is an element: any(properties.tags, item = 'sale')"));
        }
        let columns: Vec<Typed<T>> = match list {
            Some(list) => vec![list],
            None => {
                let column = |used: FieldUse| {
                    let variable = self.uses[used.0].1;
                    T::field(used).map(|field| Typed { variable, kind: TypedKind::Term(field) })
                };
                items.columns().into_iter().filter_map(column).collect()
            }
        };
        TypedKind::Any(columns, Box::new(typed))
    }
}
