//! pilot as a citizen of a Kubernetes cluster: everything that it asks and writes there, apart from the objects that it
//! reads as a source.
//!
//! In: a [`Cluster`], made once by `app` and handed on. Out: the authority's key in its Secret (`key`), whose a token is
//! (`review`). Nothing here runs on a laptop.

mod access;
mod key;
mod review;

pub(crate) use access::Cluster;
pub(crate) use key::{KeySecret, Upkeep};
pub(crate) use review::TokenReviewer;
