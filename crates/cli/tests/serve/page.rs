//! The page, in Chromium where there is one.
//!
//! `POLYPTYCH_PAGE_RUN` and `POLYPTYCH_PAGE_PHOTOGRAPH` name another model and photograph, and
//! `POLYPTYCH_PAGE_OUT` a folder for pictures of the page: so `docs/images/serve.png` is renewed.

use std::path::PathBuf;

use serde_json::json;

use crate::browser::Page;
use crate::server::{Served, folder};

const DONE: &str = "document.getElementById('result').getAttribute('aria-busy') === 'false'";
const ERROR: &str = "!document.getElementById('error').hidden";

fn skipped() {
    println!("skipped: no Chromium; POLYPTYCH_CHROMIUM names one");
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

#[test]
fn people_drop_a_photograph_and_see_what_the_model_sees() {
    let run = named("POLYPTYCH_PAGE_RUN").unwrap_or("merged".into());
    let server = Served::start(run.to_str().unwrap(), &[]);
    let Some(mut page) = Page::open(&server.address, 1200, 940) else { return skipped() };
    let photograph = named("POLYPTYCH_PAGE_PHOTOGRAPH").unwrap_or(folder().join("photograph.jpg"));
    let out = named("POLYPTYCH_PAGE_OUT").unwrap_or(folder().into());

    page.choose(&photograph);
    page.until("document.querySelectorAll('#tasks label').length === 6");
    page.until(DONE);
    assert_eq!(page.text("title"), "depth");
    assert!(page.text("timing").starts_with("model "));
    assert!(page.text("legend").contains(" m"), "{}", page.text("legend"));
    page.until("document.getElementById('picture').naturalWidth > 0");
    page.until("document.getElementById('photograph').naturalWidth > 0");

    // By keyboard: the last task, whose legend has classes.
    page.value("document.querySelector('#tasks :checked').focus()");
    for _ in 0..5 {
        page.press("ArrowRight", 39);
    }
    assert_eq!(page.text("title"), "semseg");
    assert!(page.value("document.querySelectorAll('#legend .swatch').length > 0") == true);
    page.value("document.getElementById('split').focus()");
    let clip = "document.getElementById('picture').style.clipPath";
    let before = page.value(clip);
    page.press("ArrowLeft", 37);
    assert_ne!(page.value(clip), before);
    page.value("document.getElementById('stage').focus()");
    page.press("ArrowDown", 40);
    let by_keyboard = page.text("readout");
    let class = by_keyboard.split(": ").nth(1).unwrap().to_owned();
    assert!(page.text("legend").contains(&class), "{by_keyboard}");
    page.point("stage", [0.75, 0.8]);
    assert_ne!(page.text("readout"), by_keyboard);
    page.screenshot(&out.join("serve.png"));

    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = page.value(ground);
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    page.call("Emulation.setEmulatedMedia", dark);
    assert_ne!(page.value(ground), light);
    page.screenshot(&out.join("serve-dark.png"));
    let narrow = json!({"width": 390, "height": 940, "deviceScaleFactor": 1, "mobile": true});
    page.call("Emulation.setDeviceMetricsOverride", narrow);
    assert!(page.value("document.documentElement.scrollWidth <= 390") == true);
    page.screenshot(&out.join("serve-narrow.png"));

    // An error, and on.
    let broken = folder().join("broken.jpg");
    std::fs::write(&broken, b"no image").unwrap();
    page.choose(&broken);
    page.until(ERROR);
    let words = page.text("error");
    assert!(words.starts_with("400: photograph: not a readable"), "{words}");
    page.screenshot(&out.join("serve-error.png"));
    page.choose(&photograph);
    page.until("document.getElementById('error').hidden");
    page.until(DONE);
    assert_eq!(page.text("title"), "semseg");

    let own = |asked: &&String| {
        [&server.address, "data:", "blob:", "about:"].iter().any(|start| asked.starts_with(*start))
    };
    assert!(page.asked.len() > 4);
    assert!(page.asked.iter().all(|asked| own(&asked)), "{:?}", page.asked);
}

#[test]
fn the_page_asks_for_a_token_and_says_when_nobody_answers() {
    let server =
        Served::start_with("merged", &["--tasks", "sal"], &[("POLYPTYCH_TOKEN", "secret")]);
    let Some(mut page) = Page::open(&server.address, 800, 600) else { return skipped() };
    page.choose(&folder().join("photograph.jpg"));
    page.until(ERROR);
    assert!(page.text("error").starts_with("401: "));
    page.value("document.getElementById('token').value = 'secret'");
    page.value("document.querySelector('#access button').click()");
    page.until("document.querySelectorAll('#tasks label').length === 1");
    page.until(
        "document.getElementById('access').hidden && document.getElementById('error').hidden",
    );
    drop(server);
    page.choose(&folder().join("photograph.jpg"));
    page.until(ERROR);
    assert_eq!(page.text("error"), "the server does not answer");
}
