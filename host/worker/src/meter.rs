//! What a guest works: measured around each time that it is polled.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::future::poll_fn;
use futures::task::AtomicWaker;

use crate::scheduler::Work;

/// How a future ran.
pub(crate) struct Ran<Output> {
    /// What came of it.
    pub(crate) output: Output,
    /// How often it was polled: once, if it never waited for anything.
    pub(crate) polls: u64,
}

/// Runs a future, and tells after each poll what it worked since the one before.
pub(crate) async fn metered<F: Future>(future: F, told: impl Fn(Work)) -> Ran<F::Output> {
    let mut future = pin!(future);
    let alarm =
        Arc::new(Alarm { start: Instant::now(), rang_at: AtomicU64::new(0), outer: AtomicWaker::new() });
    let waker = Waker::from(alarm.clone());
    let mut polls = 0;
    let output = poll_fn(|context| {
        polls += 1;
        let (polled, work) = poll(future.as_mut(), context, &alarm, &waker);
        told(work);
        polled
    })
    .await;
    Ran { output, polls }
}

fn poll<F: Future>(
    future: Pin<&mut F>,
    context: &Context<'_>,
    alarm: &Alarm,
    waker: &Waker,
) -> (Poll<F::Output>, Work) {
    alarm.outer.register(context.waker());
    let begun = Instant::now();
    let waited = alarm.silence(begun);
    let polled = future.poll(&mut Context::from_waker(waker));
    let computed = begun.elapsed();
    (polled, Work { computed, ready: computed + waited, fuel: 0 })
}

/// Knows since when a future could go on.
struct Alarm {
    start: Instant,
    /// Nanoseconds after `start`, and one more; 0 while nothing has happened.
    rang_at: AtomicU64,
    outer: AtomicWaker,
}

impl Alarm {
    /// For how long it has been ringing.
    fn silence(&self, now: Instant) -> Duration {
        match self.rang_at.swap(0, Ordering::AcqRel) {
            0 => Duration::ZERO,
            at => now.saturating_duration_since(self.start + Duration::from_nanos(at - 1)),
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let at = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        // The first counts, and the others change nothing.
        let _ = self.rang_at.compare_exchange(0, at, Ordering::AcqRel, Ordering::Relaxed);
        self.outer.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives way to others, and could go on at once.
    async fn give_way() {
        let mut given = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn measure(future: impl Future) -> (Vec<Work>, u64) {
        let told = Mutex::new(Vec::new());
        let ran = metered(future, |work| told.lock().unwrap().push(work)).await;
        (told.into_inner().unwrap(), ran.polls)
    }

    #[tokio::test]
    async fn one_that_never_waits_is_polled_once() {
        let (told, polls) = measure(async { std::hint::black_box(1) }).await;
        assert_eq!((told.len(), polls), (1, 1));
        assert_eq!(told[0].computed, told[0].ready);
    }

    #[tokio::test(start_paused = true)]
    async fn sleeping_is_no_work() {
        let (told, polls) = measure(tokio::time::sleep(Duration::from_hours(1))).await;
        let ready: Duration = told.iter().map(|work| work.ready).sum();
        assert!(polls >= 2 && ready < Duration::from_secs(10), "{told:?}");
    }

    #[tokio::test]
    async fn whoever_waits_for_a_processor_is_ready() {
        let busy = Duration::from_millis(20);
        let other = tokio::spawn(async move {
            give_way().await;
            let until = Instant::now() + busy;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        });
        let (told, _) = measure(async {
            while !other.is_finished() {
                give_way().await;
            }
        })
        .await;
        let sum = |part: fn(&Work) -> Duration| told.iter().map(part).sum::<Duration>();
        assert!(sum(|work| work.ready) >= busy, "{told:?}");
        assert!(sum(|work| work.ready) >= sum(|work| work.computed) + busy / 2);
    }
}
