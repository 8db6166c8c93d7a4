//! Type inference by unification: everything of which the type is to be found has a variable, for the whole project.

use dataflows::model::ValueType;

use super::infer::OF_LIST;
use super::problem::{ProjectProblem, TextSpan};

/// The type of something, known or yet to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variable(usize);

/// What is known of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It is this one.
    Is(ValueType),
    /// A literal in quotes: a time where it meets a time, else a string.
    Quoted,
}

impl Class {
    fn meet(self, other: Class) -> Option<Class> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Class::Quoted, Class::Is(ValueType::Text | ValueType::Time)) => Some(other),
            (Class::Is(ValueType::Text | ValueType::Time), Class::Quoted) => Some(self),
            _ => None,
        }
    }

    /// The type, with its article.
    fn name(self) -> String {
        match self {
            Class::Is(kind) => kind.to_string(),
            Class::Quoted => ValueType::Text.to_string(),
        }
    }
}

/// What is known of a variable, and the place from which it is known.
type KnownClass = Option<(Class, TextSpan)>;

#[derive(Clone, Copy, Debug)]
enum TypeState {
    /// The same as another one.
    Link(usize),
    Root(KnownClass),
}

/// All variables of a project.
#[derive(Debug, Default)]
pub(super) struct VariableTypes {
    states: Vec<TypeState>,
    /// Where values are put in order: not of booleans, nor of lists.
    ordered: Vec<Operand>,
    /// Where it is asked how long values are: of strings and lists.
    measured: Vec<Operand>,
}

/// An operand: its type, and where it stands.
pub(super) type Operand = (Variable, TextSpan);

impl VariableTypes {
    /// A type of which nothing is known.
    pub(super) fn unknown(&mut self) -> Variable {
        self.add(None)
    }

    /// A type that follows from what stands at a place.
    pub(super) fn known(&mut self, class: Class, place: TextSpan) -> Variable {
        self.add(Some((class, place)))
    }

    fn add(&mut self, known: KnownClass) -> Variable {
        self.states.push(TypeState::Root(known));
        Variable(self.states.len() - 1)
    }

    fn root(&mut self, variable: Variable) -> (usize, KnownClass) {
        let mut at = variable.0;
        loop {
            match self.states[at] {
                TypeState::Root(known) => {
                    // Shorten the way for the next one.
                    if at != variable.0 {
                        self.states[variable.0] = TypeState::Link(at);
                    }
                    return (at, known);
                }
                TypeState::Link(next) => at = next,
            }
        }
    }

    /// The type as it was found; nothing where any type will do.
    pub(super) fn resolved(&mut self, variable: Variable) -> Option<ValueType> {
        self.root(variable).1.map(|(class, _)| match class {
            Class::Is(kind) => kind,
            Class::Quoted => ValueType::Text,
        })
    }

    /// Demands that an operand is of a type. `role` says of what, such as "an operand of `and`".
    pub(super) fn demand(
        &mut self,
        (variable, place): Operand,
        expected: ValueType,
        role: &str,
    ) -> Result<(), ProjectProblem> {
        let (root, known) = self.root(variable);
        let expected = Class::Is(expected);
        match known {
            None => self.states[root] = TypeState::Root(Some((expected, place))),
            Some((class, why)) => match class.meet(expected) {
                Some(met) => self.states[root] = TypeState::Root(Some((met, why))),
                None => {
                    let message = format!("{role} must be {}, not {}", expected.name(), class.name());
                    let problem = ProjectProblem::at(place, message).here(class.name()).also(why, because(class));
                    let is_condition = expected == Class::Is(ValueType::Bool);
                    return Err(problem.maybe_help(
                        is_condition
                            .then_some("a condition says something of a value: x = 'text', x > 5, x is not null"),
                    ));
                }
            },
        }
        Ok(())
    }

    /// Demands that two operands are of one type, because they are compared.
    pub(super) fn unify(&mut self, a: Operand, b: Operand) -> Result<(), ProjectProblem> {
        self.unify_as(a, b, "cannot be compared with")
    }

    /// The same because of something else. `cannot` says what two of different types cannot do.
    pub(super) fn unify_as(&mut self, a: Operand, b: Operand, cannot: &str) -> Result<(), ProjectProblem> {
        let ((a_root, a_known), (b_root, b_known)) = (self.root(a.0), self.root(b.0));
        if a_root == b_root {
            return Ok(());
        }
        let met = match (a_known, b_known) {
            (None, None) => None,
            // The place that later conflicts point at is this use, not the literal that it was compared with.
            (Some((class, _)), None) | (None, Some((class, _))) => Some((class, a.1.to(b.1))),
            (Some((a_class, a_why)), Some((b_class, b_why))) => match a_class.meet(b_class) {
                Some(met) => Some((met, if met == a_class { a_why } else { b_why })),
                None => {
                    let message = format!("{} {cannot} {}", a_class.name(), b_class.name());
                    let problem = ProjectProblem::at(a.1, message).here(a_class.name()).also(b.1, b_class.name());
                    let mixed = [a_class, b_class].contains(&Class::Is(ValueType::Number))
                        && [a_class, b_class]
                            .iter()
                            .any(|class| matches!(class, Class::Quoted | Class::Is(ValueType::Text)));
                    let help = "a number is written without quotes; cast(x as number) reads one from a text, and cast(x as string) \
                                makes a text of it";
                    let problem = problem.also(a_why, because(a_class)).also(b_why, because(b_class));
                    let is_of_list = [a_class, b_class].contains(&Class::Is(ValueType::List));
                    return Err(problem.maybe_help(mixed.then_some(help).or(is_of_list.then_some(OF_LIST))));
                }
            },
        };
        self.states[a_root] = TypeState::Link(b_root);
        self.states[b_root] = TypeState::Root(met);
        Ok(())
    }

    /// Demands that an operand's values can be put in order.
    pub(super) fn demand_order(&mut self, operand: Operand) {
        self.ordered.push(operand);
    }

    /// Demands that an operand's values have a length.
    pub(super) fn demand_length(&mut self, operand: Operand) {
        self.measured.push(operand);
    }

    /// What is wrong once everything is known.
    pub(super) fn finish(&mut self) -> Vec<ProjectProblem> {
        let ordered = std::mem::take(&mut self.ordered);
        let mut problems = Vec::new();
        for (variable, place) in ordered {
            let (what, help) = match self.root(variable) {
                (_, Some((Class::Is(ValueType::Bool), _))) => ("booleans", "compare with `=` or `<>`"),
                (_, Some((Class::Is(ValueType::List), _))) => {
                    ("lists", "of an element it can be asked: any(tags, item > 'a')")
                }
                _ => continue,
            };
            if let (_, Some((class, why))) = self.root(variable) {
                let problem = ProjectProblem::at(place, format!("{what} have no order")).here(class.name());
                problems.push(problem.also(why, because(class)).help(help));
            }
        }
        for (variable, place) in std::mem::take(&mut self.measured) {
            if let (_, Some((class @ Class::Is(ValueType::Bool | ValueType::Number | ValueType::Time), why))) =
                self.root(variable)
            {
                let message = format!("what `length` looks at must be a string or a list, not {}", class.name());
                let problem = ProjectProblem::at(place, message).here(class.name()).also(why, because(class));
                problems.push(problem.help("cast(x as string) makes a text of it"));
            }
        }
        problems
    }
}

fn because(class: Class) -> String {
    format!("{} because of this", class.name())
}
