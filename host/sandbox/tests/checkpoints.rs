//! Checkpoints of real guests, up to the store: what reaches it, what it costs, and what becomes of the rest.

use std::collections::VecDeque;
use std::future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use saggar_model::{
    CHECKPOINT_INTERVAL, CHECKPOINT_MAX_BYTES, Capability, Ending, Outcome, StoreError, StoreKind,
};
use saggar_sandbox::{Attempt, Checkpoint, LogLine, Options, Plugin, Request, Sandbox, Services};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    Sandbox::new(&Options { slots: 8, ..Options::default() }).expect("this machine runs sandboxes")
});

fn guest() -> Plugin {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../plugins/target/wasm32-wasip2/release/examples/saves.wasm"
    );
    let wasm = std::fs::read(path).expect("guests are built: run `make guests`");
    SANDBOX.load(&SANDBOX.compile(&wasm).expect("the guest compiles")).expect("the guest links")
}

/// A store of one task.
#[derive(Default)]
struct Store {
    found: Option<StoreError>,
    kept: Mutex<Option<Bytes>>,
    /// What saving says, as long as there is anything; then that it is kept.
    answers: Mutex<VecDeque<StoreError>>,
}

#[async_trait]
impl Checkpoint for Store {
    async fn load(&self) -> Result<Option<Bytes>, StoreError> {
        match &self.found {
            Some(error) => Err(error.clone()),
            None => Ok(self.kept.lock().unwrap().clone()),
        }
    }

    async fn save(&self, state: Bytes) -> Result<(), StoreError> {
        if let Some(error) = self.answers.lock().unwrap().pop_front() {
            return Err(error);
        }
        *self.kept.lock().unwrap() = Some(state);
        Ok(())
    }
}

struct Keeping(Arc<Store>);

impl Services for Keeping {
    fn progress(&self, _: Option<f64>, _: &str) {}

    fn log(&self, _: LogLine<'_>) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _: Capability, _: &str) {}

    fn checkpoint(&self) -> Option<Arc<dyn Checkpoint>> {
        Some(self.0.clone())
    }
}

async fn run(sizes: &str, store: &Arc<Store>) -> Attempt {
    let services = Arc::new(Keeping(store.clone()));
    SANDBOX.run(&guest(), Request::local(sizes.to_owned().into()), services, future::pending()).await
}

fn output(attempt: &Attempt) -> String {
    match &attempt.ending {
        Ending::Succeeded(output) => String::from_utf8_lossy(&output.payload).into_owned(),
        Ending::Failed(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn what_one_attempt_kept_the_next_one_gets() {
    let store = Arc::new(Store::default());
    assert_eq!(output(&run("5", &store).await), "from 0, kept");
    assert_eq!(output(&run("", &store).await), "from 5");
}

#[tokio::test]
async fn a_checkpoint_that_is_too_large_is_refused_and_the_one_before_it_stays() {
    let store = Arc::new(Store::default());
    let sizes = format!("{} {}", CHECKPOINT_MAX_BYTES, CHECKPOINT_MAX_BYTES + 1);
    let said = output(&run(&sizes, &store).await);
    assert_eq!(said, format!("from 0, kept, TooLarge({CHECKPOINT_MAX_BYTES})"));
    assert_eq!(store.kept.lock().unwrap().as_ref().map(Bytes::len), Some(CHECKPOINT_MAX_BYTES));
}

#[tokio::test]
async fn what_the_store_says_reaches_the_guest_as_what_it_is() {
    let answers = [
        StoreError::Full(StoreKind::Checkpoints),
        StoreError::Conflict,
        StoreError::TooLarge { most: 9, bytes: 10 },
    ];
    let store = Arc::new(Store { answers: Mutex::new(answers.into()), ..Store::default() });
    assert_eq!(output(&run("1 1 1", &store).await), "from 0, Full, Unavailable, TooLarge(9)");
}

#[tokio::test]
async fn an_attempt_keeps_one_checkpoint_a_second() {
    let (store, began) = (Arc::new(Store::default()), Instant::now());
    assert_eq!(output(&run("1 2 3", &store).await), "from 0, kept, kept, kept");
    assert!(began.elapsed() >= 2 * CHECKPOINT_INTERVAL, "{:?}", began.elapsed());
    assert_eq!(store.kept.lock().unwrap().as_deref(), Some(&[7, 7, 7][..]));
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_ends_the_attempt_and_is_not_its_fault() {
    let store = Arc::new(Store { found: Some(StoreError::Conflict), ..Store::default() });
    let attempt = run("1", &store).await;
    let Ending::Failed(failure) = attempt.ending else { panic!("it ran: {:?}", attempt.ending) };
    assert_eq!(failure.outcome, Outcome::HostError);
    assert!(failure.reason.contains("its checkpoint"), "{}", failure.reason);
    assert_eq!(*store.kept.lock().unwrap(), None, "nothing was written over");
}

#[tokio::test]
async fn a_checkpoint_costs_as_much_as_the_requests_it_takes_and_its_bytes() {
    let fuel = async |sizes| run(sizes, &Arc::new(Store::default())).await.usage.fuel;
    let (none, one, large) = (fuel("").await, fuel("1").await, fuel("1000000").await);
    assert!(one >= none + 3 * 20_000, "{none} {one}");
    assert!(large >= one + 1_000_000, "{one} {large}");
}
