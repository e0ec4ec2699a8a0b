//! What processes use, as the kernel counts it.

/// CPU time of a process so far, in seconds.
#[expect(clippy::cast_precision_loss, reason = "hundredths of a second")]
pub(crate) fn cpu_time(process: &str) -> f64 {
    /// Fields after the name, which stands in brackets.
    const USER: usize = 11;
    const SYSTEM: usize = 12;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    (ticks(USER) + ticks(SYSTEM)) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Memory of this process in bytes: what it shares with others counts by its part.
pub(crate) fn memory() -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    kilobytes(&smaps, "Pss") << 10
}

/// Memory of the machine that could be used now, in bytes.
pub(crate) fn available_memory() -> u64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&memory, "MemAvailable") << 10
}

/// A number of kilobytes in lines of `name: number kB`, 0 if it is not there.
pub(crate) fn kilobytes(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let value = lines.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim());
    value.and_then(|value| value.split(' ').next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_kilobytes_is_found_by_its_whole_name() {
        let text = "Pss_Dirty:          7 kB\nPss:               24 kB\n";
        assert_eq!(kilobytes(text, "Pss"), 24);
        assert_eq!(kilobytes(text, "Rss"), 0);
    }

    #[test]
    fn this_process_takes_time_and_memory() {
        assert!(memory() > 0 && available_memory() > 0);
        assert!(cpu_time("self") >= 0.0);
    }
}
