//! Overload, another model during requests, and the end.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use crate::server::{Served, folder, jpeg, train};

/// Waits until `condition` holds, for half a minute at most.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn metric(server: &Served, line: &str) -> bool {
    String::from_utf8(server.get("/metrics").body).unwrap().lines().any(|found| found == line)
}

#[test]
fn full_servers_refuse_and_answer_what_they_took() {
    let server = Served::start("merged", &["--queue", "2", "--batch-size", "1"]);
    let photograph = jpeg(400, 300);
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let reply = server.post("/predict?format=npy", &photograph);
                match reply.status {
                    200 => answered.fetch_add(1, Ordering::Relaxed),
                    _ => {
                        assert_eq!(reply.header("retry-after"), "1");
                        assert_eq!((reply.status, reply.refusal().1.as_str()), (503, "overloaded"));
                        refused.fetch_add(1, Ordering::Relaxed)
                    }
                };
            });
        }
    });
    let (answered, refused) = (answered.into_inner(), refused.into_inner());
    assert!(answered >= 2 && refused >= 1 && answered + refused == 12, "{answered} {refused}");
    assert_eq!(server.post("/predict", &photograph).status, 200);
}

#[test]
fn images_that_wait_go_through_the_model_together() {
    let server = Served::start("merged", &["--batch-delay", "60000", "--batch-size", "3"]);
    let photograph = jpeg(60, 40);
    let _another = server.keep_waiting();
    scope(|scope| {
        let one = || server.post("/predict?tasks=depth", &photograph).json()["batch"].clone();
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(one)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 3);
        }
    });
}

#[test]
fn another_model_takes_over_during_requests_and_one_of_other_tasks_is_refused() {
    let (here, lives) = (folder(), folder().join("lives"));
    train(here, "other", &["--set", "seed=1"]);
    train(here, "fewer", &["--tasks", "depth", "--set", "adapter.r_per_task={ depth = 4 }"]);
    crate::common::succeed(here, &["merge", "other", "--out", "other-merged"]);
    crate::common::succeed(here, &["merge", "fewer", "--out", "fewer-merged"]);
    let place = |name: &str| {
        let aside = here.join("aside");
        std::fs::create_dir_all(&aside).unwrap();
        for file in std::fs::read_dir(here.join(name)).unwrap().flatten() {
            std::fs::copy(file.path(), aside.join(file.file_name())).unwrap();
        }
        let _ = std::fs::remove_dir_all(&lives);
        std::fs::rename(&aside, &lives).unwrap();
    };
    place("merged");
    let server = Served::start("lives", &["--watch"]);
    let photograph = jpeg(60, 40);
    let map = |server: &Served| server.post("/predict?tasks=depth&format=npy", &photograph);
    let old = map(&server).body;
    let over = AtomicBool::new(false);
    scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(map(&server).status, 200);
                }
            });
        }
        place("other-merged");
        until("the new model answers", || metric(&server, "polyptych_model_generation 2"));
        over.store(true, Ordering::Relaxed);
    });
    // Alone, as below: sums of a larger batch may differ in their last digits.
    let new = map(&server).body;
    let (old, new) = (crate::server::npy(&old), crate::server::npy(&new));
    assert!(old.0 == new.0 && old.1 != new.1);
    place("fewer-merged");
    until("it is refused", || metric(&server, "polyptych_reloads_total{outcome=\"refused\"} 1"));
    assert!(crate::server::npy(&map(&server).body) == new);
    assert!(metric(&server, "polyptych_model_generation 2"));
    // A signal asks for the same.
    place("other-merged");
    server.signal("-HUP");
    until("the signal is heard", || metric(&server, "polyptych_model_generation 4"));
    server.signal("-TERM");
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("tasks: expected depth, edge") && log.contains("the old one goes on"),
        "{log}"
    );
}

#[test]
fn the_end_waits_for_answers() {
    let server = Served::start("merged", &["--batch-delay", "60000", "--log-json"]);
    let photograph = jpeg(60, 40);
    let another = server.keep_waiting();
    let began = Instant::now();
    let address = server.address.clone();
    let status = scope(|scope| {
        let asked = scope.spawn(|| server.post("/predict?tasks=edge", &photograph).status);
        until("both are in hand", || metric(&server, "polyptych_images_in_hand 2"));
        server.signal("-TERM");
        drop(another);
        asked.join().unwrap()
    });
    assert_eq!(status, 200);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(20));
    let request =
        log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let request = request.into_iter().find(|line| line["images"] == 1).unwrap();
    assert_eq!(
        (&request["status"], &request["tasks"], &request["images"]),
        (&200.into(), &"edge".into(), &1.into())
    );
    let gone = std::net::TcpStream::connect(address.trim_start_matches("http://"));
    assert!(gone.is_err());
}
