//! Text to objects: several YAML or JSON documents in, typed objects and findings out.
//!
//! Called by everything that reads what people wrote. A document that cannot be read costs only itself. Every
//! finding has file and line; an object that has an `Error` is left out. `List` kinds are unrolled.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::de::{self, Dialect};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::kind::{Family, Kind, Shape};
use crate::meta::Meta;
use crate::object::{AnyObject, Frame, Key, Maker, Object, Origin, ReadSpec, Source};
use crate::path::FieldPath;
use crate::yaml::{self, Document, Lines};

/// Namespace of objects that do not say one.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What a text held.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Objects without an error, in the order of the text.
    pub objects: Vec<AnyObject>,
    pub findings: Findings,
}

/// Reads all documents of a text. `file` is only for findings. Objects without a namespace get `default`.
pub fn parse(file: &str, text: &str) -> Parsed {
    parse_in(file, text, DEFAULT_NAMESPACE)
}

/// As `parse`, with another namespace for objects that do not say one.
pub fn parse_in(file: &str, text: &str, namespace: &str) -> Parsed {
    let mut reader = Reader { file: Arc::from(file), namespace, parsed: Parsed::default() };
    for (line, chunk) in documents(text).into_iter().filter(|(_, chunk)| says_something(chunk)) {
        match yaml::load(&chunk, line) {
            Ok(documents) => documents.into_iter().for_each(|document| reader.document(document)),
            Err(error) => {
                let message = format!("the document cannot be read: {}", error.message);
                reader.parsed.findings.push(Finding::new(Code::Syntax, message).at(file, error.line));
            }
        }
    }
    reader.parsed
}

/// Reads one object that came as JSON, from an API server or a webhook.
pub fn from_value(value: Value) -> Parsed {
    let mut reader = Reader { file: Arc::from(""), namespace: DEFAULT_NAMESPACE, parsed: Parsed::default() };
    reader.document(Document { value, ..Document::default() });
    reader.parsed
}

/// Parts between `---` lines as they are written, each with the number of its first line; the dashes are blanks.
pub fn documents(text: &str) -> Vec<(u32, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut start = 1;
    for (number, line) in (1u32..).zip(text.split_inclusive('\n')) {
        let rest =
            line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let Some(rest) = rest else {
            part.push_str(line);
            continue;
        };
        parts.push((start, std::mem::take(&mut part)));
        start = number;
        // Indented, so that what follows the dashes on their line keeps its column.
        part.push_str("   ");
        part.push_str(rest);
    }
    parts.push((start, part));
    parts
}

/// Whether there is anything but comments.
fn says_something(part: &str) -> bool {
    part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

struct Reader<'a> {
    file: Arc<str>,
    namespace: &'a str,
    parsed: Parsed,
}

