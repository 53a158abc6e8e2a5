//! The commands, one a file: what each may be told, and what it does.

pub mod args;
pub mod bench;
pub mod calibrate;
pub mod check;
pub mod compare;
pub mod devices;
pub mod doctor;
pub mod evaluate;
pub mod import;
pub mod init;
pub mod inspect;
pub mod mcp;
pub mod models;
pub mod preserve;
pub mod render;
pub mod replay;
pub mod report;
pub mod run;
pub mod serve_inference;
pub mod simulate;
