use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use saggar_jetstream::{Blobs, Expected, Stores, Tenants};
use saggar_model::{CHUNK_BYTES, StoreError, StoreKey, StoreKind, StoreName};
use tokio::io::AsyncReadExt as _;

use crate::world::{World, eventually, record};

const STREAM: &str = "OBJ_saggar-acme-blobs";

async fn world() -> (World, Blobs) {
    let world = World::new().await;
    Tenants::new(&world.nats).put(&record(&[]), Expected::Absent).await.unwrap();
    let blobs = Stores::new(&world.nats, 1).blobs(&"acme".parse().unwrap());
    (world, blobs)
}

fn photos() -> StoreName {
    StoreName::new("photos").unwrap()
}

fn cat() -> StoreKey {
    StoreKey::new("2026/cat.jpg").unwrap()
}

async fn put(blobs: &Blobs, content: &[u8]) -> Result<(), StoreError> {
    let mut upload = blobs.upload();
    for part in content.chunks(CHUNK_BYTES) {
        upload.write(Bytes::copy_from_slice(part)).await?;
    }
    upload.finish(&photos(), &cat()).await
}

async fn get(blobs: &Blobs) -> Result<Vec<u8>, StoreError> {
    let mut download = blobs.download(&photos(), &cat(), 0, u64::MAX).await?;
    let mut content = Vec::new();
    while let Some(part) = download.next().await? {
        content.extend_from_slice(&part);
    }
    Ok(content)
}

#[tokio::test]
async fn any_client_of_nats_reads_and_writes_the_same_objects() {
    let (world, blobs) = world().await;
    let content = vec![7; 3 * CHUNK_BYTES + 1];
    put(&blobs, &content).await.unwrap();
    let js = jetstream::new(world.client().await);
    let store = js.get_object_store("saggar-acme-blobs").await.unwrap();
    let mut read = Vec::new();
    store.get("photos/2026/cat.jpg").await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == content);
    store.put("photos/2026/cat.jpg", &mut b"replaced".as_slice()).await.unwrap();
    assert_eq!(get(&blobs).await.unwrap(), b"replaced");
    store.delete("photos/2026/cat.jpg").await.unwrap();
    assert_eq!(get(&blobs).await, Err(StoreError::NotFound("object")));
    put(&blobs, b"anew").await.unwrap();
    assert_eq!(get(&blobs).await.unwrap(), b"anew");
}

#[tokio::test]
async fn an_object_that_is_replaced_or_damaged_while_it_is_read_is_an_error_and_no_other_content() {
    let (world, blobs) = world().await;
    put(&blobs, &vec![1; 8 * CHUNK_BYTES]).await.unwrap();
    let mut download = blobs.download(&photos(), &cat(), 0, u64::MAX).await.unwrap();
    assert!(download.next().await.unwrap().is_some());
    put(&blobs, &vec![2; 8 * CHUNK_BYTES]).await.unwrap();
    let mut end = download.next().await;
    while let Ok(Some(part)) = &end {
        assert!(part.iter().all(|byte| *byte == 1), "what was fetched ahead");
        end = download.next().await;
    }
    assert_eq!(end, Err(StoreError::Changed));

    let js = jetstream::new(world.client().await);
    let info =
        js.get_object_store("saggar-acme-blobs").await.unwrap().info("photos/2026/cat.jpg").await.unwrap();
    let chunks = format!("$O.saggar-acme-blobs.C.{}", info.nuid);
    js.get_stream(STREAM).await.unwrap().purge().filter(&chunks).await.unwrap();
    for _ in 0..8 {
        js.publish(chunks.clone(), vec![3; CHUNK_BYTES].into()).await.unwrap().await.unwrap();
    }
    assert_eq!(get(&blobs).await, Err(StoreError::Changed), "another digest");
}

#[tokio::test]
async fn of_two_that_write_one_object_at_once_nothing_is_left_but_the_last() {
    let (world, blobs) = world().await;
    let contents: Vec<_> = (0..8).map(|n| vec![n; 2 * CHUNK_BYTES]).collect();
    let writing = contents.iter().map(|content| put(&blobs, content));
    for written in futures::future::join_all(writing).await {
        assert_eq!(written, Ok(()));
    }
    let last = get(&blobs).await.unwrap();
    assert!(contents.contains(&last));
    assert_eq!(world.nats_messages(STREAM).await, 3, "two chunks and what is known about them");
    blobs.delete(&photos(), &cat()).await.unwrap();
    assert_eq!(world.nats_messages(STREAM).await, 0);
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing_also_when_its_host_is_lost() {
    let (world, blobs) = world().await;
    let mut upload = blobs.upload();
    upload.write(vec![1; CHUNK_BYTES].into()).await.unwrap();
    drop(upload);
    eventually("what was aborted is removed", || async {
        (world.nats_messages(STREAM).await == 0).then_some(())
    })
    .await;

    put(&blobs, b"kept").await.unwrap();
    let mut lost = blobs.upload();
    lost.write(vec![1; CHUNK_BYTES].into()).await.unwrap();
    std::mem::forget(lost);
    assert_eq!(blobs.sweep(Duration::from_hours(1)).await, Ok(0), "it could still be going on");
    assert_eq!(blobs.sweep(Duration::ZERO).await, Ok(1));
    assert_eq!(world.nats_messages(STREAM).await, 2);
    assert_eq!(get(&blobs).await.unwrap(), b"kept");
}

#[tokio::test]
async fn a_full_store_keeps_the_old_object_where_the_new_one_has_no_room() {
    let (_world, blobs) = world().await;
    put(&blobs, b"old").await.unwrap();
    let too_much = vec![1; 5 << 20];
    assert_eq!(put(&blobs, &too_much).await, Err(StoreError::Full(StoreKind::Blobs)));
    assert_eq!(get(&blobs).await.unwrap(), b"old");
    let half = vec![2; 2 << 20];
    eventually("there is room again", || async { put(&blobs, &half).await.ok() }).await;
    assert!(get(&blobs).await.unwrap() == half);
}
