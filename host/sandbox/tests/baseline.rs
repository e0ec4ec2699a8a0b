//! The limit that a benchmark holds the sandbox against does what the sandbox does, or the ratio means nothing.

use saggar_sandbox::{Bare, Metering, Options, PageScan};

const POOL: Options = Options { slots: 1, max_memory: 64 << 20, page_scan: PageScan::Auto };

fn bare(guest: &str, metering: Metering) -> Bare {
    let path = format!(
        "{}/../../plugins/target/wasm32-wasip2/release/examples/{guest}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let wasm = std::fs::read(path).expect("guests are built: run `make guests`");
    Bare::new(&POOL, metering, &wasm).expect("the guest compiles and links")
}

#[tokio::test]
async fn a_bare_guest_answers_with_fuel_and_without() {
    for metering in [Metering::On, Metering::Off] {
        let echo = bare("echo", metering);
        for payload in [&b"once"[..], b"", b"again"] {
            assert_eq!(echo.call(payload, 1_000_000).await.expect("it answers"), payload);
        }
    }
}

#[tokio::test]
async fn a_bare_guest_spends_fuel_unless_it_is_not_counted() {
    let below = b"100000";
    let error = bare("sieve", Metering::On).call(below, 10_000).await.expect_err("its fuel is spent");
    assert!(error.to_string().contains("fuel"), "{error}");
    assert_eq!(bare("sieve", Metering::Off).call(below, 0).await.expect("it ends"), b"9592");
}
