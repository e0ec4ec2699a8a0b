//! Reads the secret `TOKEN` and lets it out on every way there is, spelled in one of several ways.

use saggar_plugin::{Error, Output, config, context, handler, log, progress};

#[handler]
fn leaks(input: String) -> Result<Output, Error> {
    let secret = config::get("TOKEN")?.ok_or_else(|| Error::reject("there is no TOKEN"))?;
    let (way, spelling) = input.split_once(' ').unwrap_or((&input, "plain"));
    let spelled = match spelling {
        "hex" => secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        "base64" => base64(secret.as_bytes()),
        "base64-shifted" => base64(format!("x{secret}y").as_bytes()),
        "base64-shifted-twice" => base64(format!("xy{secret}").as_bytes()),
        _ => secret,
    };
    let text = format!("here it is: {spelled}.");
    match way {
        "output" => return Ok(Output::new(format!("text/{spelled}"), text)),
        "log" => log::info!(target: &spelled, "{text}"),
        "long-log" => log::info!("{}{text}", "x".repeat(4090)),
        "stdout" => println!("{text}"),
        "stderr" => eprintln!("{text}"),
        "pieces" => spelled.chars().for_each(|character| eprint!("{character}")),
        "progress" => progress::report(0.5, &text),
        "panic" => panic!("{text}"),
        "key" => return Err(Error::reject(format!("{:?}", config::get(&spelled)))),
        "reject" | "retry" => {
            let error = if way == "reject" { Error::reject(text) } else { Error::retry(text) };
            return Err(error.code(spelled));
        }
        _ => return Err(Error::reject(format!("{way} is no way out"))),
    }
    Ok(Output::new("text/plain", format!("attempt {}", context::attempt())))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|three| {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(move |digit| char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize % 64]))
    });
    digits.collect()
}
