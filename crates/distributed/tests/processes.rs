//! Real processes over loopback: this test's own program, started once for each rank.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use polyptych_distributed::{Environment, Error, KeyStore, Ranks};
use polyptych_tensor::{BatchSum, Device, Kind, Tensor};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Starts `size` processes of the test `name`, whose part for ranks is `part`.
fn start(name: &str, size: usize) -> (KeyStore, Vec<Child>) {
    let store = KeyStore::serve("127.0.0.1", 0, "", TIMEOUT).unwrap();
    let port = store.port().to_string();
    let child = |rank: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env("RANK", rank.to_string())
            .env("WORLD_SIZE", size.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", &port)
            .env("TORCHELASTIC_USE_AGENT_STORE", "True")
            .env("GLOO_SOCKET_IFNAME", "lo")
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    (store, (0..size).map(child).collect())
}

/// Runs `part` in `size` processes, all of which must succeed.
fn in_processes(name: &str, size: usize, part: fn(Ranks)) {
    if let Some(environment) = Environment::from_process().unwrap() {
        return part(Ranks::join(environment, TIMEOUT).unwrap());
    }
    let (_store, children) = start(name, size);
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn numbers_of_all_ranks_become_one() {
    in_processes("numbers_of_all_ranks_become_one", 3, |ranks| {
        let rank = ranks.rank();
        let own = Tensor::from_slice(&[rank as f32, 1.0]);
        let other = Tensor::full([2, 2], 10f64.powi(rank as i32), (Kind::Double, Device::Cpu));
        let sums = ranks.sum(&[&own, &other]).unwrap();
        assert_eq!(Vec::<f32>::try_from(&sums[0]).unwrap(), [3.0, 3.0]);
        assert_eq!(sums[1].double_value(&[1, 1]), 111.0);
        assert_eq!(ranks.largest(&[rank as f64, -1.0]).unwrap(), [2.0, -1.0]);
        assert!(ranks.any(rank == 1).unwrap() && !ranks.any(false).unwrap());
        let words = ranks.gather(&b"ab"[..rank.min(2)]).unwrap();
        assert_eq!(words, [&b""[..], b"a", b"ab"]);
        let rows =
            ranks.gather_rows(&Tensor::full([rank as i64 + 1, 2], 7.0, (Kind::Float, Device::Cpu)));
        assert_eq!(
            rows.unwrap().iter().map(|r| r.size()).collect::<Vec<_>>(),
            [[1, 2], [2, 2], [3, 2]]
        );
        assert_eq!(ranks.of_first(["first", "b", ""][rank]).unwrap(), "first");
        assert!(ranks.traffic().bytes > 0);
        ranks.barrier().unwrap();
    });
}

/// Whatever the order of sums, the parts of a batch give the gradient of the whole.
#[test]
fn gradients_of_parts_add_up_to_those_of_the_whole() {
    in_processes("gradients_of_parts_add_up_to_those_of_the_whole", 2, |ranks| {
        polyptych_tensor::manual_seed(3);
        let options = (Kind::Double, Device::Cpu);
        let (x, y) = (Tensor::randn([7, 5], options), Tensor::randn([7, 3], options));
        let gradient = |rows: std::ops::Range<i64>| {
            let weight = Tensor::ones([5, 3], options).set_requires_grad(true);
            let part = |t: &Tensor| t.narrow(0, rows.start, rows.end - rows.start);
            let sum = (part(&x).matmul(&weight).tanh() - part(&y)).square().sum(Kind::Double);
            (sum / 7.0).backward();
            weight.grad()
        };
        let own = gradient(if ranks.rank() == 0 { 0..3 } else { 3..7 });
        let sum = ranks.sum(&[&own]).unwrap().remove(0);
        let difference = (sum - gradient(0..7)).abs().max().double_value(&[]);
        assert!(difference < 1e-12, "{difference}");
    });
}

/// Gradients that arrive in order, twice, on one rank alone and on none.
#[test]
fn buckets_give_the_sums_of_all_gradients() {
    in_processes("buckets_give_the_sums_of_all_gradients", 3, |ranks| {
        // Each of the first three fills a bucket of its own.
        let param =
            |len: i64| Tensor::ones([len], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let [a, b, c, of_one, of_none] = [300_000, 300_000, 300_000, 2, 2].map(param);
        let all = [&of_one, &of_none, &a, &b, &c];
        let buckets = ranks.gradient_buckets(&all).unwrap().unwrap();
        let own = ranks.rank() as f64 + 1.0;
        let back = |param: &Tensor, factor: f64| (param * factor).sum(Kind::Float).backward();
        let mut bytes = Vec::new();
        for step in 0..3 {
            polyptych_kernels::forget_gradients(&all);
            let before = ranks.traffic();
            let done: Result<i32, Error> = buckets.around(|| {
                back(&c, own);
                back(&b, own);
                // Its bucket is on its way in the first step.
                back(&c, 10.0);
                if ranks.rank() == 1 {
                    back(&of_one, 5.0);
                }
                back(&a, own * 2.0);
                Ok(step)
            });
            assert_eq!(done.unwrap(), step);
            bytes.push(ranks.traffic().since(&before).bytes);
            let sums = [&a, &b, &c, &of_one].map(|param| param.grad());
            let first = sums.each_ref().map(|sum| sum.double_value(&[1]));
            assert_eq!(first, [12.0, 6.0, 36.0, 5.0], "step {step}");
            assert_eq!(sums[0].sum(Kind::Double).double_value(&[]), 12.0 * 300_000.0);
            assert!(!of_none.grad().defined());
        }
        assert!(bytes[0] > bytes[1] && bytes[1] == bytes[2], "{bytes:?}");
        let failed: Result<(), Error> = buckets.around(|| Err(Error::Parted { op: "step" }));
        assert_eq!(failed.unwrap_err().to_string(), Error::Parted { op: "step" }.to_string());
    });
}

/// A loss that divides by a sum of all ranks: their gradients meet in it.
#[test]
fn a_sum_of_all_ranks_has_the_gradient_of_the_whole() {
    in_processes("a_sum_of_all_ranks_has_the_gradient_of_the_whole", 2, |ranks| {
        let whole = Tensor::from_slice(&[1.0f64, 2.0, 4.0]);
        let rows = if ranks.rank() == 0 { 0..1 } else { 1..3 };
        let own = whole.narrow(0, rows.start, rows.end - rows.start).set_requires_grad(true);
        let sum = BatchSum::sum(&ranks, &own.sum(Kind::Double)).unwrap();
        (own.square() / sum).sum(Kind::Double).backward();
        let all = whole.set_requires_grad(true);
        (all.square() / all.sum(Kind::Double)).sum(Kind::Double).backward();
        let expected = all.grad().narrow(0, rows.start, rows.end - rows.start);
        assert!((own.grad() - expected).abs().max().double_value(&[]) < 1e-15);
    });
}

#[test]
fn ranks_that_differ_are_named() {
    in_processes("ranks_that_differ_are_named", 2, |ranks| {
        ranks.agree("versions", "one").unwrap();
        let text = if ranks.rank() == 0 { "seed = 1\nlr = 2" } else { "seed = 1\nlr = 3" };
        let message = ranks.agree("recipe", text).unwrap_err().to_string();
        let expected = "recipe: rank 1 has `lr = 3`, rank 0 has `lr = 2`; start all ranks alike";
        assert_eq!(message, expected);
    });
}

#[test]
fn a_rank_that_fails_says_why_to_all() {
    in_processes("a_rank_that_fails_says_why_to_all", 3, |ranks| {
        if ranks.rank() == 1 {
            return ranks.fail("images/7.png: cannot be decoded");
        }
        let message = ranks.sums(&[1.0]).unwrap_err().to_string();
        assert_eq!(message, "rank 1 failed: images/7.png: cannot be decoded");
    });
}

#[test]
fn a_rank_that_is_killed_is_named() {
    let part = |ranks: Ranks| {
        ranks.barrier().unwrap();
        if ranks.rank() == 2 {
            // As a kill does: no destructor, no word.
            std::process::abort();
        }
        if ranks.rank() == 0 {
            std::thread::sleep(Duration::from_secs(7));
        }
        let message = ranks.sums(&[1.0]).unwrap_err().to_string();
        // A rank that is late is not the one that is gone.
        let late = message.starts_with("rank 2 is gone, or silent for more than 60 s");
        assert!(late, "{message}");
    };
    if let Some(environment) = Environment::from_process().unwrap() {
        return part(Ranks::join(environment, TIMEOUT).unwrap());
    }
    let (_store, children) = start("a_rank_that_is_killed_is_named", 3);
    let begun = Instant::now();
    for (rank, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.success(), rank != 2, "{rank}: {said}");
    }
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
}

/// As long as ranks compute and say nothing to the store, nothing else would end them.
#[test]
fn ranks_end_without_the_program_that_started_them() {
    let part = |ranks: Ranks| {
        let begun = Instant::now();
        let error = loop {
            match ranks.barrier() {
                Ok(()) => assert!(begun.elapsed() < TIMEOUT, "no error"),
                Err(error) => break error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        // The other one may have noticed it first, and cannot say so.
        let known = ["and kept the store at", "is gone", "are gone", "a connection is"];
        assert!(known.iter().any(|text| error.contains(text)), "{error}");
    };
    if let Some(environment) = Environment::from_process().unwrap() {
        return part(Ranks::join(environment, TIMEOUT).unwrap());
    }
    let (store, children) = start("ranks_end_without_the_program_that_started_them", 2);
    let seen = KeyStore::connect("127.0.0.1", store.port(), "polyptych/start_0", TIMEOUT, TIMEOUT)
        .unwrap();
    // Both are there.
    for key in ["beat/0", "beat/1"] {
        seen.get(key, TIMEOUT).unwrap();
    }
    drop((seen, store));
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// The program that started a process, and kept the store, may be gone before they have met.
#[test]
fn a_store_that_went_with_its_program_is_not_waited_for() {
    let port = KeyStore::serve("127.0.0.1", 0, "", TIMEOUT).unwrap().port();
    let environment = Environment {
        rank: 0,
        world_size: 2,
        local_rank: 0,
        local_world_size: 2,
        master_addr: "127.0.0.1".into(),
        master_port: port,
        restarts: 0,
        agent_store: true,
        interfaces: "lo".into(),
    };
    let error = Ranks::join(environment, Duration::from_secs(1800)).unwrap_err();
    assert!(matches!(error, Error::Meeting { seconds: 10, .. }), "{error}");
}
