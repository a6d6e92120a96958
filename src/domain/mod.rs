//! The pure core: plain data and functions over it.
//!
//! Nothing here may read a clock, a file, the environment or randomness, nor call
//! anything that does; nothing here may import another module of this crate.
//! Time arrives inside events. The one function that moves a task is
//! [`decide::decide`].

pub mod act;
pub mod brief;
pub mod command;
pub mod decide;
pub mod effect;
pub mod event;
pub mod evidence;
pub mod exposure;
pub mod gates;
pub mod ident;
pub mod owners;
pub mod policy;
pub mod report;
pub mod settings;
pub mod task;
pub mod text;
