//! What the fault campaign runs. Does as the input says: `quick`, `sleep 500`, `effect KEY` (adds 1 to it),
//! `until 3` (retries before attempt 3), `put-off` (a retry so far away that it goes through a timer), `reject`, `give-up`, `hold GATE NAME` (says that it is there, then waits for
//! the gate to open).

use std::thread::sleep;
use std::time::Duration;

use saggar_plugin::{Error, context, handler, kv};

/// How often it is looked whether the gate is open, and how long it may stay shut.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 600;

#[handler]
fn works(order: String) -> Result<String, Error> {
    let words: Vec<&str> = order.split_whitespace().collect();
    match *words {
        ["sleep", millis] => sleep(Duration::from_millis(millis.parse()?)),
        // A store that does not answer makes this a retry.
        ["effect", key] => return Ok(kv::open("effects")?.increment(key, 1)?.to_string()),
        ["until", attempt] if context::attempt() < attempt.parse()? => return Err(Error::retry("not yet")),
        ["put-off"] if context::attempt() == 1 => {
            return Err(Error::retry("the clay is wet").retry_after(Duration::from_millis(5_500)));
        }
        ["reject"] => return Err(Error::reject("this clay is sand")),
        ["give-up"] => return Err(Error::retry("the kiln is cold")),
        ["hold", gate, name] => hold(gate, name)?,
        _ => {}
    }
    Ok("done".to_owned())
}

fn hold(gate: &str, name: &str) -> Result<(), Error> {
    let held = kv::open("held")?;
    held.set(name, b"here")?;
    for _ in 0..LOOKS {
        if held.exists(&format!("go.{gate}"))? {
            return Ok(());
        }
        sleep(LOOK);
    }
    Err(Error::reject("the gate stays shut"))
}
