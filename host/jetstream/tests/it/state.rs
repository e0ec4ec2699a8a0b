use saggar_jetstream::{Fault, States};
use saggar_model::History;

use crate::world::{World, acme, work};

#[tokio::test]
async fn a_history_is_written_only_by_whoever_knows_the_last_one() {
    let world = World::new().await;
    let states = States::new(&world.nats);
    let put = |attempts, expected| {
        let (states, history) = (states.clone(), History { attempts, ..History::default() });
        async move { states.put(&acme(), &work(), 5, &history, expected).await }
    };
    assert_eq!(states.get(&acme(), &work(), 5).await, Ok(None));
    let first = put(1, 0).await.unwrap();
    assert_eq!(put(2, 0).await.unwrap_err().fault(), Fault::Conflict, "somebody was first");
    assert_eq!(put(1, 0).await, Ok(first), "an answer that was lost is given again");
    let second = put(2, first).await.unwrap();
    assert_eq!(put(3, first).await.unwrap_err().fault(), Fault::Conflict, "somebody came between");
    let stored = states.get(&acme(), &work(), 5).await.unwrap().unwrap();
    assert_eq!((stored.history.attempts, stored.revision), (2, second));
    assert_eq!(states.get(&acme(), &work(), 6).await, Ok(None));
    assert_eq!(states.remove(second).await, Ok(true));
    assert_eq!(states.remove(second).await, Ok(false));
    assert_eq!(states.get(&acme(), &work(), 5).await, Ok(None));
    assert!(put(1, 0).await.is_ok(), "a removed history leaves nothing behind");
}
