use bytes::Bytes;
use saggar_jetstream::{Declared, Fault, Plugins, PluginsError, Pushed};
use saggar_model::{Digest, PluginName, PluginVersion};

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
            let declared = Declared { memory: 65_536, wants: vec!["kv".to_owned()] };
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
    let declared = Declared { memory: 65_536, wants: vec!["kv".to_owned()] };
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
