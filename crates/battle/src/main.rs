//! Trains a policy on battles of some sizes and prints how often it wins battles of others.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use polyptych_battle::{
    BattleConfig, LearnerConfig, MixerKind, Player, Policy, Result, train, win_rate,
};

/// Train UPDeT on battles of one size and play others
#[derive(Debug, Parser)]
#[command(name = "polyptych-battle")]
struct Flags {
    /// What joins the values of units
    #[arg(long, value_enum, default_value_t = MixerFlag::Vdn)]
    mixer: MixerFlag,
    /// Sizes of the teams that it learns with, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "3")]
    train_sizes: Vec<usize>,
    /// Sizes of the teams that it plays with then
    #[arg(long, value_delimiter = ',', default_value = "2,3,4,5,6")]
    sizes: Vec<usize>,
    /// Seeds, one run each
    #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
    /// Steps down the gradient of a run
    #[arg(long, default_value_t = LearnerConfig::default().updates)]
    updates: usize,
    /// Learning rate
    #[arg(long, default_value_t = LearnerConfig::default().lr)]
    lr: f64,
    /// Steps of battles in an update
    #[arg(long, default_value_t = LearnerConfig::default().batch)]
    batch: usize,
    /// Battles of every size that are played then
    #[arg(long, default_value_t = 200)]
    battles: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MixerFlag {
    Vdn,
    Qmix,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    // Before any battle is played: a mistake in a flag need not wait for them.
    settings(flags, 0).validate()?;
    let rates = |player: Player| -> Result<Vec<f64>> {
        let rate = |&size: &usize| win_rate(player, BattleConfig::of_size(size), flags.battles);
        flags.sizes.iter().map(rate).collect()
    };
    let (chance, rule) = (rates(Player::Chance)?, rates(Player::Rule)?);
    let mut runs = Vec::new();
    for &seed in &flags.seeds {
        let started = Instant::now();
        let policy = trained(flags, seed)?;
        println!(
            "seed {seed}: {} updates, {:.0} s",
            flags.updates,
            started.elapsed().as_secs_f64()
        );
        runs.push(rates(Player::Policy(&policy))?);
    }
    println!("won of {} battles in %, trained with {:?}", flags.battles, flags.train_sizes);
    println!("{:>6} {:>8} {:>8} {:>8} {:>16}", "size", "chance", "rule", "policy", "of the seeds");
    for (index, size) in flags.sizes.iter().enumerate() {
        let own: Vec<f64> = runs.iter().map(|rates| 100.0 * rates[index]).collect();
        let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
        let seeds: Vec<String> = own.iter().map(|rate| format!("{rate:.1}")).collect();
        let (chance, rule) = (100.0 * chance[index], 100.0 * rule[index]);
        println!("{size:>6} {chance:>8.1} {rule:>8.1} {mean:>8.1} {:>16}", seeds.join(" "));
    }
    Ok(())
}

fn trained(flags: &Flags, seed: u64) -> Result<Policy> {
    train(&settings(flags, seed), |update, won| {
        if let Some(won) = won.filter(|_| update % 500 == 0) {
            println!("seed {seed}: update {update}, won of the last 200: {:.1} %", 100.0 * won);
        }
    })
}

fn settings(flags: &Flags, seed: u64) -> LearnerConfig {
    let mixer = match flags.mixer {
        MixerFlag::Vdn => MixerKind::Vdn,
        MixerFlag::Qmix => MixerKind::Qmix,
    };
    let (sizes, updates) = (flags.train_sizes.clone(), flags.updates);
    let (lr, batch) = (flags.lr, flags.batch);
    LearnerConfig { mixer, sizes, updates, lr, batch, seed, ..LearnerConfig::default() }
}
