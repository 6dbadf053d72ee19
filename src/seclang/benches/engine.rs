//! What a request costs in the rule engine alone: the Core Rule Set at paranoia 1, blocking, by both evaluators.
//!
//! Usage: `cargo bench -p seclang --bench engine -- [--rounds N] [--requests N] [--only plan|plain] [--shape NAME]`. Every request is
//! another one; the figure is the fastest round's mean. With `--only` and one round it is a program for a profiler.

#![allow(clippy::print_stdout, missing_docs, reason = "a program that prints figures")]

#[path = "../tests/oracle/corpus.rs"]
mod corpus;
#[path = "../tests/oracle/rules.rs"]
mod rules;

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use corpus::{Request, Shape, crs_folder, ordinary, regression_tests};
use seclang::{Evaluator, MemoryCollections, Mode, Options, RuleSet, Transaction};

struct Wanted {
    rounds: usize,
    requests: usize,
    evaluators: Vec<Evaluator>,
    shape: Option<String>,
}

fn wanted() -> Wanted {
    let mut wanted = Wanted { rounds: 5, requests: 200, evaluators: vec![Evaluator::Plan, Evaluator::Plain], shape: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--rounds" => wanted.rounds = number(),
            "--requests" => wanted.requests = number(),
            "--only" => wanted.evaluators.retain({
                let plan = arguments.next().as_deref() == Some("plan");
                move |one| (*one == Evaluator::Plan) == plan
            }),
            "--shape" => wanted.shape = arguments.next(),
            _ => {}
        }
    }
    wanted
}

/// The processor's time that this thread has had, which other work on the machine does not change much; without it the clock's.
fn cpu_nanoseconds() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = text.split(' ').next().and_then(|text| text.parse().ok());
    spent.unwrap_or_else(|| START.elapsed().as_nanos() as u64)
}

fn main() {
    let Some(folder) = crs_folder() else { return };
    let wanted = wanted();
    let before = cpu_nanoseconds();
    let rules = rules::crs(&folder, 1);
    println!("loading: {} ms", (cpu_nanoseconds() - before) / 1_000_000);
    let count = wanted.requests;
    let shape = |shape: Shape, count: usize| (0..count as u64).map(|seed| ordinary(shape, seed)).collect::<Vec<_>>();
    let attacks = || regression_tests(&folder.join("tests")).into_iter().step_by((5_000 / count.max(1)).max(1)).collect::<Vec<_>>();
    for name in ["small", "cookies", "form", "json", "tests"] {
        if wanted.shape.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let requests = match name {
            "small" => shape(Shape::Small, count),
            "cookies" => shape(Shape::Cookies, count),
            "form" => shape(Shape::Form, count),
            "json" => shape(Shape::Json, count.div_ceil(10)),
            _ => attacks(),
        };
        let mut best = vec![f64::MAX; wanted.evaluators.len()];
        for _ in 0..wanted.rounds {
            for (evaluator, best) in wanted.evaluators.iter().zip(&mut best) {
                let before = cpu_nanoseconds();
                let matches: u64 = requests.iter().map(|request| run(&rules, request, *evaluator)).sum();
                std::hint::black_box(matches);
                *best = best.min(cpu_nanoseconds().saturating_sub(before) as f64 / requests.len() as f64);
            }
        }
        let figures: Vec<String> =
            wanted.evaluators.iter().zip(&best).map(|(evaluator, best)| format!("{evaluator:?} {best:.0} ns")).collect();
        println!("{name}: {} requests, {}", requests.len(), figures.join(", "));
    }
}

/// Phases 1, 2, 3 and 5, as for a response whose body is not inspected. A function by itself, so that a profiler finds it.
#[inline(never)]
fn run(rules: &Arc<RuleSet>, request: &Request, evaluator: Evaluator) -> u64 {
    let mut collections = MemoryCollections::with_capacity(16);
    let options =
        Options { mode: Some(Mode::Block), unique_id: "0a1b2c".to_owned(), now: 1_718_901_234_000_000, evaluator, ..Options::default() };
    let mut tx = Transaction::new(Arc::clone(rules), options);
    tx.connection([192, 0, 2, 1].into(), 50_000, [192, 0, 2, 80].into(), 443);
    let line = format!("{} {} {}", request.method, request.uri, request.version);
    tx.request_line(line.as_bytes(), request.method.as_bytes(), request.uri.as_bytes(), request.version.as_bytes());
    request.headers.iter().for_each(|(name, value)| tx.request_header(name.as_bytes(), value.as_bytes()));
    if tx.request_headers_done(&mut collections).is_none() {
        tx.request_body(&request.body);
        if tx.request_body_done(&mut collections).is_none() {
            tx.response_line(200, b"HTTP/1.1");
            tx.response_header(b"Content-Type", b"text/html; charset=utf-8");
            tx.response_headers_done(&mut collections);
            tx.response_body_done(&mut collections);
        }
    }
    tx.log(&mut collections);
    tx.matches_total()
}
