//! The sieve of Eratosthenes: memory and branches, and no call to anybody.

/// How many primes there are below `end`.
#[must_use]
pub fn primes(end: usize) -> usize {
    let mut composite = vec![false; end];
    let mut count = 0;
    for number in 2..end {
        if composite[number] {
            continue;
        }
        count += 1;
        for multiple in (number * number..end).step_by(number) {
            composite[multiple] = true;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_168_primes_below_a_thousand() {
        assert_eq!(primes(1000), 168);
    }
}
