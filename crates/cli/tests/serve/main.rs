//! `polyptych serve` as programs and people meet it.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod browser;
mod life;
mod page;
mod refusals;
mod server;
mod triton;
