//! A dataflow as a graph in the DOT language of Graphviz: scopes are clusters, what flows in and out of them goes through ports.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::figures::{Channel, Figures, Operator};

/// The graph. Operators that hold something are boxes with a border; sizes are there where something ran.
pub fn dot(figures: &Figures) -> String {
    let mut text = String::from("digraph dataflow {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontsize=10];\n");
    let ports = figures.channels.iter().flat_map(|channel| {
        let inner = [(channel.from, "in"), (channel.to, "out")].into_iter().filter(|((operator, _), _)| *operator == 0);
        inner.map(|((_, port), side)| (channel.scope.clone(), side, port))
    });
    let ports: BTreeSet<Port> =
        ports.chain(figures.channels.iter().flat_map(|channel| outer_ports(figures, channel))).collect();
    // Writing to a string does not fail.
    _ = scope(&mut text, figures, &ports, &[]);
    for channel in &figures.channels {
        _ = edge(&mut text, figures, channel);
    }
    text + "}\n"
}

/// The address of a scope, the side and the number.
type Port = (Vec<usize>, &'static str, usize);

/// What is directly in the scope of an address: first operators, then the scopes in it.
fn scope(text: &mut String, figures: &Figures, ports: &BTreeSet<Port>, address: &[usize]) -> fmt::Result {
    let indent = "  ".repeat(address.len() + 1);
    for (scope, side, port) in ports.iter().filter(|(scope, _, _)| scope == address) {
        writeln!(
            text,
            "{indent}{} [shape=point, xlabel={}];",
            id(side, scope, Some(*port)),
            quoted(&format!("{side} {port}"))
        )?;
    }
    let is_inside =
        |operator: &&Operator| operator.address.len() == address.len() + 1 && operator.address.starts_with(address);
    for operator in figures.operators.iter().filter(is_inside) {
        let name = id("n", &operator.address, None);
        if is_scope(figures, &operator.address) {
            writeln!(text, "{indent}subgraph {} {{", id("cluster", &operator.address, None))?;
            writeln!(text, "{indent}  label={};", quoted(&label(operator)))?;
            scope(text, figures, ports, &operator.address)?;
            writeln!(text, "{indent}}}")?;
        } else if operator.arrangement.is_some() {
            writeln!(text, "{indent}{name} [label={}, style=\"rounded,bold\"];", quoted(&label(operator)))?;
        } else {
            writeln!(text, "{indent}{name} [label={}];", quoted(&label(operator)))?;
        }
    }
    Ok(())
}

fn edge(text: &mut String, figures: &Figures, channel: &Channel) -> fmt::Result {
    let end = |(operator, port): (usize, usize), outside: &'static str, inside: &'static str| match operator {
        0 => id(outside, &channel.scope, Some(port)),
        _ => {
            let address = [&channel.scope[..], &[operator]].concat();
            if is_scope(figures, &address) { id(inside, &address, Some(port)) } else { id("n", &address, None) }
        }
    };
    let (from, to) = (end(channel.from, "in", "out"), end(channel.to, "out", "in"));
    match channel.records {
        0 => writeln!(text, "  {from} -> {to};"),
        records => writeln!(text, "  {from} -> {to} [label={}];", quoted(&count(records))),
    }
}

/// The ports of the scopes that a channel comes from or leads to.
fn outer_ports(figures: &Figures, channel: &Channel) -> Vec<Port> {
    let ends = [(channel.from, "out"), (channel.to, "in")].into_iter();
    let ports = ends.map(|((operator, port), side)| ([&channel.scope[..], &[operator]].concat(), side, port));
    ports.filter(|(address, _, _)| address.last() != Some(&0) && is_scope(figures, address)).collect()
}

/// Whether there is something inside.
fn is_scope(figures: &Figures, address: &[usize]) -> bool {
    let is_inside = |of: &Operator| of.address.len() > address.len() && of.address.starts_with(address);
    figures.operators.iter().any(is_inside) || figures.channels.iter().any(|channel| channel.scope == address)
}

/// An identifier of the language: letters, digits, underscores.
fn id(kind: &str, address: &[usize], port: Option<usize>) -> String {
    let numbers: Vec<String> = address.iter().map(usize::to_string).collect();
    let port = port.map(|port| format!("_p{port}")).unwrap_or_default();
    format!("{kind}_{}{port}", numbers.join("_"))
}

fn label(operator: &Operator) -> String {
    let mut lines = vec![operator.name.clone()];
    if let Some(held) = operator.arrangement.filter(|held| held.records > 0) {
        lines.push(format!("{} records, {:.1} MB", count(held.records), held.bytes as f64 / 1e6));
    }
    if operator.activations > 0 {
        lines.push(format!("{:.1} ms in {} runs", operator.own_ns as f64 / 1e6, count(operator.activations)));
    }
    lines.join("\n")
}

/// A number with a comma at each thousand.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// A string of the language. Line ends become its escape for centred lines.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::figures::Arrangement;
    use super::*;

    /// Reads what `dot` writes by the grammar of Graphviz (the part of it that is used here), token by token.
    #[derive(Default)]
    struct DotReader<'t> {
        tokens: Vec<&'t str>,
        at: usize,
        nodes: BTreeSet<&'t str>,
        ends: BTreeSet<&'t str>,
        labels: Vec<&'t str>,
    }

    fn tokens(mut text: &str) -> Vec<&str> {
        let mut tokens = Vec::new();
        while let Some(first) = text.trim_start().chars().next() {
            text = text.trim_start();
            let length = match first {
                '"' => {
                    let mut is_escaped = false;
                    let end = text[1..].find(|c| {
                        let is_end = c == '"' && !is_escaped;
                        is_escaped = c == '\\' && !is_escaped;
                        is_end
                    });
                    end.expect("a string ends") + 2
                }
                '-' => {
                    assert!(text.starts_with("->"), "{text}");
                    2
                }
                '{' | '}' | '[' | ']' | '=' | ',' | ';' => 1,
                '0'..='9' => text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()),
                _ => {
                    assert!(first.is_ascii_alphabetic(), "no identifier begins so: {text}");
                    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
                }
            };
            tokens.push(&text[..length]);
            text = &text[length..];
        }
        tokens
    }

    impl<'t> DotReader<'t> {
        fn next(&mut self) -> &'t str {
            self.at += 1;
            self.tokens[self.at - 1]
        }

        fn expect(&mut self, token: &str) {
            assert_eq!(self.next(), token, "token {}", self.at);
        }

        fn id(&mut self) -> &'t str {
            let id = self.next();
            assert!(!"{}[]=,;->".contains(id), "expected an identifier, found {id}");
            id
        }

        fn statements(&mut self) {
            self.expect("{");
            while self.tokens[self.at] != "}" {
                if self.tokens[self.at] == "subgraph" {
                    self.at += 1;
                    assert!(self.id().starts_with("cluster"));
                    self.statements();
                    continue;
                }
                let id = self.id();
                match self.tokens[self.at] {
                    "=" => {
                        self.at += 1;
                        self.id();
                    }
                    "->" => {
                        self.at += 1;
                        let to = self.id();
                        self.ends.extend([id, to]);
                        self.attributes();
                    }
                    _ => {
                        assert!(id == "node" || self.nodes.insert(id), "{id} is there twice");
                        self.attributes();
                    }
                }
                self.expect(";");
            }
            self.at += 1;
        }

        fn attributes(&mut self) {
            if self.tokens[self.at] != "[" {
                return;
            }
            while self.next() != "]" {
                let name = self.id();
                self.expect("=");
                let value = self.id();
                if name == "label" {
                    self.labels.push(value);
                }
                if self.tokens[self.at] == "]" {
                    self.at += 1;
                    return;
                }
                assert_eq!(self.tokens[self.at], ",");
            }
        }
    }

    #[track_caller]
    fn read(text: &str) -> DotReader<'_> {
        let mut reader = DotReader { tokens: tokens(text), ..DotReader::default() };
        reader.expect("digraph");
        reader.id();
        reader.statements();
        assert_eq!(reader.at, reader.tokens.len(), "nothing follows");
        assert!(reader.ends.is_subset(&reader.nodes), "{:?} are nowhere", reader.ends.difference(&reader.nodes));
        reader
    }

    fn operator(address: &[usize], name: &str) -> Operator {
        Operator { name: name.to_owned(), address: address.to_vec(), ..Operator::default() }
    }

    fn channel(scope: &[usize], from: (usize, usize), to: (usize, usize), records: u64) -> Channel {
        Channel { scope: scope.to_vec(), from, to, records }
    }

    #[test]
    fn names_may_be_anything_and_scopes_have_ports() {
        let arrangement = Some(Arrangement { records: 1_234_567, batches: 3, bytes: 2_000_000, waiting: 0 });
        let figures = Figures {
            elapsed_ns: 1,
            operators: vec![
                operator(&[0], "Flow"),
                operator(&[0, 1], "a \"quoted\" \\ name;\n}"),
                operator(&[0, 2], "Loop"),
                Operator { arrangement, own_ns: 1_500_000, activations: 4_000, ..operator(&[0, 2, 1], "Held") },
                // A scope that only passes on.
                operator(&[0, 3], "Through"),
            ],
            channels: vec![
                channel(&[0], (1, 0), (2, 1), 7_000),
                channel(&[0, 2], (0, 1), (1, 0), 0),
                channel(&[0, 2], (1, 0), (0, 0), 0),
                channel(&[0], (2, 0), (3, 0), 0),
                channel(&[0, 3], (0, 0), (0, 0), 0),
            ],
        };
        let text = dot(&figures);
        let reader = read(&text);
        assert_eq!(reader.nodes.iter().filter(|id| id.starts_with("n_")).count(), 2, "{text}");
        assert_eq!(reader.ends.len(), 6, "{text}");
        let labels = [
            r#""a \"quoted\" \\ name;\n}""#,
            r#""Held\n1,234,567 records, 2.0 MB\n1.5 ms in 4,000 runs""#,
            "\"7,000\"",
        ];
        assert_eq!(reader.labels, labels);
    }

    #[test]
    fn the_graph_of_an_engine_can_be_read() {
        let text = crate::admin::dot::of_definitions(std::sync::Arc::default()).unwrap();
        let reader = read(&text);
        assert!(reader.nodes.len() > 40 && reader.ends.len() > 40, "{text}");
    }
}