impl Reader<'_> {
    fn document(&mut self, document: Document) {
        let mut notes = Vec::new();
        for (path, line) in document.duplicates {
            let message = "the key stands twice in the same mapping; remove one";
            notes.push(Finding::new(Code::DuplicateField, message).at(&self.file, line).field(path));
        }
        self.value(document.value, document.lines, None, notes);
    }

    /// One object, or the objects of a list. `member` gives items of typed lists their apiVersion and kind.
    fn value(&mut self, value: Value, lines: Lines, member: Option<(&str, &str)>, notes: Vec<Finding>) {
        let not_an_object =
            |message: &str| Finding::new(Code::NotAnObject, message).at(&self.file, lines.line);
        let Value::Object(mut map) = value else {
            let finding =
                not_an_object("a Kubernetes object is a mapping with apiVersion, kind and metadata");
            return self.parsed.findings.push(finding);
        };
        if let Some((api_version, kind)) = member {
            map.entry("apiVersion").or_insert_with(|| api_version.into());
            map.entry("kind").or_insert_with(|| kind.into());
        }
        let word =
            |key: &str| map.get(key).and_then(Value::as_str).filter(|w| !w.is_empty()).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (word("apiVersion"), word("kind")) else {
            let missing = if word("kind").is_none() { "kind" } else { "apiVersion" };
            let finding =
                not_an_object(&format!("{missing} is missing; every object needs apiVersion and kind"));
            return self.parsed.findings.push(finding);
        };
        if let (Some(item_kind), Some(Value::Array(_))) = (kind.strip_suffix("List"), map.get("items")) {
            let Some(Value::Array(items)) = map.remove("items") else { return };
            self.parsed.findings.extend(notes);
            let item_lines = lines.child("items").cloned().unwrap_or_default();
            for (index, item) in items.into_iter().enumerate() {
                let lines = item_lines.item(index).cloned().unwrap_or_default();
                let member = (!item_kind.is_empty()).then_some((api_version.as_str(), item_kind));
                self.value(item, lines, member, Vec::new());
            }
            return;
        }
        self.object(api_version, kind, Source { value: Value::Object(map), lines }, notes);
    }

    fn object(&mut self, api_version: String, kind_word: String, source: Source, notes: Vec<Finding>) {
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let kind = Kind::find(group, &kind_word);
        let origin = Origin { file: self.file.clone(), line: source.lines.line, source: None };
        let source = Arc::new(source);
        let mut one =
            One { kind: kind.unwrap_or(Kind::Unknown), source, findings: Findings::new(), file: &self.file };
        let meta = one.meta(self.namespace);
        let frame = Frame {
            meta: meta.clone(),
            status: one.source.value.get("status").cloned(),
            spec: (),
            origin: Origin { source: Some(one.source.clone()), ..origin },
            api_version: api_version.clone(),
            kind: kind_word.clone(),
        };
        let object = match kind {
            Some(kind) => {
                if !kind.row().versions.contains(&version) {
                    let served = kind.row().versions.join(", ");
                    let message = format!("{kind_word} has no version {version}; use one of {served}");
                    one.finding(Code::UnknownVersion, FieldPath::parse("apiVersion"), message);
                }
                let mut filling = Filling { one: &mut one, frame: Some(frame) };
                AnyObject::make(kind, &mut filling)
            }
            None => {
                let (severity, message) = unknown_kind(&api_version, &kind_word);
                let path = FieldPath::parse("kind");
                let line = one.source.lines.at(&path);
                let finding = Finding::new(Code::UnknownKind, message).severity(severity);
                one.findings.push(finding.at(one.file, line).field(path));
                Some(AnyObject::Unknown(Box::new(Object {
                    api_version: frame.api_version,
                    kind: frame.kind,
                    meta: frame.meta,
                    spec: one.source.value.clone(),
                    status: frame.status,
                    origin: frame.origin,
                })))
            }
        };
        let key = match kind {
            Some(kind) => Key::new(kind, &meta.namespace, &meta.name),
            // Its kind is part of its name.
            None => Key::new(Kind::Unknown, &meta.namespace, &format!("{kind_word} {}", meta.name)),
        };
        let mut findings = one.findings;
        findings.extend(notes);
        let refused = findings.has_errors();
        self.parsed.findings.extend(findings.into_iter().map(|finding| finding.about(key.clone())));
        if let (Some(object), false) = (object, refused) {
            self.parsed.objects.push(object);
        }
    }
}

/// How bad it is that nothing reads a kind, and what was probably meant. In a group of which every kind is known it is a
/// mistake; elsewhere it may be somebody else's kind.
fn unknown_kind(api_version: &str, kind: &str) -> (Severity, String) {
    if let Some(known) = Kind::ALL.iter().find(|known| known.name() == kind) {
        let message = format!(
            "no kind {kind} in {api_version}; nothing here reads it (did you mean {}?)",
            known.api_version()
        );
        return (Code::UnknownKind.severity(), message);
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let of_group = || Kind::ALL.iter().filter(|known| known.row().group == group);
    let near = de::nearest(of_group().map(|known| known.name()), kind);
    let hint = near.map_or(String::new(), |near| format!(" (did you mean {near}?)"));
    if of_group().any(|known| known.row().family == Family::Mesh) {
        let all: Vec<&str> = of_group().map(|known| known.name()).collect();
        let hint = if hint.is_empty() { format!("; there are {}", all.join(", ")) } else { hint };
        return (Severity::Error, format!("{group} has no kind {kind}{hint}"));
    }
    let kept = format!("nothing here reads {kind} of {api_version}; it is kept as it is{hint}");
    (Code::UnknownKind.severity(), kept)
}

/// The object that is being read.
struct One<'a> {
    kind: Kind,
    source: Arc<Source>,
    findings: Findings,
    file: &'a str,
}

