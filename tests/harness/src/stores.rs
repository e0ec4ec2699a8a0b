//! What every implementation of a tenant's stores must do, whatever is behind it: run against each of them.
//!
//! Each function begins with empty stores of the quota [`QUOTA`] and panics where something does not hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use saggar_model::{CHUNK_BYTES, Condition, Quota, StoreError, StoreKey, StoreKind, StoreName};
use saggar_sandbox::{Blobs, Download, KeyValue};

/// The quota that the stores must have: the least there may be.
pub const QUOTA: Quota = Quota {
    tasks: 1000,
    bytes: 64 << 20,
    results: 64 << 20,
    dead: 4 << 20,
    checkpoints: Quota::STORE_MIN,
    payloads: Quota::STORE_MIN,
    kv: Quota::STORE_MIN,
    blobs: Quota::STORE_MIN,
};

/// Keys that mean something to somebody: a subject, a path, a terminal, a protocol.
pub const HOSTILE_KEYS: [&str; 14] = [
    "",
    " ",
    ".",
    "..",
    "../../other/secret",
    "*",
    ">",
    "a.*.>",
    "a..b",
    "$KV.saggar-other-kv.x",
    "a\r\nPUB saggar.other.task.x 0\r\n",
    "\0",
    "=",
    "ключ \u{202e}\u{1b}[2J",
];

fn name(text: &str) -> StoreName {
    StoreName::new(text).expect("it is short")
}

fn key(text: &str) -> StoreKey {
    StoreKey::new(text).expect("it is short")
}

/// All there is to keys and values.
pub async fn kv(store: Arc<dyn KeyValue>) {
    let store = &store;
    values_are_what_was_set_last(store).await;
    hostile_keys_are_keys_like_others(store).await;
    conditions_hold(store).await;
    counters_count_each_once(store).await;
    lists_are_paged(store).await;
    a_full_store_refuses_and_keeps(store).await;
}

async fn values_are_what_was_set_last(store: &Arc<dyn KeyValue>) {
    let (bucket, other, a) = (name("values"), name("others"), key("a"));
    assert_eq!(store.get(&bucket, &a).await, Ok(None), "nothing is there before the first write");
    assert_eq!(store.delete(&bucket, &a).await, Ok(()), "what is not there can be removed");
    for value in ["one", "", "three"] {
        store.put(&bucket, &a, value.into(), Condition::Always).await.unwrap();
        assert_eq!(store.get(&bucket, &a).await.unwrap().unwrap().value, value);
    }
    assert_eq!(store.get(&other, &a).await, Ok(None), "a bucket is not another");
    store.delete(&bucket, &a).await.unwrap();
    assert_eq!(store.get(&bucket, &a).await, Ok(None));
    assert_eq!(store.keys(&bucket, 0).await.unwrap().names, [""; 0]);
}

async fn hostile_keys_are_keys_like_others(store: &Arc<dyn KeyValue>) {
    for (n, text) in HOSTILE_KEYS.into_iter().enumerate() {
        let (bucket, in_bucket) = (name(text), key(text));
        store.put(&bucket, &in_bucket, n.to_string().into(), Condition::Absent).await.unwrap();
    }
    let longest = key(&"é".repeat(StoreKey::MAX_BYTES / 2));
    let widest = name(&"\0".repeat(StoreName::MAX_BYTES));
    store.put(&widest, &longest, "x".into(), Condition::Absent).await.unwrap();
    assert_eq!(store.keys(&widest, 0).await.unwrap().names, [longest.as_str()]);
    for (n, text) in HOSTILE_KEYS.into_iter().enumerate() {
        let (bucket, in_bucket) = (name(text), key(text));
        assert_eq!(store.get(&bucket, &in_bucket).await.unwrap().unwrap().value, n.to_string(), "{text:?}");
        assert_eq!(store.keys(&bucket, 0).await.unwrap().names, [text], "each in a bucket of its own");
        store.delete(&bucket, &in_bucket).await.unwrap();
    }
    store.delete(&widest, &longest).await.unwrap();
}

