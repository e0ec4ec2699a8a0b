//! Reading the accounts: the days that were added up, and what stands in books only.

use std::collections::BTreeMap;

use saggar_model::{Day, Tally, TenantName};

use crate::usages::{StoredBook, StoredDay, UsageError, Usages};

/// How often it is read again because a book was taken over meanwhile. It happens a few times a day.
const TRIES: usize = 8;

impl Usages {
    /// The accounts of a tenant, or of all, from one day to another, both included. Nothing is in them twice, and what
    /// hosts have written is there; what they have counted since, a few seconds at most, is not.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn account(
        &self,
        tenant: Option<&TenantName>,
        from: Day,
        to: Day,
    ) -> Result<BTreeMap<TenantName, Tally>, UsageError> {
        let wanted = |day| (from..=to).contains(&day);
        let only = (from == to).then_some(from);
        let mut days = self.days(tenant, only, wanted).await?;
        let mut books = self.books(tenant, None).await?;
        for _ in 0..TRIES {
            // A book that was taken over between the two is in neither, or in both.
            let again = self.days(tenant, only, wanted).await?;
            if revisions(&again) == revisions(&days) {
                break;
            }
            days = again;
            books = self.books(tenant, None).await?;
        }
        let mut accounts = sum(&days, &books);
        accounts.values_mut().for_each(|tally| tally.retain(wanted));
        accounts.retain(|_, tally| !tally.is_empty());
        Ok(accounts)
    }
}

fn revisions(days: &[StoredDay]) -> Vec<u64> {
    days.iter().map(|stored| stored.revision).collect()
}

fn sum(days: &[StoredDay], books: &[StoredBook]) -> BTreeMap<TenantName, Tally> {
    let mut accounts: BTreeMap<TenantName, Tally> = BTreeMap::new();
    let mut by_place = BTreeMap::new();
    for stored in days {
        accounts.entry(stored.tenant.clone()).or_default().add_day(stored.day, &stored.record.lines);
        by_place.insert((&stored.tenant, stored.day), &stored.record.taken);
    }
    for StoredBook { tenant, record, .. } in books {
        let account = accounts.entry(tenant.clone()).or_default();
        for (day, lines) in record.page.tally.days() {
            let is_taken = by_place.get(&(tenant, day)).is_some_and(|taken| taken.contains_key(record.id()));
            if !is_taken {
                account.add_day(day, lines);
            }
        }
    }
    accounts
}
