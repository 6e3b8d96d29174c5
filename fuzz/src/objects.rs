//! What people write: YAML and JSON of every kind.
//!
//! Promises: every finding is in the text and says something.

pub fn objects(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = api::parse("fuzz.yaml", text);
    // A lone carriage return ends a line of YAML too.
    let lines = u32::try_from(text.split(['\n', '\r']).count()).unwrap_or(u32::MAX);
    for finding in &parsed.findings {
        // What is missing is missing behind the last line.
        assert!(finding.line <= lines + 1, "line {} of {lines}: {finding:?}", finding.line);
        assert!(!finding.message.is_empty(), "{finding:?}");
    }
}
