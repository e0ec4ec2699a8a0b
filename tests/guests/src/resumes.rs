//! Works in steps of so many milliseconds, `5 200`, and keeps each: whatever ends an attempt, the next goes on from there.
//! `5 200 2` panics once after step 2.

use std::thread::sleep;
use std::time::Duration;

use saggar_plugin::{Error, context, handler, progress};

#[handler]
fn resumes(input: String) -> Result<String, Error> {
    let mut numbers = input.split_whitespace().map(|number| number.parse::<u32>().unwrap_or(0));
    let (steps, millis) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(0));
    let fails_at = numbers.next();
    let from = context::checkpoint().and_then(|kept| kept.try_into().ok()).map_or(0, u32::from_le_bytes);
    for step in from..steps {
        if progress::cancelled() {
            return Err(Error::retry("to be continued"));
        }
        sleep(Duration::from_millis(millis.into()));
        progress::save_checkpoint(&(step + 1).to_le_bytes())?;
        progress::report(f64::from(step + 1) / f64::from(steps), &format!("step {}", step + 1));
        assert!(fails_at != Some(step + 1) || from > 0, "a step too far");
    }
    Ok(format!("from {from}"))
}
