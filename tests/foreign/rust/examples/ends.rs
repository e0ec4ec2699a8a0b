//! Ends as its input says: `exit 65`, `panic`, `write 1000`, `forget`, `say 5000`.

use std::io::{self, Read as _, Write as _};

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let (word, number) = text.split_once(' ').unwrap_or((&text, "0"));
    let number: usize = number.parse().map_err(io::Error::other)?;
    match word {
        "exit" => {
            println!("a result that nobody wants");
            eprintln!("asked to end with {number}");
            exit(number);
        }
        "panic" => panic!("the glaze cracked"),
        "write" => {
            let mut stdout = io::stdout().lock();
            let line = [b'x'; 1000];
            for _ in 0..number / line.len() {
                stdout.write_all(&line)?;
            }
            stdout.write_all(&line[..number % line.len()])?;
        }
        "hold" => {
            let held = vec![1_u8; number << 20];
            println!("held {}", held.len() >> 20);
        }
        // A second reader of one input gets what the first left.
        "again" => {
            let more = io::stdin().read_to_end(&mut Vec::new())?;
            println!("{more}");
        }
        other => return Err(io::Error::other(format!("what is {other}?"))),
    }
    Ok(())
}

/// Rust's own `exit` knows success and failure only.
fn exit(code: usize) -> ! {
    wasip2::cli::exit::exit_with_code(u8::try_from(code).unwrap_or(u8::MAX));
    unreachable!("the program has ended")
}
