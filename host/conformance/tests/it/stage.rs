//! A sandbox and its attackers.

use std::future;
use std::sync::{Arc, Mutex};

use saggar_conformance::{Attack, Guest};
use saggar_sandbox::{Attempt, LogLine, Options, Plugin, Request, Sandbox, Services};

pub fn sandbox(options: &Options) -> Sandbox {
    Sandbox::new(options).expect("this machine runs sandboxes")
}

/// The attack of this name.
pub fn attack(id: &str) -> Attack {
    saggar_conformance::all().into_iter().find(|attack| attack.id == id).expect("there is such an attack")
}

pub fn load(sandbox: &Sandbox, guest: &Guest) -> Plugin {
    let wasm = guest.build().expect("the guest is well-formed");
    sandbox.load(&sandbox.compile(&wasm).expect("the guest compiles")).expect("the guest links")
}

pub fn request(attack: &Attack) -> Request {
    Request { limits: attack.limits, ..Request::local(attack.input.clone()) }
}

pub async fn run(sandbox: &Sandbox, attack: &Attack, services: Arc<dyn Services>) -> Attempt {
    let plugin = load(sandbox, &attack.guest);
    sandbox.run(&plugin, request(attack), services, future::pending()).await
}

/// Writes down what a guest says.
#[derive(Default)]
pub struct Recorder {
    lines: Mutex<Vec<String>>,
    reports: Mutex<usize>,
}

impl Recorder {
    pub fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("nobody panicked"))
    }

    pub fn reports(&self) -> usize {
        *self.reports.lock().expect("nobody panicked")
    }
}

impl Services for Recorder {
    fn progress(&self, _: Option<f64>, _: &str) {
        *self.reports.lock().expect("nobody panicked") += 1;
    }

    fn log(&self, line: LogLine<'_>) {
        self.lines.lock().expect("nobody panicked").push(line.message.to_owned());
    }

    fn cancelled(&self) -> bool {
        false
    }
}
