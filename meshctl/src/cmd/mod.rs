//! One file per command: its arguments, and what it does with them.

pub mod apply;
pub mod create;
pub mod delete;
pub mod down;
pub mod exec;
pub mod get;
pub mod label;
pub mod logs;
pub mod rollout;
pub mod scale;
pub mod up;
