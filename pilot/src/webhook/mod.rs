//! What the API server asks this control plane: which proxy a new pod gets, and whether an object is right.

pub mod inject;
