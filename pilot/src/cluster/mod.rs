//! pilot as a citizen of a Kubernetes cluster: everything that it asks and writes there, apart from the objects that it
//! reads as a source.
//!
//! In: a [`Cluster`], made once by `app` and handed on. Out: the authority's key in its Secret (`key`), whose a token is
//! (`review`), and what one replica does for all of them (`citizen`, `election`): the roots to trust in every namespace
//! (`roots`), what is wrong with objects in their statuses (`analysis`). Nothing here runs on a laptop.

mod access;
mod analysis;
mod citizen;
mod claim;
mod default_revision;
mod election;
mod key;
mod review;
mod roots;

pub(crate) use access::Cluster;
pub(crate) use citizen::{Parts, start};
pub(crate) use key::{KeySecret, MADE_HERE, Upkeep};
pub(crate) use review::TokenReviewer;