async fn conditions_hold(store: &Arc<dyn KeyValue>) {
    let (bucket, a) = (name("conditions"), key("a"));
    let put = |value: &'static str, condition| store.put(&bucket, &a, value.into(), condition);
    assert_eq!(put("x", Condition::Revision(1 << 40)).await, Err(StoreError::Conflict));
    let first = put("1", Condition::Absent).await.unwrap();
    assert_eq!(put("x", Condition::Absent).await, Err(StoreError::Conflict));
    let second = put("2", Condition::Revision(first)).await.unwrap();
    assert_eq!(put("x", Condition::Revision(first)).await, Err(StoreError::Conflict));
    let found = store.get(&bucket, &a).await.unwrap().unwrap();
    assert_eq!((found.value, found.revision), ("2".into(), second));
    store.delete(&bucket, &a).await.unwrap();
    assert_eq!(put("x", Condition::Revision(second)).await, Err(StoreError::Conflict), "it is gone");
    let third = put("3", Condition::Absent).await.unwrap();
    assert!(third > second, "no revision comes twice");
}

async fn counters_count_each_once(store: &Arc<dyn KeyValue>) {
    const AT_ONCE: u64 = 16;
    let (bucket, counter) = (name("counters"), key("n"));
    let mut adding = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (store, bucket, counter) = (store.clone(), bucket.clone(), counter.clone());
        adding.spawn(async move { store.increment(&bucket, &counter, 3).await.expect("its turn comes") });
    }
    let sums: BTreeSet<u64> = adding.join_all().await.into_iter().collect();
    assert_eq!(sums, (1..=AT_ONCE).map(|n| 3 * n).collect(), "each saw another sum");
    assert_eq!(store.increment(&bucket, &counter, 0).await, Ok(3 * AT_ONCE));
    assert_eq!(store.increment(&bucket, &counter, u64::MAX).await, Err(StoreError::Overflow));
    store.put(&bucket, &counter, "many".into(), Condition::Always).await.unwrap();
    assert_eq!(store.increment(&bucket, &counter, 1).await, Err(StoreError::NotANumber));
    assert_eq!(store.get(&bucket, &counter).await.unwrap().unwrap().value, "many", "and it stays");
}

async fn lists_are_paged(store: &Arc<dyn KeyValue>) {
    const KEYS: usize = 600;
    let bucket = name("lists");
    for n in 0..KEYS {
        store.put(&bucket, &key(&format!("k{n}")), "v".into(), Condition::Always).await.unwrap();
    }
    let (mut listed, mut pages, mut after) = (Vec::new(), 0, Some(0));
    while let Some(place) = after {
        let page = store.keys(&bucket, place).await.unwrap();
        assert!(page.names.len() <= saggar_model::STORE_PAGE_MAX);
        listed.extend(page.names);
        (after, pages) = (page.next, pages + 1);
    }
    assert_eq!(listed, (0..KEYS).map(|n| format!("k{n}")).collect::<Vec<_>>());
    assert!((3..6).contains(&pages), "{pages}");
    for hostile in [u64::MAX, u64::MAX - 1, 1 << 63] {
        assert_eq!(store.keys(&bucket, hostile).await.unwrap_or_default().names, [""; 0], "{hostile}");
    }
    for n in 0..KEYS {
        store.delete(&bucket, &key(&format!("k{n}"))).await.unwrap();
    }
}

async fn a_full_store_refuses_and_keeps(store: &Arc<dyn KeyValue>) {
    let (bucket, value) = (name("full"), Bytes::from(vec![7; 64 << 10]));
    let put = |n: usize, value: Bytes| {
        let bucket = bucket.clone();
        async move { store.put(&bucket, &key(&n.to_string()), value, Condition::Always).await }
    };
    let too_large = put(0, vec![0; 2 << 20].into()).await.unwrap_err();
    assert!(matches!(too_large, StoreError::TooLarge { bytes, .. } if bytes == 2 << 20), "{too_large:?}");
    let mut kept = 0;
    let full = loop {
        match put(kept, value.clone()).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::Full(StoreKind::Kv));
    assert!((28..=31).contains(&kept), "{kept} of 64 KiB fit into 2 MiB");
    for n in 0..kept {
        assert_eq!(
            store.get(&bucket, &key(&n.to_string())).await.unwrap().unwrap().value,
            value,
            "{n} is kept"
        );
    }
    store.delete(&bucket, &key("0")).await.expect("what is full can be emptied");
    put(kept, value.clone()).await.expect("and there is room again");
    // Again and again: nothing of what is removed counts on.
    for n in 0..100 {
        let key = key(&format!("round-{n}"));
        store.delete(&bucket, &self::key(&kept.to_string())).await.unwrap();
        store.put(&bucket, &key, value.clone(), Condition::Absent).await.unwrap();
        store.delete(&bucket, &key).await.unwrap();
    }
    for n in 0..kept {
        store.delete(&bucket, &key(&n.to_string())).await.unwrap();
    }
}

