//! A model behind HTTP, asked once: `cargo run -p polyptych-serve --example serve`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use polyptych_engine::{Evaluation, Observer, Recipe, StepReport, Trainer};
use polyptych_serve::{ServeConfig, Server};

const RECIPE: &str = include_str!("../../engine/examples/tiny.toml");

/// Trains in silence.
struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &StepReport, _: u64) {}
    fn evaluated(&mut self, _: u64, _: &Evaluation) {}
    fn stop(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    train(&run)?;

    let mut config = ServeConfig::new(run);
    // Any port that is free.
    config.addr.set_port(0);
    let server = Server::open(config)?;
    let (addr, control) = (server.addr(), server.control());
    println!("{} answers at {addr} for {}", server.model(), server.tasks().join(", "));

    let client = std::thread::spawn(move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        control.stop();
        Ok(answer)
    });
    server.run()?;
    let answer = client.join().map_err(|_| "the client ended early")??;
    println!("{}", answer.lines().last().unwrap_or_default());
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer.into()) }
}

fn train(run: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let recipe = Recipe::parse("tiny.toml", RECIPE, &[])?;
    let (mut trainer, _) = Trainer::start(recipe, None, run)?;
    trainer.run(&mut Silent)?;
    Ok(())
}
