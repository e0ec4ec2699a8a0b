use bytes::Bytes;
use saggar_jetstream::{Declared, Fault, Plugins, PluginsError, Pushed};
use saggar_model::{Digest, PluginName, PluginVersion, SecretKey, Signature, Statement, TrustedKeys};

use crate::world::{World, acme};

fn name() -> PluginName {
    "thumbnail".parse().unwrap()
}

fn version(text: &str) -> PluginVersion {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_version_never_changes() {
    let world = World::new().await;
    let plugins = Plugins::new(&world.nats);
    let push = |version_: &'static str, component: &'static [u8]| {
        let plugins = plugins.clone();
        async move {
            let declared = Declared { memory: 65_536, wants: vec!["kv".to_owned()], source: None };
            let component = Bytes::from_static(component);
            plugins.push(&acme(), &name(), &version(version_), component, &declared).await
        }
    };
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    assert_eq!(push("1.2.0", b"one").await, Ok(Pushed { digest: one, already_there: false }));
    assert_eq!(push("1.2.0", b"one").await, Ok(Pushed { digest: one, already_there: true }));
    let refused = push("1.2.0", b"two").await.unwrap_err();
    assert_eq!(refused.fault(), Fault::Conflict);
    let text = refused.to_string();
    assert!(text.contains(&one.to_string()) && text.contains(&two.to_string()), "{text}");
    push("1.3.0", b"two").await.unwrap();

    let found = plugins.resolve(&acme(), &"thumbnail@1.2.0".parse().unwrap()).await.unwrap().unwrap();
    let declared = Declared { memory: 65_536, wants: vec!["kv".to_owned()], source: None };
    assert_eq!((found.digest, found.size, found.declared), (one, 3, declared));
    let by_digest = format!("thumbnail@{two}").parse().unwrap();
    let found = plugins.resolve(&acme(), &by_digest).await.unwrap().unwrap();
    assert_eq!(found.version, version("1.3.0"));
    assert_eq!(plugins.resolve(&acme(), &"thumbnail@9".parse().unwrap()).await, Ok(None));
    assert_eq!(plugins.resolve(&"other".parse().unwrap(), &by_digest).await, Ok(None));
    assert_eq!(plugins.list(&acme()).await.unwrap().len(), 2);
    assert_eq!(plugins.fetch(&one).await.unwrap().as_ref(), b"one");
}

#[tokio::test]
async fn a_large_component_comes_back_as_it_went() {
    let world = World::new().await;
    let plugins = Plugins::new(&world.nats);
    let component: Bytes = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>().into();
    let pushed =
        plugins.push(&acme(), &name(), &version("1"), component.clone(), &Declared::default()).await.unwrap();
    assert_eq!(plugins.fetch(&pushed.digest).await.unwrap(), component);
}

#[tokio::test]
async fn attack_50_bytes_that_are_not_what_they_are_called_are_not_given_out() {
    let world = World::new().await;
    let plugins = Plugins::new(&world.nats);
    let (good, missing) = (Digest::of(b"good"), Digest::of(b"missing"));
    assert_eq!(plugins.fetch(&missing).await, Err(PluginsError::Missing { digest: missing }));
    let js = async_nats::jetstream::new(world.client().await);
    let objects = js.get_object_store("saggar_plugins").await.unwrap();
    objects.put(format!("sha256-{}", good.hex()).as_str(), &mut b"evil".as_slice()).await.unwrap();
    let error = plugins.fetch(&good).await.unwrap_err();
    assert_eq!(error, PluginsError::Corrupt { digest: good, found: Digest::of(b"evil") });
    assert_eq!(error.fault(), Fault::Internal);
}

#[tokio::test]
async fn attack_49_signatures_are_added_to_a_version_and_to_no_other_component() {
    let world = World::new().await;
    let plugins = Plugins::new(&world.nats);
    let push = async |version_: &str, component: &'static [u8]| {
        let component = Bytes::from_static(component);
        let pushed =
            plugins.push(&acme(), &name(), &version(version_), component, &Declared::default()).await;
        pushed.unwrap().digest
    };
    let (one, two) = (push("1", b"one").await, push("2", b"two").await);
    let signature = |n: u8, version: &PluginVersion, digest: &Digest| {
        Statement { name: &name(), version, digest }.sign(&SecretKey::from_random(&[n; 32]))
    };
    let good = signature(1, &version("1"), &one);
    let sign = async |version_: &str, digest: &Digest, signature: &Signature| {
        plugins.sign(&acme(), &name(), &version(version_), digest, signature).await
    };
    assert!(!sign("1", &one, &good).await.unwrap().already_there);
    assert!(sign("1", &one, &good).await.unwrap().already_there);
    let other = sign("1", &two, &good).await.unwrap_err();
    assert!(matches!(other, PluginsError::Differs { .. }) && other.fault() == Fault::Conflict);
    assert_eq!(sign("3", &one, &good).await.unwrap_err().fault(), Fault::NotFound);
    for n in 2..=8 {
        sign("1", &one, &signature(n, &version("1"), &one)).await.unwrap();
    }
    let full = sign("1", &one, &signature(9, &version("1"), &one)).await.unwrap_err();
    assert!(matches!(full, PluginsError::TooManySignatures { .. }), "{full}");
    let info = plugins.resolve(&acme(), &"thumbnail@1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((info.digest, info.size, info.signatures.len()), (one, 3, 8), "nothing else has changed");

    let trusted = TrustedKeys::new(vec![SecretKey::from_random(&[1; 32]).public()]).unwrap();
    let check = async |plugin: String, digest: &Digest| {
        plugins.check(&acme(), &plugin.parse().unwrap(), digest, &trusted).await.unwrap().is_ok()
    };
    assert!(check("thumbnail@1".to_owned(), &one).await);
    assert!(check(format!("thumbnail@{one}"), &one).await, "by its digest, too");
    assert!(!check("thumbnail@1".to_owned(), &two).await, "another component in its place");
    assert!(!check("thumbnail@2".to_owned(), &two).await && !check(format!("thumbnail@{two}"), &two).await);
    // Somebody copies the signatures of one record into another.
    sign("2", &two, &good).await.unwrap();
    assert!(!check("thumbnail@2".to_owned(), &two).await && !check("thumbnail@2".to_owned(), &one).await);
    assert!(!check("other@1".to_owned(), &one).await);
}

#[tokio::test]
async fn attack_50_an_object_that_says_that_it_is_huge_is_not_made_room_for() {
    let world = World::new().await;
    let plugins = Plugins::new(&world.nats);
    let digest = plugins
        .push(&acme(), &name(), &version("1"), Bytes::from_static(b"one"), &Declared::default())
        .await
        .unwrap()
        .digest;
    let js = async_nats::jetstream::new(world.client().await);
    let stream = js.get_stream("OBJ_saggar_plugins").await.unwrap();
    let meta = stream.get_last_raw_message_by_subject("$O.saggar_plugins.M.>").await.unwrap();
    let mut info: serde_json::Value = serde_json::from_slice(&meta.payload).unwrap();
    info["size"] = (1_u64 << 40).into();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Rollup", "sub");
    js.publish_with_headers(meta.subject.clone(), headers, info.to_string().into())
        .await
        .unwrap()
        .await
        .unwrap();
    let refused = plugins.fetch(&digest).await.unwrap_err();
    assert_eq!(refused, PluginsError::TooLarge { digest, size: 1 << 40 });
}
