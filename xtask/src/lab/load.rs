//! `cargo xtask load`: does a server answer rightly when too many ask?
//!
//! Clients ask as fast as they are answered, for tasks and photographs chosen by chance, and compare
//! each answer with what `polyptych predict` wrote for the same photograph: an answer that is lost,
//! or was another client's, is counted. Then four times as many ask, and then the server is killed
//! and started again. With `--peer` the same model in PyTorch behind FastAPI takes the same
//! requests, round about with the server: operation by operation, and as TorchScript.

mod answers;
mod client;
pub(crate) mod flags;
mod page;
mod rows;
mod server;
mod subject;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::Subcommand;
use crate::lab::machine::Origin;
use crate::lab::program::{self, Program};
use crate::process;
use answers::Answers;
use client::{Ask, Crowd};
use flags::Load;
use rows::{Compared, ROUNDS, Row};
use server::Server;
use subject::Subject;

/// Folder of what is written on the way, below the current one.
const RUNS: &str = "runs/load";
/// How many times as many clients an overload has.
const OVERLOAD: usize = 4;
/// Part of the time that comes before what counts.
const WARM_UP: u32 = 6;
/// How often memory is read while clients ask.
const QUARTERS: u32 = 4;
/// How long each server of a comparison is asked before what counts.
const WARM_PEERS: Duration = Duration::from_secs(3);
/// The servers of a comparison, ours first.
const NAMES: [&str; 3] =
    ["`polyptych serve`", "eager PyTorch behind FastAPI", "TorchScript behind FastAPI"];

impl Subcommand for Load {
    fn run(flags: &Self) -> Result<ExitCode> {
        let folder = Path::new(RUNS);
        let _lock = program::lock(folder)?;
        let program = Program::given_or_built(flags.program.as_deref(), folder)?;
        let origin = Origin::read();
        let subject = Subject::of(flags, &program, folder)?;
        let asked = (subject.run.as_path(), subject.photographs.as_path());
        let answers = Answers::write(&program, asked, &folder.join("offline"))?;
        let job =
            Job { flags, program, run: &subject.run, answers, log: folder.join("server.log") };
        let rows = vec![job.saturated()?, job.overloaded()?, job.killed()?];
        let compared = match &flags.peer {
            Some(python) => job.compared(python, &folder.join("model.pt"))?,
            None => Vec::new(),
        };
        let path = page::write(flags, &job.answers, (&rows, &compared), &origin)?;
        println!("{}", path.display());
        refuse_wrong(&rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn refuse_wrong(rows: &[Row]) -> Result<()> {
    match rows.iter().find(|row| row.tally.wrong > 0) {
        Some(row) => bail!("{}: {} answers were not those of files", row.what, row.tally.wrong),
        None => Ok(()),
    }
}

/// Removes what an earlier job exported, which the program would not write over.
fn remove_export(model: &Path) -> Result<()> {
    for ending in ["", ".json", ".py"] {
        let mut path = model.as_os_str().to_owned();
        path.push(ending);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| Path::new(&path).display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

struct Job<'a> {
    flags: &'a Load,
    program: Program,
    run: &'a Path,
    answers: Answers,
    log: PathBuf,
}

impl Job<'_> {
    fn server(&self) -> Result<Server> {
        Server::start(&self.program, self.run, server::free_port()?, &self.log)
    }

    /// How long the parts behind the saturation take.
    fn other_time(&self) -> Duration {
        Duration::from_secs(self.flags.other_seconds.unwrap_or(self.flags.seconds))
    }

    fn crowd(&self, clients: usize, ask: Ask) -> Crowd<'_> {
        Crowd { answers: &self.answers, clients, ask }
    }

    fn saturated(&self) -> Result<Row> {
        self.asked("saturation", self.flags.clients, Duration::from_secs(self.flags.seconds))
    }

    fn overloaded(&self) -> Result<Row> {
        self.asked("overload", OVERLOAD * self.flags.clients, self.other_time())
    }

    fn asked(&self, what: &str, clients: usize, time: Duration) -> Result<Row> {
        let server = self.server()?;
        let crowd = self.crowd(clients, Ask::Mixed);
        crowd.ask(&server.address, time / WARM_UP)?;
        let mut memory = vec![server.memory()?];
        let tally = std::thread::scope(|scope| {
            let asked = scope.spawn(|| crowd.ask(&server.address, time));
            for _ in 0..QUARTERS {
                std::thread::sleep(time / QUARTERS);
                memory.push(server.memory()?);
            }
            asked.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        })?;
        Ok(Row { what: what.into(), clients, tally, memory })
    }

    fn killed(&self) -> Result<Row> {
        let (clients, time) = (self.flags.clients, self.other_time());
        let mut server = self.server()?;
        let (crowd, address, port) =
            (self.crowd(clients, Ask::Mixed), server.address.clone(), server.port);
        let tally = std::thread::scope(|scope| {
            let asked = scope.spawn(|| crowd.ask(&address, time));
            std::thread::sleep(time / 3);
            server.kill()?;
            server = Server::start(&self.program, self.run, port, &self.log)?;
            asked.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        })?;
        Ok(Row { what: "killed and started again".into(), clients, tally, memory: Vec::new() })
    }

    fn compared(&self, python: &Path, model: &Path) -> Result<Vec<Compared>> {
        remove_export(model)?;
        let mut export = self.program.command("export");
        export.arg(self.run).args(["--format", "torchscript", "--out"]).arg(model);
        process::step(&mut export)?;
        let peer =
            |how: &str| Server::start_peer(python, (model, how), server::free_port()?, &self.log);
        let servers = [self.server()?, peer("eager")?, peer("script")?];
        let mut compared = NAMES.map(|name| Compared { name, all: vec![], one: vec![] });
        for server in &servers {
            self.crowd(self.flags.clients, Ask::Mixed).ask(&server.address, WARM_PEERS)?;
        }
        for _ in 0..ROUNDS {
            for (server, row) in servers.iter().zip(&mut compared) {
                let time = Duration::from_secs(self.flags.peer_seconds);
                let asked = |ask| self.crowd(self.flags.clients, ask).ask(&server.address, time);
                row.all.push(asked(Ask::All).with_context(|| row.name)?);
                row.one.push(asked(Ask::One).with_context(|| row.name)?);
            }
        }
        Ok(compared.into())
    }
}
