//! What the campaign is told.

use clap::Parser;

/// Breaks hosts, servers and lines while tasks run, then checks that nothing was lost, doubled or stuck.
#[derive(Debug, Clone, Parser)]
#[command(name = "saggar-chaos", after_help = "Example:\n  make chaos SECONDS=60 SEED=7 NODES=3")]
pub struct Arguments {
    /// How long faults are injected; recovery and checks come after.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    pub seconds: u64,
    /// What the tasks and the faults are made from; the same seed makes the same ones. Default: any.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Servers: one, or a cluster of three.
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    pub nodes: u8,
    /// Tasks submitted per second, on average.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub rate: u32,
    /// Show the faults that would be injected, and inject none.
    #[arg(long)]
    pub list: bool,
}

fn nodes(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("one server or three".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_three_servers_and_no_campaign_lasts_for_ever() {
        let read = |args: &[&str]| Arguments::try_parse_from([&["saggar-chaos"], args].concat());
        assert_eq!(read(&["--nodes", "3"]).unwrap().nodes, 3);
        for bad in [["--nodes", "2"], ["--seconds", "0"], ["--seconds", "100000"], ["--rate", "0"]] {
            assert!(read(&bad).is_err(), "{bad:?}");
        }
    }
}
