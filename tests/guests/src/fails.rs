//! Fails as the input says: `reject`, `retry`, `retry-after 250`, `exit 3`, `until 3` (retries before attempt 3).

use std::time::Duration;

use saggar_plugin::{Error, context, handler};

#[handler]
fn fails(how: String) -> Result<String, Error> {
    let (how, number) = how.trim().split_once(' ').unwrap_or((how.trim(), "0"));
    let number: u64 = number.parse().unwrap_or(0);
    match how {
        "reject" => Err(Error::reject("this clay is sand").code("not-clay")),
        "retry" => Err(Error::retry("the kiln is cold")),
        "retry-after" => Err(Error::retry("the kiln is cold").retry_after(Duration::from_millis(number))),
        "exit" => std::process::exit(i32::try_from(number).unwrap_or(1)),
        "until" if u64::from(context::attempt()) < number => Err(Error::retry("not yet")),
        _ => Ok(format!("attempt {}", context::attempt())),
    }
}
