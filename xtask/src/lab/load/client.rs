//! Clients that ask as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::answers::Answers;

/// How soon a client that was refused, or met nobody, comes back.
const AGAIN: Duration = Duration::from_millis(100);
/// After this time an answer counts as lost.
const LOST: Duration = Duration::from_secs(60);

/// What clients ask for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    /// One task or all, by chance.
    Mixed,
    All,
    One,
}

/// Clients and what they know.
pub(super) struct Crowd<'a> {
    pub(super) answers: &'a Answers,
    pub(super) clients: usize,
    pub(super) ask: Ask,
}

/// What came of the requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Milliseconds of each answer.
    pub(super) times: Vec<f32>,
    /// Status 503.
    pub(super) refused: u64,
    /// No connection, or one that broke off.
    pub(super) broken: u64,
    /// Another status.
    pub(super) failed: u64,
    /// Another answer than for files.
    pub(super) wrong: u64,
    pub(super) seconds: f64,
}

enum Outcome {
    Answered(Vec<u8>),
    Refused,
    Broken,
    Failed,
}

impl Crowd<'_> {
    /// Asks for `time`.
    pub(super) fn ask(&self, address: &str, time: Duration) -> Result<Tally> {
        let began = Instant::now();
        let mut tally = std::thread::scope(|scope| {
            let client = |seed: usize| self.one(address, seed as u64, began + time);
            let all: Vec<_> =
                (0..self.clients).map(|seed| scope.spawn(move || client(seed))).collect();
            all.into_iter().try_fold(Tally::default(), |sum, client| {
                Ok::<_, anyhow::Error>(
                    sum.and(client.join().map_err(|_| anyhow!("a client panicked"))?),
                )
            })
        })?;
        tally.seconds = began.elapsed().as_secs_f64();
        tally.times.sort_by(f32::total_cmp);
        Ok(tally)
    }

    fn one(&self, address: &str, seed: u64, end: Instant) -> Tally {
        let (mut rng, mut tally) = (Pcg64::seed_from_u64(seed), Tally::default());
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.timeout_global(Some(LOST)).build().into();
        while Instant::now() < end {
            let photograph =
                &self.answers.photographs[rng.random_range(0..self.answers.photographs.len())];
            let tasks = self.tasks(&mut rng);
            let url = format!("{address}/predict?format=npy&tasks={}", tasks.join(","));
            let began = Instant::now();
            match request(&agent, &url, &photograph.bytes) {
                Outcome::Answered(answer) => {
                    tally.times.push(began.elapsed().as_secs_f32() * 1e3);
                    tally.wrong += u64::from(!photograph.is_answered(&tasks, &answer));
                    continue;
                }
                Outcome::Refused => tally.refused += 1,
                Outcome::Broken => tally.broken += 1,
                Outcome::Failed => tally.failed += 1,
            }
            std::thread::sleep(AGAIN);
        }
        tally
    }

    fn tasks(&self, rng: &mut Pcg64) -> Vec<&str> {
        let all: Vec<&str> = self.answers.tasks.iter().map(String::as_str).collect();
        let one = |rng: &mut Pcg64| vec![all[rng.random_range(0..all.len())]];
        match self.ask {
            Ask::All => all,
            Ask::One => one(rng),
            Ask::Mixed if rng.random_range(0..2) == 0 => all,
            Ask::Mixed => one(rng),
        }
    }
}

fn request(agent: &ureq::Agent, url: &str, body: &[u8]) -> Outcome {
    let Ok(mut response) = agent.post(url).send(body) else { return Outcome::Broken };
    let read = response.body_mut().with_config().limit(1 << 30).read_to_vec();
    match (response.status().as_u16(), read) {
        (200, Ok(bytes)) => Outcome::Answered(bytes),
        (503, Ok(_)) => Outcome::Refused,
        (_, Ok(_)) => Outcome::Failed,
        (_, Err(_)) => Outcome::Broken,
    }
}

impl Tally {
    fn and(mut self, mut other: Self) -> Self {
        self.times.append(&mut other.times);
        self.refused += other.refused;
        self.broken += other.broken;
        self.failed += other.failed;
        self.wrong += other.wrong;
        self
    }

    /// Answers per second.
    pub(super) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.seconds
    }

    /// The time below which this part of the answers stayed, milliseconds.
    pub(super) fn quantile(&self, share: f64) -> f32 {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * share).round() as usize).copied().unwrap_or(f32::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_clients() {
        let one = |times: &[f32]| Tally { times: times.into(), refused: 1, ..Tally::default() };
        let mut sum = one(&[1.0, 3.0]).and(one(&[2.0]));
        sum.seconds = 1.5;
        sum.times.sort_by(f32::total_cmp);
        assert_eq!((sum.quantile(0.5), sum.quantile(0.99), sum.refused), (2.0, 3.0, 2));
        assert_eq!(sum.rate(), 2.0);
        assert!(Tally::default().quantile(0.5).is_nan());
    }
}
