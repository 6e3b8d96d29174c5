//! Namespace: only its labels and annotations matter to a mesh.

spec! {
    pub struct Namespace {
        finalizers: Vec<String>,
    }
}