/// All there is to objects.
pub async fn blobs(store: Arc<dyn Blobs>) {
    let store = &store;
    containers_come_and_go(store).await;
    objects_are_what_was_stored_last(store).await;
    hostile_names_are_names_like_others(store).await;
    parts_of_objects_can_be_read(store).await;
    names_are_paged(store).await;
    nothing_is_left_of_what_is_aborted_or_does_not_fit(store).await;
}

async fn put(
    store: &Arc<dyn Blobs>,
    container: &str,
    object: &str,
    content: &[u8],
) -> Result<(), StoreError> {
    let mut upload = store.upload();
    for part in content.chunks(CHUNK_BYTES) {
        upload.write(Bytes::copy_from_slice(part)).await?;
    }
    upload.finish(&name(container), &key(object)).await
}

async fn read(mut download: Box<dyn Download>) -> Result<Vec<u8>, StoreError> {
    let mut content = Vec::new();
    while let Some(part) = download.next().await? {
        assert!(!part.is_empty());
        content.extend_from_slice(&part);
    }
    assert_eq!(content.len() as u64, download.size());
    Ok(content)
}

async fn get(store: &Arc<dyn Blobs>, container: &str, object: &str) -> Result<Vec<u8>, StoreError> {
    read(store.download(&name(container), &key(object), 0, u64::MAX).await?).await
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n % 251).expect("it is below 251")).collect()
}

async fn containers_come_and_go(store: &Arc<dyn Blobs>) {
    let photos = name("photos");
    assert_eq!(store.container(&photos).await, Ok(None));
    store.delete_container(&photos).await.expect("what is not there can be removed");
    store.create_container(&photos).await.unwrap();
    let made = store.container(&photos).await.unwrap().expect("it was made");
    store.create_container(&photos).await.expect("a task may run twice");
    assert_eq!(store.container(&photos).await, Ok(Some(made)), "it stays as it is");
    put(store, "photos", "a", b"a").await.unwrap();
    put(store, "photo", "a", b"b").await.unwrap();
    store.delete_container(&photos).await.unwrap();
    assert_eq!(store.container(&photos).await, Ok(None));
    assert_eq!(store.object(&photos, &key("a")).await, Ok(None), "with its objects");
    assert_eq!(get(store, "photo", "a").await.unwrap(), b"b", "and no others");
    store.clear_container(&name("photo")).await.unwrap();
}

async fn objects_are_what_was_stored_last(store: &Arc<dyn Blobs>) {
    assert_eq!(get(store, "c", "a").await, Err(StoreError::NotFound("object")));
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7, 0] {
        put(store, "c", "a", &content(size)).await.unwrap();
        assert_eq!(store.object(&name("c"), &key("a")).await.unwrap().unwrap().size, size as u64);
        assert!(get(store, "c", "a").await.unwrap() == content(size), "{size}");
    }
    let mut upload = store.upload();
    upload.write(Bytes::from_static(b"not yet")).await.unwrap();
    assert_eq!(get(store, "c", "a").await.unwrap(), b"", "what is not finished is not there");
    upload.finish(&name("c"), &key("a")).await.unwrap();
    assert_eq!(get(store, "c", "a").await.unwrap(), b"not yet");
    store.delete(&name("c"), &key("a")).await.unwrap();
    store.delete(&name("c"), &key("a")).await.expect("it is gone already");
    assert_eq!(get(store, "c", "a").await, Err(StoreError::NotFound("object")));
}

