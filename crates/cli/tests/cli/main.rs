//! The program `wgrad`, run as its users run it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod config;
mod custom;
mod data;
mod equations;
mod exchange;
mod gpu;
mod gradients;
mod graph;
mod models;
mod resume;
mod steps;
mod support;
mod tools;
mod train;
mod tuning;
mod watching;
