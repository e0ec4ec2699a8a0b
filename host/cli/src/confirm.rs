//! Asking before something is gone for good.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{Failure, Kind};

/// Goes on if the command line said `--yes`, or the person at the terminal repeats `name`.
///
/// # Errors
/// Nobody can be asked, or the answer was another.
pub fn confirm(yes: bool, what: &str, name: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let (input, mut output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() {
        return Err(Failure::new(
            Kind::Usage,
            format!("{what} cannot be undone, and nobody is there to be asked"),
        )
        .advice("Add `--yes` if that is what you want."));
    }
    let mut answer = String::new();
    let asked =
        write!(output, "{what} cannot be undone. Type `{name}` to go on: ").and_then(|()| output.flush());
    let read = asked.and_then(|()| input.lock().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == name => Ok(()),
        Ok(_) => Err(Failure::new(Kind::Usage, "nothing was done")),
        Err(error) => Err(Failure::new(Kind::Internal, format!("the terminal cannot be read: {error}"))),
    }
}
