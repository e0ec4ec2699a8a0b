//! Finds the books of hosts that are gone, and takes them over into the tenants' accounts. The leader does it; whatever it
//! does can be done twice, and be begun by one leader and ended by another.

use std::collections::HashSet;
use std::time::Duration;

use futures::FutureExt as _;
use saggar_jetstream::{HEARTBEAT, Hosts, Nats, UsageError, Usages};
use saggar_model::Day;

/// How often all books are looked at, should a host have gone while nobody led.
const ROUND: Duration = Duration::from_mins(5);

/// How long a book that its host has given up is left alone: a result that it lost sight of is stored by then, or never
/// will be.
const LEFT: Duration = Duration::from_mins(2);

/// Closes accounts.
pub(crate) struct Bookkeeper {
    usages: Usages,
    hosts: Hosts,
    nats: Nats,
}

/// The processes of hosts that were alive when it was looked last, and the time before.
#[derive(Default)]
struct Alive {
    now: HashSet<String>,
    before: HashSet<String>,
}

impl Alive {
    fn has(&self, instance: &str) -> bool {
        self.now.contains(instance) || self.before.contains(instance)
    }

    /// A new look. The answer is who was alive and is not, this time and the last.
    fn look(&mut self, now: HashSet<String>) -> Vec<String> {
        let gone = self.before.iter().filter(|one| !self.now.contains(*one) && !now.contains(*one));
        let gone = gone.cloned().collect();
        self.before = std::mem::replace(&mut self.now, now);
        gone
    }
}

impl Bookkeeper {
    pub(crate) fn new(nats: &Nats) -> Self {
        Self { usages: Usages::new(nats), hosts: Hosts::new(nats), nats: nats.clone() }
    }

    /// Goes on for ever.
    pub(crate) async fn keep(&self) {
        let mut alive = Alive::default();
        let mut look = tokio::time::interval(HEARTBEAT);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = tokio::time::interval(ROUND);
        // A host whose books could not be taken over, to be tried again.
        let mut gone: HashSet<String> = HashSet::new();
        loop {
            look.tick().await;
            match self.instances().await {
                Ok(now) => gone.extend(alive.look(now)),
                Err(error) => {
                    tracing::debug!(%error, "who is alive could not be seen");
                    continue;
                }
            }
            for instance in gone.clone() {
                match self.take_over(Some(&instance), &alive).await {
                    Ok(()) => drop(gone.remove(&instance)),
                    Err(error) => tracing::warn!(%error, "books of a lost host are closed later"),
                }
            }
            // Twice looked, so that a heartbeat that was missed buries nobody.
            if !alive.before.is_empty() && round.tick().now_or_never().is_some() {
                let today = Day::of(self.nats.now());
                let done = async {
                    self.take_over(None, &alive).await?;
                    // A host that was frozen finds there how far its books went. Not today's, so that it can.
                    self.usages.forget_taken(today.before()).await?;
                    self.usages.forget_taken(today.before().before()).await
                };
                if let Err(error) = done.await {
                    tracing::warn!(%error, "not all books of usage could be looked at");
                }
            }
        }
    }

    /// Takes over the books that nobody writes any more: those of one process, or of all.
    async fn take_over(&self, instance: Option<&str>, alive: &Alive) -> Result<(), UsageError> {
        let books = self.usages.books(None, instance).await?;
        // Asked afterwards: a host that joined meanwhile has a book.
        let now = self.instances().await?;
        for book in books {
            let is_alive = now.contains(book.instance()) || alive.has(book.instance());
            let is_over = book.record.page.continued;
            if !is_over && !book.is_left(is_alive, self.nats.now() - LEFT) {
                continue;
            }
            if let Some(closed) = self.usages.close(&book.tenant, book.record.id()).await? {
                self.usages.settle(&closed).await?;
                let (tenant, host) = (&closed.tenant, &closed.record.host);
                tracing::info!(%tenant, host, "the usage of a host that is gone is in the account");
            }
        }
        Ok(())
    }

    async fn instances(&self) -> Result<HashSet<String>, UsageError> {
        Ok(self.hosts.list().await?.into_iter().map(|host| host.instance).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_missed_one_look_is_not_gone() {
        let look = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        let mut alive = Alive::default();
        assert!(alive.look(look(&["a", "b"])).is_empty());
        assert!(alive.look(look(&["a"])).is_empty());
        assert!(alive.has("b"));
        assert_eq!(alive.look(look(&["a"])), ["b"]);
        assert!(!alive.has("b"));
        assert!(alive.look(look(&["a"])).is_empty(), "told once");
    }
}
