use std::time::Duration;

use saggar_jetstream::{BookRecord, Fault, Results, Usages};
use saggar_model::{BookId, Counters, Day, Page, TaskResult};

use crate::world::{World, acme, succeeded};

const TTL: Duration = Duration::from_hours(1);

fn book(id: &str) -> BookId {
    id.parse().unwrap()
}

fn record(id: &str) -> BookRecord {
    BookRecord { host: "host-1".into(), ids: vec![book(id)], retired: false, page: Page::default() }
}

async fn put_results(world: &World, id: &str, names: &[&str]) {
    let results = Results::new(&world.nats);
    for name in names {
        let result = TaskResult { book: Some(book(id)), ..succeeded(name, 1, "x") };
        results.put(&acme(), &result, TTL).await.unwrap();
    }
}

/// All that was ever used.
async fn used(usages: &Usages) -> Counters {
    let days = ["2000-01-01", "9999-01-01"].map(|day| day.parse::<Day>().unwrap());
    let accounts = usages.account(None, days[0], days[1]).await.unwrap();
    let used = accounts.get(&acme()).map(|tally| {
        assert_eq!(tally.by_queue(), tally.by_host());
        tally.by_queue()
    });
    used.unwrap_or_default()
}

#[tokio::test]
async fn what_a_lost_host_had_not_counted_is_found_in_its_results_once() {
    let world = World::with_queue(1).await;
    let usages = Usages::new(&world.nats);
    assert_eq!(used(&usages).await, Counters::default());
    usages.put(&acme(), &record("ab-0"), 0).await.unwrap();
    put_results(&world, "ab-0", &["a", "b"]).await;
    put_results(&world, "cd-0", &["c"]).await;
    put_results(&world, "ab-0", &["d"]).await;
    assert_eq!(usages.last_result(&acme()).await.unwrap(), 4);
    let closed = usages.close(&acme(), &book("ab-0")).await.unwrap().expect("it is there");
    assert!(closed.record.page.closed && closed.record.page.through == 4);
    assert_eq!(used(&usages).await.spent.fuel, 3, "those of its own");

    put_results(&world, "ab-0", &["e"]).await;
    let closed = usages.close(&acme(), &book("ab-0")).await.unwrap().expect("it is there");
    assert_eq!(used(&usages).await.spent.fuel, 4, "what came late is found the next time");
    let again = usages.close(&acme(), &book("ab-0")).await.unwrap().expect("it is there");
    assert_eq!((again.record, again.revision), (closed.record.clone(), closed.revision), "and only once");
    for _ in 0..2 {
        usages.settle(&closed).await.unwrap();
        assert_eq!((used(&usages).await.ended(), used(&usages).await.spent.fuel), (4, 4));
    }
    assert_eq!(usages.get(&acme(), &book("ab-0")).await.unwrap(), None);
    assert_eq!(usages.close(&acme(), &book("ab-0")).await.unwrap(), None);
}

#[tokio::test]
async fn wherever_taking_over_stops_nothing_is_counted_twice_or_forgotten() {
    let world = World::with_queue(1).await;
    let usages = Usages::new(&world.nats);
    usages.put(&acme(), &record("ab-0"), 0).await.unwrap();
    put_results(&world, "ab-0", &["a", "b", "c"]).await;
    let closed = usages.close(&acme(), &book("ab-0")).await.unwrap().expect("it is there");
    let (day, _) = closed.record.page.tally.days().next().expect("a day");
    assert_eq!(used(&usages).await.ended(), 3, "closed");
    for _ in 0..2 {
        usages.take_over(&closed, day).await.unwrap();
        assert_eq!(used(&usages).await.ended(), 3, "taken over, and still there");
        usages.forget_taken(day).await.unwrap();
    }
    let days = [day, day.before()];
    assert_eq!(usages.taken_through(&acme(), &book("ab-0"), days).await.unwrap(), Some(3));
    usages.settle(&closed).await.unwrap();
    assert_eq!(used(&usages).await.ended(), 3, "removed");
    usages.forget_taken(day).await.unwrap();
    assert_eq!(used(&usages).await.ended(), 3, "its name, too");
    assert_eq!(usages.taken_through(&acme(), &book("ab-0"), days).await.unwrap(), None);
}

#[tokio::test]
async fn a_host_that_was_taken_for_lost_cannot_write_its_book_and_one_that_goes_on_is_not_closed_again() {
    let world = World::with_queue(1).await;
    let usages = Usages::new(&world.nats);
    let opened = usages.put(&acme(), &record("ab-0"), 0).await.unwrap();
    put_results(&world, "ab-0", &["a"]).await;
    let closed = usages.close(&acme(), &book("ab-0")).await.unwrap().expect("it is there");
    let refused = usages.put(&acme(), &record("ab-0"), opened).await.unwrap_err();
    assert_eq!(refused.fault(), Fault::Conflict);

    let mut continued = closed.record.clone();
    continued.page.continued = true;
    usages.put(&acme(), &continued, closed.revision).await.unwrap();
    let ids = vec![book("ab-1"), book("ab-0")];
    let page = Page { through: closed.record.page.through, ..Page::default() };
    usages.put(&acme(), &BookRecord { ids, page, ..record("ab-1") }, 0).await.unwrap();
    put_results(&world, "ab-0", &["late"]).await;
    put_results(&world, "ab-1", &["next"]).await;
    for id in ["ab-0", "ab-1"] {
        let closed = usages.close(&acme(), &book(id)).await.unwrap().expect("it is there");
        usages.settle(&closed).await.unwrap();
    }
    assert_eq!(used(&usages).await.ended(), 3);
    assert!(usages.books(None, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn books_are_found_by_the_process_that_keeps_them() {
    let world = World::with_queue(1).await;
    let usages = Usages::new(&world.nats);
    for id in ["ab-0", "ab-1", "cd-0"] {
        usages.put(&acme(), &record(id), 0).await.unwrap();
    }
    let found = async |instance| {
        let books = usages.books(None, instance).await.unwrap();
        let mut ids: Vec<_> = books.iter().map(|book| book.record.id().to_string()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(found(Some("ab")).await, ["ab-0", "ab-1"]);
    assert_eq!(found(None).await.len(), 3);
    assert!(found(Some("a")).await.is_empty());
    let books = usages.books(Some(&acme()), Some("cd")).await.unwrap();
    assert_eq!(books[0].instance(), "cd");
}
