//! One template, parsed once and rendered often, whose errors say where.
//!
//! In: a name, a text, functions. Out: [`Program`]; later its output for some values. gotmpl forgets lines once a text is
//! parsed, so every action is preceded by a mark that remembers its line. Methods that Go's types have and values here
//! have not are resolved in the tree: `.X.String`, `.GetX` and `.X.GetValue` are `.X`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use gotmpl::parse::{ActionNode, CommandNode, Expr, ListNode, Node, Number, Parser, PipeNode, Pos, SmolStr};
use gotmpl::{FuncMap, Template, Value};

/// No template can write this name.
const MARK: &str = "\u{1}line";

thread_local! {
    /// Line of the action that is being executed.
    static LINE: Cell<i64> = const { Cell::new(0) };
}

/// A parsed template.
pub struct Program {
    name: String,
    template: Template,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Program({})", self.name)
    }
}

impl Program {
    /// Reads a template.
    ///
    /// # Errors
    /// The text is no template, or it uses a function that does not exist; the error names template and line.
    pub fn parse(name: &str, text: &str, functions: FuncMap) -> Result<Self, String> {
        let parsed = Parser::with_name(Some(name), text, "{{", "}}").and_then(Parser::parse);
        let (tree, defined) = parsed.map_err(|error| error.to_string())?;
        let known: BTreeSet<String> =
            functions.keys().cloned().chain(BUILT_IN.iter().map(|name| (*name).to_owned())).collect();
        let walk = Walk { name, known: &known };
        let mut template = Template::new(name).funcs(functions).func(MARK, |args: &[Value]| {
            if let Some(Value::Int(line)) = args.first() {
                LINE.set(*line);
            }
            Ok(Value::String(Arc::from("")))
        });
        template = template.add_parse_tree(name, walk.list(tree)?);
        for define in defined {
            template = template.add_parse_tree(&define.name, walk.list(define.body)?);
        }
        Ok(Self { name: name.to_owned(), template })
    }

    /// What the template makes of these values.
    ///
    /// # Errors
    /// An action cannot be executed; the error names template and line.
    pub fn render(&self, dot: &Value) -> Result<String, String> {
        LINE.set(0);
        self.template.execute_template_to_string(&self.name, dot).map_err(|error| {
            let error = error.to_string();
            let error = error.strip_prefix("execution error: ").unwrap_or(&error);
            format!("template {}, line {}: {error}", self.name, LINE.get())
        })
    }
}

/// Go's own functions.
const BUILT_IN: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

/// One pass over a tree.
struct Walk<'a> {
    name: &'a str,
    known: &'a BTreeSet<String>,
}

impl Walk<'_> {
    fn list(&self, list: ListNode) -> Result<ListNode, String> {
        let mut nodes = Vec::with_capacity(list.nodes.len() * 2);
        for node in list.nodes {
            let pos = match &node {
                Node::Action(action) => Some(action.pos),
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => Some(branch.pos),
                Node::Template(template) => Some(template.pos),
                _ => None,
            };
            nodes.extend(pos.map(mark));
            nodes.push(self.node(node)?);
        }
        Ok(ListNode { nodes, ..list })
    }

    fn node(&self, node: Node) -> Result<Node, String> {
        Ok(match node {
            Node::List(list) => Node::List(self.list(list)?),
            Node::Action(mut action) => {
                action.pipe = self.pipe(action.pipe)?;
                Node::Action(action)
            }
            Node::If(branch) => Node::If(self.branch(branch)?),
            Node::Range(branch) => Node::Range(self.branch(branch)?),
            Node::With(branch) => Node::With(self.branch(branch)?),
            Node::Template(mut template) => {
                template.pipe = template.pipe.map(|pipe| self.pipe(pipe)).transpose()?;
                Node::Template(template)
            }
            Node::Define(mut define) => {
                define.body = self.list(define.body)?;
                Node::Define(define)
            }
            other @ (Node::Text(_) | Node::Break(_) | Node::Continue(_)) => other,
        })
    }

    fn branch(&self, branch: gotmpl::parse::BranchNode) -> Result<gotmpl::parse::BranchNode, String> {
        Ok(gotmpl::parse::BranchNode {
            pos: branch.pos,
            pipe: self.pipe(branch.pipe)?,
            body: self.list(branch.body)?,
            else_body: branch.else_body.map(|list| self.list(list)).transpose()?,
        })
    }

    fn pipe(&self, mut pipe: PipeNode) -> Result<PipeNode, String> {
        for command in &mut pipe.commands {
            let args = std::mem::take(&mut command.args);
            command.args = args.into_iter().map(|expr| self.expr(expr)).collect::<Result<_, _>>()?;
        }
        Ok(pipe)
    }

    fn expr(&self, expr: Expr) -> Result<Expr, String> {
        Ok(match expr {
            Expr::Field(pos, fields) => match without_methods(fields, 1) {
                fields if fields.is_empty() => Expr::Dot(pos),
                fields => Expr::Field(pos, fields),
            },
            Expr::Variable(pos, name, fields) => Expr::Variable(pos, name, without_methods(fields, 0)),
            Expr::Chain(pos, inner, fields) => {
                Expr::Chain(pos, Box::new(self.expr(*inner)?), without_methods(fields, 0))
            }
            Expr::Pipe(pos, pipe) => Expr::Pipe(pos, self.pipe(pipe)?),
            Expr::Identifier(pos, name) => {
                if !self.known.contains(name.as_str()) {
                    return Err(format!(
                        "template {}, line {}: there is no function {name}",
                        self.name, pos.line
                    ));
                }
                Expr::Identifier(pos, name)
            }
            other => other,
        })
    }
}

