//! How long a guest has a processor: in all, and at a time.
//!
//! The engine counts fuel and knows no time, and a guest gives way to others after so much fuel. What that takes depends on
//! what it does and on the machine; and to give way means that the executor takes up something else, perhaps on another
//! thread, which costs as much as a short task. So a guest gives way often, and is taken up again at once for as long as
//! its turn lasts.
//!
//! Counted is the time inside the polls of its future, which is all the time but that spent waiting. The clock of the
//! thread itself would leave out what other processes of the machine take, but costs a system call twice a poll, 2 % of a
//! short attempt; this one costs a fifth of that.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

/// The first turn of a guest: most tasks are over before it is.
const FIRST_TURN: Duration = Duration::from_micros(200);

/// Every further turn. Whatever comes in from elsewhere passes through some hands in the host, and may wait at each for a
/// few guests that compute.
const TURN: Duration = Duration::from_micros(50);

/// Runs a future in turns, and adds the time that it computes to `computed`, also if it is dropped before its end.
pub(crate) async fn measured<F: Future>(computed: &mut Duration, future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut turn = FIRST_TURN;
    poll_fn(|context| {
        let start = Instant::now();
        loop {
            bell.listen(context.waker());
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            let has_rung = bell.has_rung();
            let took = start.elapsed();
            if polled.is_pending() && has_rung && took < turn {
                continue;
            }
            *computed += took;
            turn = TURN;
            if polled.is_pending() && has_rung {
                context.waker().wake_by_ref();
                // Other processes as well: the server of NATS, for one, may have waited for a processor.
                std::thread::yield_now();
            }
            return polled;
        }
    })
    .await
}

/// Gives way to others, and could go on at once.
pub(crate) async fn give_way() {
    let mut has_given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Rings when a future could go on: to be heard at the end of a poll, or else to wake whoever polls it.
#[derive(Default)]
struct Bell {
    /// Somebody will ask at the end of the poll.
    is_polled: AtomicBool,
    rang: AtomicBool,
    outer: AtomicWaker,
}

impl Bell {
    /// A poll begins.
    fn listen(&self, outer: &Waker) {
        self.outer.register(outer);
        self.is_polled.store(true, Ordering::SeqCst);
        self.rang.store(false, Ordering::SeqCst);
    }

    /// The poll is over: whether it rang meanwhile. From here on it wakes.
    fn has_rung(&self) -> bool {
        self.is_polled.store(false, Ordering::SeqCst);
        self.rang.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order: whoever ends a poll first says that it is over, and then looks.
        self.rang.store(true, Ordering::SeqCst);
        if !self.is_polled.load(Ordering::SeqCst) {
            self.outer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far more than a poll that does nothing takes on a busy machine.
    const WORK: Duration = Duration::from_millis(20);

    fn compute(work: Duration) {
        let start = Instant::now();
        while start.elapsed() < work {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let mut computed = Duration::ZERO;
        let start = Instant::now();
        measured(&mut computed, async {
            compute(WORK);
            tokio::time::sleep(10 * WORK).await;
            compute(WORK);
        })
        .await;
        assert!(computed >= 2 * WORK, "{computed:?}");
        let waited = start.elapsed().saturating_sub(computed);
        assert!(waited >= 5 * WORK, "{waited:?}");
    }

    /// How often a future that gives way is given up for others.
    async fn polls(future: impl Future) -> u32 {
        let (mut polls, mut computed) = (0, Duration::ZERO);
        let mut running = pin!(measured(&mut computed, future));
        poll_fn(|context| {
            polls += 1;
            running.as_mut().poll(context)
        })
        .await;
        polls
    }

    #[tokio::test]
    async fn within_its_turn_a_guest_goes_on() {
        assert_eq!(polls(give_way()).await, 1);
    }

    #[tokio::test]
    async fn after_its_turn_others_have_theirs() {
        let long = async {
            for _ in 0..3 {
                compute(2 * FIRST_TURN);
                give_way().await;
            }
        };
        assert_eq!(polls(long).await, 4);
    }

    #[tokio::test]
    async fn what_wakes_it_from_elsewhere_is_heard_whenever_it_comes() {
        for _ in 0..1_000 {
            let (tell, told) = tokio::sync::oneshot::channel();
            let other = std::thread::spawn(move || tell.send(()));
            let told = polls(async { told.await.expect("it is told") });
            tokio::time::timeout(Duration::from_secs(10), told).await.expect("it goes on");
            other.join().expect("it ends").expect("it is heard");
        }
    }
}
