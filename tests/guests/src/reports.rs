//! Reports its progress as often as the input says, then says whether it should stop.

use saggar_plugin::{handler, progress};

#[handler]
fn reports(times: String) -> String {
    let times: u32 = times.trim().parse().unwrap_or(0);
    for step in 1..=times {
        progress::report(f64::from(step) / f64::from(times), &format!("step {step}"));
    }
    format!("cancelled: {}", progress::cancelled())
}
