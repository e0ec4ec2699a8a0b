//! A sandbox and its attackers.

use std::future;
use std::sync::{Arc, Mutex};

use saggar_conformance::{Attack, Guest};
use saggar_harness::guests;
use saggar_model::Capability;
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

/// A guest of the tests' own.
pub fn guest(sandbox: &Sandbox, name: &str) -> Plugin {
    let wasm = std::fs::read(guests::path(name)).expect("the guest can be read");
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
    reports: Mutex<Vec<String>>,
    contexts: Mutex<Vec<String>>,
    denials: Mutex<Vec<(Capability, String)>>,
}

impl Recorder {
    pub fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("nobody panicked"))
    }

    pub fn reports(&self) -> usize {
        self.reports.lock().expect("nobody panicked").len()
    }

    pub fn denials(&self) -> Vec<(Capability, String)> {
        self.denials.lock().expect("nobody panicked").clone()
    }

    /// Everything that was said, however.
    pub fn everything(&self) -> String {
        let Self { lines, reports, contexts, denials } = self;
        format!("{lines:?} {reports:?} {contexts:?} {denials:?}")
    }
}

impl Services for Recorder {
    fn progress(&self, _: Option<f64>, message: &str) {
        self.reports.lock().expect("nobody panicked").push(message.to_owned());
    }

    fn log(&self, line: LogLine<'_>) {
        self.lines.lock().expect("nobody panicked").push(line.message.to_owned());
        self.contexts.lock().expect("nobody panicked").push(line.context.to_owned());
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, capability: Capability, target: &str) {
        self.denials.lock().expect("nobody panicked").push((capability, target.to_owned()));
    }
}