impl One<'_> {
    fn finding(&mut self, code: Code, path: FieldPath, message: impl Into<String>) {
        let line = self.source.lines.at(&path);
        self.findings.push(Finding::new(code, message).at(self.file, line).field(path));
    }

    fn meta(&mut self, namespace: &str) -> Meta {
        let root = FieldPath::parse("metadata");
        let source = self.source.clone();
        let empty = Value::Object(Map::new());
        let read = de::read::<Meta>(source.value.get("metadata").unwrap_or(&empty), Dialect::Kube, &root);
        self.complaints(read.unknown, read.wrong);
        let mut meta = read.value.unwrap_or_default();
        if meta.name.is_empty() && meta.generate_name.is_empty() {
            self.finding(
                Code::NotAnObject,
                root.key("name"),
                "metadata.name is missing; every object needs a name",
            );
        }
        let namespaced = self.kind.is_namespaced() && self.kind != Kind::Unknown;
        match (namespaced, meta.namespace.is_empty()) {
            (true, true) => meta.namespace = namespace.to_owned(),
            (false, false) if self.kind != Kind::Unknown => meta.namespace.clear(),
            _ => {}
        }
        meta
    }

    fn complaints(
        &mut self,
        unknown: Vec<(FieldPath, Option<&'static str>)>,
        wrong: Vec<(FieldPath, String)>,
    ) {
        for (path, message) in wrong {
            self.finding(Code::WrongType, path, message);
        }
        if self.kind.row().family == Family::Core {
            return;
        }
        for (path, nearest) in unknown {
            let hint = nearest.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near}?"));
            self.finding(Code::UnknownField, path, format!("{} has no such field; {hint}", self.kind));
        }
    }
}

/// Reads the spec for `AnyObject::make`.
struct Filling<'a, 'b> {
    one: &'a mut One<'b>,
    frame: Option<Frame>,
}