/// Fields instead of the methods that Go's types have. `first` is where a method may stand at the earliest.
fn without_methods(fields: Vec<SmolStr>, first: usize) -> Vec<SmolStr> {
    let last = fields.len().saturating_sub(1);
    let keep = |(index, field): (usize, SmolStr)| match field.as_str() {
        "GetValue" => None,
        "String" if index == last && index >= first => None,
        name => match name.strip_prefix("Get") {
            Some(rest) if rest.starts_with(char::is_uppercase) => Some(SmolStr::from(rest)),
            _ => Some(field),
        },
    };
    fields.into_iter().enumerate().filter_map(keep).collect()
}

/// An action that prints nothing and remembers the line.
fn mark(pos: Pos) -> Node {
    let line = i64::try_from(pos.line).unwrap_or_default();
    let args = vec![Expr::Identifier(pos, SmolStr::from(MARK)), Expr::Number(pos, Number::Int(line))];
    let commands = vec![CommandNode { pos, args }];
    Node::Action(ActionNode { pos, pipe: PipeNode { pos, decl: Vec::new(), commands, is_assign: false } })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::template::{from_json, functions};

    fn run(text: &str, dot: &serde_json::Value) -> Result<String, String> {
        Program::parse("custom", text, functions())?.render(&from_json(dot).unwrap())
    }

    #[test]
    fn errors_name_template_and_line() {
        let dot = json!({"a": "x"});
        assert_eq!(run("{{ .a }}\n{{ if .a }}y{{ end }}", &dot).unwrap(), "x\ny");
        let wrong = run("one\n{{ .a }}\n{{ if .a }}\n{{ .a.b }}\n{{ end }}", &dot).unwrap_err();
        assert!(wrong.starts_with("template custom, line 4: can't evaluate field b"), "{wrong}");
        let wrong = run("one\n{{ fail \"no\" }}", &dot).unwrap_err();
        assert_eq!(wrong, "template custom, line 2: no");
        let wrong = run("one\n\n{{ nothing 1 }}", &dot).unwrap_err();
        assert_eq!(wrong, "template custom, line 3: there is no function nothing");
        let wrong = run("one\n{{ if }}", &dot).unwrap_err();
        assert!(wrong.starts_with("template: custom:2:"), "{wrong}");
    }

    #[test]
    fn methods_of_gos_types_are_fields() {
        let dot = json!({"P": {"Mode": "REDIRECT", "Hold": true, "Tracing": {"Tls": 1}}});
        let text =
            "{{ .P.Mode.String }} {{ .P.Hold.GetValue }} {{ .P.GetTracing.GetTls }} {{ (.P.Mode).String }}";
        assert_eq!(run(text, &dot).unwrap(), "REDIRECT true 1 REDIRECT");
    }

    #[test]
    fn named_parts() {
        let text = "{{ define \"x\" }}[{{ .a }}]{{ end }}{{ template \"x\" . }}{{ block \"y\" . }}-{{ end }}";
        assert_eq!(run(text, &json!({"a": 1})).unwrap(), "[1]-");
    }
}
