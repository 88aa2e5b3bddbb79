//! The quality-retaining loss in plain float64, written from its equations with loops, and draws
//! of logits and labels that are the same in every run.
#![allow(clippy::unwrap_used)]

use polyptych_losses::{BankForm, QualityRetainingConfig};
use polyptych_tensor::{Kind, Tensor};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// One sample's logits.
pub(crate) type Logits = Vec<f64>;

/// State of the loss, by class, slot and output; the newest slot last.
pub(crate) struct Reference {
    config: QualityRetainingConfig,
    task_of: Vec<usize>,
    pub(crate) bank: Vec<Vec<Logits>>,
    pub(crate) seen: Vec<Vec<bool>>,
    pub(crate) running: Vec<f64>,
}

impl Reference {
    pub(crate) fn new(config: QualityRetainingConfig, sizes: &[usize]) -> Self {
        let task_of = |(task, size): (usize, &usize)| vec![task; *size];
        let task_of: Vec<usize> = sizes.iter().enumerate().flat_map(task_of).collect();
        let (classes, slots) = (task_of.len(), if config.bank == BankForm::Ema { 1 } else { 2 });
        Self {
            config,
            task_of,
            bank: vec![vec![vec![0.0; classes]; slots]; classes],
            seen: vec![vec![false; slots]; classes],
            running: vec![config.start; sizes.len()],
        }
    }

    pub(crate) fn move_running_losses(&mut self, logits: &[Logits], classes: &[usize]) {
        for task in 0..self.running.len() {
            let own = |(z, &y): (&Logits, &usize)| {
                (self.task_of[y] == task).then(|| -softmax(z, 1.0)[y].ln())
            };
            let losses: Vec<f64> = logits.iter().zip(classes).filter_map(own).collect();
            if !losses.is_empty() {
                let mean = losses.iter().sum::<f64>() / losses.len() as f64;
                let m = self.config.momentum;
                self.running[task] = m * self.running[task] + (1.0 - m) * mean;
            }
        }
    }

    pub(crate) fn loss(&self, logits: &[Logits], classes: &[usize]) -> f64 {
        let t = self.config.temperature;
        let mut sum = 0.0;
        for (z, &y) in logits.iter().zip(classes) {
            let e = self.running[self.task_of[y]].max(self.config.floor);
            let factor = if self.config.bank == BankForm::Ema { 2.0 } else { 1.0 };
            for (slot, seen) in self.bank[y].iter().zip(&self.seen[y]) {
                if *seen || !self.config.mask_unseen {
                    sum += factor * t * t * divergence(&softmax(slot, t), &softmax(z, t)) / e;
                }
            }
        }
        self.config.weight * sum / logits.len() as f64
    }

    pub(crate) fn write(&mut self, logits: &[Logits], classes: &[usize]) {
        for class in 0..self.task_of.len() {
            let Some(last) = classes.iter().rposition(|&y| y == class) else { continue };
            let (slots, z, m) = (&mut self.bank[class], &logits[last], self.config.bank_momentum);
            if self.config.bank == BankForm::Ema {
                let mixed = slots[0].iter().zip(z).map(|(old, new)| m * old + (1.0 - m) * new);
                slots[0] = mixed.collect();
                self.seen[class][0] = true;
            } else {
                slots.remove(0);
                slots.push(z.clone());
                self.seen[class].remove(0);
                self.seen[class].push(true);
            }
        }
    }
}

pub(crate) fn softmax(z: &[f64], temperature: f64) -> Logits {
    let each: Logits = z.iter().map(|z| (z / temperature).exp()).collect();
    let total: f64 = each.iter().sum();
    each.into_iter().map(|each| each / total).collect()
}

pub(crate) fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}

/// Logits, `[batch, outputs]` float32, and labels among `classes`, which may repeat.
pub(crate) fn draw(seed: u64, batch: usize, outputs: usize, classes: usize) -> (Tensor, Tensor) {
    let mut draw = Pcg64::seed_from_u64(seed);
    let logits: Vec<f32> = (0..batch * outputs).map(|_| draw.random_range(-4.0..4.0)).collect();
    let labels: Vec<i64> = (0..batch).map(|_| draw.random_range(0..classes as i64)).collect();
    let logits = Tensor::from_slice(&logits).view([batch as i64, outputs as i64]);
    (logits, Tensor::from_slice(&labels))
}

pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

pub(crate) fn rows(logits: &Tensor) -> Vec<Logits> {
    let outputs = logits.size()[1] as usize;
    numbers(logits).chunks(outputs).map(<[f64]>::to_vec).collect()
}

pub(crate) fn labels(classes: &Tensor) -> Vec<usize> {
    Vec::<i64>::try_from(classes).unwrap().into_iter().map(|y| y as usize).collect()
}
