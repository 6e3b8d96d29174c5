//! AdmissionReview, the form in which the API server asks and wants answers.
//!
//! In: the bytes of a request. Out: [`Asked`], or why it is none; and the answers as JSON. Used by both webhooks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What the API server asks.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    uid: String,
    api_version: String,
    /// Namespace of the object, empty for objects that have none.
    pub(crate) namespace: String,
    /// The object as it would become.
    pub(crate) object: Value,
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// Yes, with warnings for who made the object.
    Allowed(Vec<String>),
    /// Yes, with these changes.
    Changed(json_patch::Patch),
    /// No, because.
    Refused(String),
}

impl Asked {
    /// Reads a review.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        if body.is_empty() {
            return Err("no body found".to_owned());
        }
        let mut review: Value =
            serde_json::from_slice(body).map_err(|error| format!("could not decode body: {error}"))?;
        let api_version = review["apiVersion"].as_str().unwrap_or("admission.k8s.io/v1").to_owned();
        let mut request = review["request"].take();
        if !request.is_object() {
            return Err("an AdmissionReview without request".to_owned());
        }
        let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
        let (uid, namespace) = (text("uid"), text("namespace"));
        Ok(Self { uid, api_version, namespace, object: request["object"].take() })
    }

    /// The review that answers it.
    pub(crate) fn answer(&self, verdict: &Verdict) -> Value {
        let mut response = json!({"uid": self.uid, "allowed": !matches!(verdict, Verdict::Refused(_))});
        match verdict {
            Verdict::Allowed(warnings) if warnings.is_empty() => {}
            Verdict::Allowed(warnings) => response["warnings"] = json!(warnings),
            Verdict::Changed(patch) => {
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(STANDARD.encode(json!(patch).to_string()));
            }
            Verdict::Refused(why) => response["status"] = json!({"message": why, "code": 400}),
        }
        json!({"apiVersion": self.api_version, "kind": "AdmissionReview", "response": response})
    }
}
