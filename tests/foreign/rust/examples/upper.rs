//! Writes standard input to standard output, in upper case. An empty input is an error.

use std::io::{self, Read as _, Write as _};

fn main() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to write"));
    }
    text.make_ascii_uppercase();
    io::stdout().write_all(&text)
}
