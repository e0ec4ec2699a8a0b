//! Components that are not whole.

use std::time::{Duration, Instant};

use saggar_sandbox::{Options, inspect};

use crate::stage::{attack, sandbox};

#[test]
fn attack_44_what_was_cut_is_refused_and_what_was_flipped_is_refused_or_another_component() {
    /// Reading one takes a thousandth of this.
    const SOON: Duration = Duration::from_secs(1);
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let whole = attack("7-sleep").guest.build().expect("it is well-formed");
    inspect(&whole).expect("it is a plugin");
    for end in (0..whole.len()).step_by(3) {
        let start = Instant::now();
        inspect(&whole[..end]).expect_err("it is not whole");
        assert!(start.elapsed() < SOON, "{end}");
    }
    let mut valid = 0_u32;
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        let start = Instant::now();
        // A bit in a name or in a constant makes another component, as good as the one before.
        if inspect(&flipped).is_ok() {
            valid += 1;
            if valid.is_multiple_of(20) {
                let _ = sandbox.compile(&flipped).and_then(|compiled| sandbox.load(&compiled).map(drop));
            }
        }
        assert!(start.elapsed() < SOON, "{at}");
    }
    assert!(valid > 0, "names and constants may be anything");
}