impl Maker for Filling<'_, '_> {
    fn fill(&mut self, reader: &mut dyn ReadSpec) -> Option<Frame> {
        let row = self.one.kind.row();
        let dialect = if row.family == Family::Mesh { Dialect::Proto } else { Dialect::Kube };
        let source = self.one.source.clone();
        let map = source.value.as_object().expect("checked to be a mapping");
        const OUTER: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        let read = match row.shape {
            Shape::Spec => {
                let stray = map.keys().filter(|key| !OUTER.contains(&key.as_str()));
                let stray =
                    stray.map(|key| (FieldPath::default().key(key), de::nearest(OUTER, key))).collect();
                self.one.complaints(stray, Vec::new());
                reader.read(map.get("spec").unwrap_or(&Value::Null), dialect, &FieldPath::parse("spec"))
            }
            Shape::Flat => {
                let fields = map.iter().filter(|(key, _)| !OUTER.contains(&key.as_str()));
                let fields = Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect());
                reader.read(&fields, dialect, &FieldPath::default())
            }
        };
        self.one.complaints(read.unknown, read.wrong);
        read.value.and(self.frame.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parsed: &Parsed) -> Vec<String> {
        parsed.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn typed_objects_with_lines() {
        let text = "# a comment\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: 80\n\
                    ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: b\n  namespace: x\n\
                    spec:\n  hosts: [a]\n  http:\n  - timeout: 5s\n    mirror_percent: 10\n";
        let parsed = parse("f.yaml", text);
        assert_eq!(lines(&parsed), Vec::<String>::new());
        let keys: Vec<_> = parsed.objects.iter().map(|o| o.key().to_string()).collect();
        assert_eq!(keys, ["Service default/a", "VirtualService x/b"]);
        let AnyObject::VirtualService(vs) = &parsed.objects[1] else { panic!() };
        assert_eq!(vs.spec.http[0].timeout.unwrap().to_string(), "5s");
        assert_eq!(vs.spec.http[0].mirror_percent, Some(10));
        assert_eq!(vs.origin.to_string(), "f.yaml:11");
        assert_eq!(vs.origin.line_of(&FieldPath::parse("spec.http[0].timeout")), 19);
    }

    #[test]
    fn a_broken_document_costs_only_itself() {
        let good = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        let text = format!("{}---\na: [\n---\n{}---\njust words\n---\nkind: X\n", good("one"), good("two"));
        let parsed = parse("f.yaml", &text);
        let names: Vec<_> = parsed.objects.iter().map(|o| o.meta().name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        let codes: Vec<_> = parsed.findings.iter().map(|f| f.code).collect();
        assert_eq!(codes, [Code::Syntax, Code::NotAnObject, Code::NotAnObject]);
    }

    #[test]
    fn mistakes_have_path_line_and_advice() {
        let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\nspec:\n  host: [a]\n  \
                    http:\n  - timeout: soon\n    retries:\n      attempts: many\n";
        assert_eq!(
            lines(&parse("f.yaml", text)),
            [
                "f.yaml:7: error [MESH0006] VirtualService default/b spec.http[0].timeout: \"soon\" is not a duration; \
                 write a number with a unit, such as 10s, 1h30m or 250ms",
                "f.yaml:9: error [MESH0006] VirtualService default/b spec.http[0].retries.attempts: \
                 expected a whole number, got the string \"many\"",
                "f.yaml:5: error [MESH0005] VirtualService default/b spec.host: VirtualService has no such field; \
                 did you mean hosts?",
            ]
        );
    }

    #[test]
    fn lists_are_unrolled() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n\
                    ---\napiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: b}\n  spec: {clusterIP: None}\n";
        let parsed = parse("f.yaml", text);
        let keys: Vec<_> = parsed.objects.iter().map(|o| o.key().to_string()).collect();
        assert_eq!(keys, ["Namespace a", "Service default/b"]);
        assert_eq!(parsed.objects[1].origin().line, 11);
    }

    #[test]
    fn unknown_kinds_are_kept_and_versions_refused() {
        let text = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nweight: 3\n---\n\
                    apiVersion: networking.istio.io/v7\nkind: Gateway\nmetadata: {name: a}\n";
        let parsed = parse("f.yaml", text);
        assert_eq!(parsed.objects.len(), 1);
        assert_eq!(parsed.objects[0].to_value()["weight"], 3);
        let codes: Vec<_> = parsed.findings.iter().map(|f| f.code).collect();
        assert_eq!(codes, [Code::UnknownKind, Code::UnknownVersion]);
    }

    #[test]
    fn what_was_written_comes_back() {
        let text =
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {unmodelled: {x: 0}, ports: []}\n";
        let value = parse("f", text).objects[0].to_value();
        assert_eq!(value["spec"], serde_json::json!({"unmodelled": {"x": 0}, "ports": []}));
        assert_eq!(value["metadata"], serde_json::json!({"name": "a", "namespace": "default"}));
    }

    #[test]
    fn flat_kinds() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: Opaque\ndata: {k: Zm9v}\n---\n\
                    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n";
        let parsed = parse("f", text);
        assert!(parsed.findings.is_empty(), "{}", parsed.findings);
        let AnyObject::Secret(secret) = &parsed.objects[0] else { panic!() };
        assert_eq!(secret.spec.get("k"), Some(&b"foo"[..]));
    }
}
