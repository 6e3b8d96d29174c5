//! Where each setting was said, so that an error can name the file and line, or the flag.
//!
//! In: the paths of settings with their places, in the order in which they were said. Out: the lines of an error, each with
//! the place of the setting that it is about. Called by `installation`; `settings` fills it.

use api::yaml::Lines;
use serde_json::Value;

/// Places of settings; later ones win.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    said: Vec<(String, String)>,
}

impl Origins {
    /// Notes every leaf of a file's spec.
    pub(super) fn file(&mut self, name: &str, spec: &Value, lines: &Lines) {
        self.walk(name, String::new(), spec, Some(lines), lines.line);
    }

    fn walk(&mut self, name: &str, path: String, value: &Value, lines: Option<&Lines>, line: u32) {
        let line = lines.map_or(line, |lines| lines.line);
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.walk(name, path, value, lines.and_then(|lines| lines.child(key)), line);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.walk(name, path, value, lines.and_then(|lines| lines.item(index)), line);
                }
            }
            _ => self.said.push((path, format!("{name}:{line}"))),
        }
    }

    /// Notes a `--set` word.
    pub(super) fn flag(&mut self, path: &str, word: &str) {
        self.said.push((path.to_owned(), format!("--set {word}")));
    }

    /// Notes another flag that stands for a setting.
    pub(super) fn other(&mut self, path: &str, flag: &str) {
        self.said.push((path.to_owned(), flag.to_owned()));
    }

    /// The text of an error with places.
    pub(super) fn annotate(&self, text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let located: Vec<Option<&str>> = lines.iter().map(|line| self.place(line)).collect();
        // The charts repeat what is wrong under their own name; a place says more.
        let all = located.iter().skip(1).all(Option::is_some) && lines.len() > 1;
        let shown = lines.iter().zip(&located).skip(usize::from(all && located[0].is_none()));
        let shown = shown.map(|(line, place)| match place {
            Some(place) => format!("{place}: {line}"),
            None => (*line).to_owned(),
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    /// Whether the user said the setting that a line is about.
    pub(super) fn knows(&self, line: &str) -> bool {
        self.place(line).is_some()
    }

    /// Where the setting was said that a line is about.
    fn place(&self, line: &str) -> Option<&str> {
        let words = line.split_whitespace().map(|word| word.trim_matches([',', ';', ':', '"']));
        words.filter(|word| !word.is_empty()).find_map(|word| {
            let about = |path: &str| {
                let path =
                    path.strip_prefix("values.").filter(|_| !word.starts_with("values.")).unwrap_or(path);
                let below = |long: &str, short: &str| {
                    long.strip_prefix(short)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                below(path, word) || word.contains('.') && below(word, path)
            };
            self.said.iter().rev().find(|(path, _)| about(path)).map(|(_, place)| place.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_and_line_or_flag() {
        let text = "profile: demo\nvalues:\n  pilot:\n    replicas: 2\ncomponents:\n  ingressGateways:\n  - name: a\n    k8s:\n      overlays: []\n";
        let document = api::yaml::load(text, 1).unwrap().remove(0);
        let mut origins = Origins::default();
        origins.file("mesh.yaml", &document.value, &document.lines);
        origins.flag("values.global.network", "values.global.network=x");
        for (text, told) in [
            (
                "chart base:\nvalue pilot.replicas is not known",
                "mesh.yaml:4: value pilot.replicas is not known",
            ),
            (
                "chart istiod:\nvalue pilot.replicas is not known\nvalue global.network is not honoured: one only",
                "mesh.yaml:4: value pilot.replicas is not known\n--set values.global.network=x: value global.network is not honoured: one only",
            ),
            (
                "components.ingressGateways[0].k8s.overlays is not honoured",
                "mesh.yaml:9: components.ingressGateways[0].k8s.overlays is not honoured",
            ),
            ("profile \"demo\" is not known", "mesh.yaml:1: profile \"demo\" is not known"),
            ("something else", "something else"),
        ] {
            assert_eq!(origins.annotate(text), told);
        }
    }
}
