//! One file per command: its arguments, and what it does with them. `inspect` lists those that change nothing;
//! they return what they print (`printed`).

pub mod analyze;
pub mod apply;
pub mod completion;
pub mod create;
pub mod delete;
pub mod down;
pub mod elsewhere;
pub mod exec;
pub mod files;
pub mod get;
pub mod inspect;
pub mod label;
pub mod logs;
pub mod manifest;
pub mod port_forward;
pub mod printed;
pub mod proxy_config;
pub mod proxy_status;
pub mod rollout;
pub mod scale;
pub mod up;
pub mod validate;
pub mod version;
pub mod wait;
pub mod x;
mod xds;