async fn hostile_names_are_names_like_others(store: &Arc<dyn Blobs>) {
    for text in HOSTILE_KEYS {
        store.create_container(&name(text)).await.unwrap();
        put(store, text, text, text.as_bytes()).await.unwrap();
    }
    let (longest, widest) = ("é".repeat(StoreKey::MAX_BYTES / 2), "\0".repeat(StoreName::MAX_BYTES));
    put(store, &widest, &longest, b"x").await.unwrap();
    for text in HOSTILE_KEYS {
        assert_eq!(get(store, text, text).await.unwrap(), text.as_bytes(), "{text:?}");
        assert_eq!(
            store.names(&name(text), 0).await.unwrap().names,
            [text],
            "each in a container of its own"
        );
        store.delete_container(&name(text)).await.unwrap();
        assert_eq!(store.container(&name(text)).await, Ok(None));
    }
    assert_eq!(get(store, &widest, &longest).await.unwrap(), b"x");
    store.clear_container(&name(&widest)).await.unwrap();
}

async fn parts_of_objects_can_be_read(store: &Arc<dyn Blobs>) {
    let whole = content(3 * CHUNK_BYTES + 5);
    put(store, "parts", "a", &whole).await.unwrap();
    let last = whole.len() as u64 - 1;
    let chunk = CHUNK_BYTES as u64;
    for (start, end) in
        [(0, 0), (0, last), (last, last), (3, 9), (chunk - 1, chunk), (chunk, 2 * chunk), (7, u64::MAX)]
    {
        let part = store.download(&name("parts"), &key("a"), start, end).await.unwrap();
        let [from, to] = [start, end.min(last)].map(|at| usize::try_from(at).expect("it is small"));
        assert!(read(part).await.unwrap() == whole[from..=to], "{start} to {end}");
    }
    for start in [last + 1, 1 << 40, u64::MAX] {
        let behind = store.download(&name("parts"), &key("a"), start, u64::MAX).await.unwrap();
        assert_eq!((behind.size(), read(behind).await), (0, Ok(Vec::new())), "{start}");
    }
    let backwards = store.download(&name("parts"), &key("a"), 2, 1).await;
    assert!(matches!(backwards, Err(StoreError::BadRange)));
    store.delete(&name("parts"), &key("a")).await.unwrap();
}

async fn names_are_paged(store: &Arc<dyn Blobs>) {
    const OBJECTS: usize = 300;
    for n in 0..OBJECTS {
        put(store, "many", &format!("o{n}"), b"").await.unwrap();
    }
    let (mut listed, mut after) = (Vec::new(), Some(0));
    while let Some(place) = after {
        let page = store.names(&name("many"), place).await.unwrap();
        assert!(page.names.len() <= saggar_model::STORE_PAGE_MAX);
        listed.extend(page.names);
        after = page.next;
    }
    assert_eq!(listed, (0..OBJECTS).map(|n| format!("o{n}")).collect::<Vec<_>>());
    for hostile in [u64::MAX, 1 << 63] {
        assert_eq!(store.names(&name("many"), hostile).await.unwrap_or_default().names, [""; 0], "{hostile}");
    }
    store.clear_container(&name("many")).await.unwrap();
    assert_eq!(store.names(&name("many"), 0).await.unwrap().names, [""; 0]);
}

async fn nothing_is_left_of_what_is_aborted_or_does_not_fit(store: &Arc<dyn Blobs>) {
    let part = Bytes::from(content(CHUNK_BYTES));
    put(store, "full", "kept", &part).await.unwrap();
    for round in 0..3 {
        let mut upload = store.upload();
        let full = loop {
            if let Err(error) = upload.write(part.clone()).await {
                break error;
            }
        };
        assert_eq!(full, StoreError::Full(StoreKind::Blobs), "{round}");
        drop(upload);
        // What was aborted is removed in the background.
        let half = content(1 << 20);
        let half = || put(store, "full", "half", &half);
        crate::eventually("there is room again", crate::stores::SOON, async || half().await.ok()).await;
        store.delete(&name("full"), &key("half")).await.unwrap();
    }
    assert!(get(store, "full", "kept").await.unwrap() == part, "what was there is kept");
}

const SOON: std::time::Duration = std::time::Duration::from_secs(20);
