//! The one door to everything that is done with this repository: `cargo xtask COMMAND`.
//!
//! README, the CI script and the workflow call only these commands, so what a newcomer types is what CI runs.

mod addons;
mod bench;
mod cluster;
mod equip;
mod fuzz;
mod gotool;
mod graph;
mod helm;
mod image;
mod rules;
mod sh;
mod size;
mod soak;
mod stages;
mod test;
mod up;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  up [DIR|FILE...]   build what is needed (release profile) and run the mesh with these manifests;
                     default samples/bookinfo; further arguments go to `meshctl up`
  test [STAGE...]    fetch the test equipment, build, run every stage (or the named ones), print what each took
                     stages: lint graph size unit golden hostile charts paper process netns laptop planes user soak cluster
                     charts needs a Helm, which is built from its Go module, once
                     cluster (or --cluster): on a real Kubernetes, built once per machine in ten minutes, skipped
                     where there can be none; --cluster=all runs its long tests too
  cluster up|down    a Kubernetes for tests: --provider kind|processes, --tier api|node, --api-port N, --wipe
  cluster load|exec  images into it (default: those of `image`); a command in its network
  cluster check|env  show what it can do; print KUBECONFIG and PATH for a shell
  image [NAME...]    image archives of pilot, proxyv2, samples: --profile P (default dist), --hub, --tag
  bless              rewrite every golden file from what the code says now
  bench [FLAG...]    our proxy (profile dist) beside a stock Envoy in one run: ratios and CPU per 1000 requests;
                     flags of e2e/bench/bench.py; --write puts the outcome into docs/perf.md
  bench --micro [FILTER]  what decide, pick, lower, link and serve cost, by Criterion
  bench --swap       latencies while 10,000 routes are replaced each second
  fuzz [TARGET...]   look for inputs that break what strangers can reach; --seconds N for each (default 60),
                     --keep puts what reaches new code into fuzz/corpus
  soak               a mesh under load while routes, clusters, endpoints, connections and certificates change: nothing
                     may fail, grow or stay open; --seconds N (default 600), --profile P (default dev)
  graph              check that crates depend in one direction only
  size               the ten largest files and functions, lines per crate; fails above the hard limits, and where a
                     header, the reason of an allow, or a file that the documents name is missing
  lint               rustfmt and clippy
  equip [addons]     fetch the test equipment only (a stock Envoy, a stock gRPC for Python); with `addons`, make images
                     of Prometheus and Zipkin
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((c, rest)) => (c.as_str(), rest),
        None => ("help", &[][..]),
    };
    let result = match command {
        "up" => up::up(rest),
        "test" => test::test(rest),
        "cluster" => cluster::cluster(rest),
        "image" => image::image(rest),
        "bless" => test::bless(),
        "bench" => bench::bench(rest),
        "fuzz" => fuzz::fuzz(rest),
        "soak" => soak::soak(rest),
        "graph" => graph::check(),
        "size" => size::check(),
        "lint" => test::lint(),
        "equip" if rest == ["addons"] => addons::equip(),
        "equip" => equip::fetch().map(|e| println!("{e}")),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("no command named {other}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
