//! rocd: a small, scriptable debug host for ARM Cortex-M, with a simulated board inside.
//!
//! docs/DESIGN.md draws who lives where; a module uses what is below it, never what is above.
#![forbid(unsafe_code)]

pub mod adi;
pub mod command;
pub mod cortex_m;
pub mod desc;
pub mod error;
pub mod event;
pub mod flash;
pub mod host;
pub mod image;
pub mod near;
pub mod probe;
pub mod repl;
pub mod script;
pub mod server;
pub mod session;
pub mod sim;
pub mod tcp;
pub mod timing;
pub mod usb;
