//! The program `wgrad`, run as its users run it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod config;
mod custom;
mod data;
mod equations;
mod gpu;
mod gradients;
mod graph;
mod models;
mod support;
mod tools;
mod train;
mod tuning;
