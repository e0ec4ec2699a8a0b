//! A terminal that is taken over for a while: pictures one after another, keys without Enter, and everything as it was
//! afterwards, whatever ended it.

use std::io::{self, Read as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Another screen, no cursor, no line that breaks.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A picture is shown when it is complete; a terminal that does not know this ignores it.
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[J\x1b[?2026l";

/// What a terminal is that does not say how large it is.
const USUAL: Size = Size { columns: 80, lines: 24 };

/// How much fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

/// The terminal, until it is dropped.
pub struct Screen {
    /// How its input was; nothing if there is none.
    before: Option<Termios>,
    colours: bool,
}

/// How large the terminal is.
#[must_use]
pub fn size() -> Size {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: size.ws_col.into(), lines: size.ws_row.into() }
        }
        _ => USUAL,
    }
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn enter() -> io::Result<Self> {
        let colours = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        let before = tcgetattr(io::stdin()).ok();
        let screen = Self { before, colours };
        if let Some(before) = &screen.before {
            let mut keys = before.clone();
            // Ctrl-C is a key like others then, and Ctrl-Z does not leave a terminal behind that shows nothing.
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        }
        write(ENTER)?;
        Ok(screen)
    }

    /// Shows lines, of which there are no more, and none longer, than fit into this size.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn show(&self, lines: &[String], size: Size) -> io::Result<()> {
        let mut picture = BEGIN.to_owned();
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                picture.push_str("\r\n");
            }
            let plain = anstream::adapter::strip_str(line).to_string();
            picture.push_str(if self.colours { line } else { &plain });
            // Behind the last character of a full line there is nothing, and a terminal would clear that character.
            if plain.chars().count() < size.columns {
                picture.push_str("\x1b[K");
            }
        }
        picture.push_str(END);
        write(&picture)
    }

    /// The keys that are pressed from now on.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let (pressed, keys) = mpsc::unbounded_channel();
        if self.before.is_some() {
            std::thread::spawn(move || {
                for byte in io::stdin().lock().bytes().map_while(Result::ok) {
                    if pressed.send(byte).is_err() {
                        return;
                    }
                }
            });
        }
        Keys(keys)
    }
}

/// A keyboard.
pub struct Keys(mpsc::UnboundedReceiver<u8>);

impl Keys {
    /// Waits for the next byte; for ever, if there is no keyboard.
    pub async fn next(&mut self) -> u8 {
        match self.0.recv().await {
            Some(byte) => byte,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Whoever closed the terminal needs nothing of this.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
