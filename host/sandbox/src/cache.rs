//! Plugins from components: compiled before, or compiled now and kept.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use saggar_model::Digest;

use crate::compiler::{CompileError, Compiler};
use crate::component::{Compiled, Plugin, Refused};
use crate::sandbox::Sandbox;
use crate::store::{CacheError, CacheStats, Store, Verdict};

/// Compiles components, or finds what became of them before. Cheap to clone.
#[derive(Clone)]
pub struct PluginCache {
    sandbox: Sandbox,
    compiler: Compiler,
    store: Option<Arc<Store>>,
}

/// What a component has come to.
pub type Prepared = Result<Plugin, Refused>;

impl PluginCache {
    /// Opens the cache in `directory`, which is made if it is not there, readable by its owner only. What was compiled
    /// takes at most `capacity` bytes there; what was not used for the longest time makes room.
    ///
    /// # Errors
    /// The directory or its key cannot be made or read, or others may write to it.
    pub fn open(
        sandbox: Sandbox,
        compiler: Compiler,
        directory: &Path,
        capacity: u64,
    ) -> Result<Self, CacheError> {
        let store = Store::open(directory, sandbox.compatibility(), capacity)?;
        Ok(Self { sandbox, compiler, store: Some(Arc::new(store)) })
    }

    /// Compiles every time.
    #[must_use]
    pub fn none(sandbox: Sandbox, compiler: Compiler) -> Self {
        Self { sandbox, compiler, store: None }
    }

    /// What the component of this digest came to, if it was compiled before.
    pub async fn find(&self, digest: Digest) -> Option<Prepared> {
        let cache = self.clone();
        // Reading and loading block; a cache that panics has found nothing.
        tokio::task::spawn_blocking(move || cache.find_now(digest)).await.ok()?
    }

    /// The plugin for `wasm`, found or compiled now.
    ///
    /// # Errors
    /// The component is refused, or could not be compiled here and now.
    pub async fn prepare(&self, wasm: Bytes) -> Result<Plugin, CompileError> {
        match self.find(Digest::of(&wasm)).await {
            Some(prepared) => Ok(prepared?),
            None => self.compile(wasm).await,
        }
    }

    /// The plugin for `wasm`, compiled now, and kept.
    ///
    /// # Errors
    /// The component is refused, or could not be compiled here and now.
    pub async fn compile(&self, wasm: Bytes) -> Result<Plugin, CompileError> {
        let digest = Digest::of(&wasm);
        let compiled = match self.compiler.compile(wasm).await {
            Err(CompileError::Refused(refused)) => {
                // The others are found at a glance; these have cost minutes.
                if matches!(refused, Refused::TooExpensive(_) | Refused::CompilerFailed(_)) {
                    self.keep(digest, Verdict::Refused(refused.to_string())).await;
                }
                return Err(refused.into());
            }
            compiled => compiled?,
        };
        let sandbox = self.sandbox.clone();
        let loading = tokio::task::spawn_blocking(move || (sandbox.load(&compiled), compiled));
        let (loaded, compiled) =
            loading.await.map_err(|error| CompileError::Process(format!("loading: {error}")))?;
        // Whether it can be loaded is for each host to say: another one may have room for larger memories.
        self.keep(digest, Verdict::Code(compiled.code)).await;
        Ok(loaded?)
    }

    /// What has been looked up since the cache was opened.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.store.as_ref().map(|store| store.stats()).unwrap_or_default()
    }

    fn find_now(&self, digest: Digest) -> Option<Prepared> {
        let store = self.store.as_ref()?;
        match store.find(digest)? {
            Verdict::Refused(reason) => Some(Err(Refused::Known(reason))),
            Verdict::Code(code) => Some(self.sandbox.load(&Compiled { digest, code })),
        }
    }

    async fn keep(&self, digest: Digest, verdict: Verdict) {
        let Some(store) = self.store.clone() else { return };
        let directory = store.directory().to_owned();
        let kept = tokio::task::spawn_blocking(move || store.put(digest, &verdict)).await;
        let error = match kept {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        tracing::warn!(error, directory = %directory.display(), "compiled code could not be cached");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Options;

    fn sandbox() -> Sandbox {
        Sandbox::new(&Options { slots: 1, max_memory: 64 << 20, ..Options::default() }).unwrap()
    }

    fn cache(directory: &Path) -> PluginCache {
        let sandbox = sandbox();
        let compiler = Compiler::here(&sandbox);
        PluginCache::open(sandbox, compiler, directory, 1 << 30).unwrap()
    }

    fn hello() -> Bytes {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/target/wasm32-wasip2/release/hello.wasm");
        std::fs::read(path).expect("plugins are built: run `make guests`").into()
    }

    #[tokio::test]
    async fn what_was_compiled_once_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let first = cache(directory.path());
        let wasm = hello();
        let plugin = first.prepare(wasm.clone()).await.unwrap();
        assert_eq!(first.stats(), CacheStats { misses: 1, ..CacheStats::default() });

        let second = cache(directory.path());
        let found = second.find(Digest::of(&wasm)).await.expect("it is there").unwrap();
        assert_eq!(found.digest(), plugin.digest());
        second.prepare(wasm).await.unwrap();
        assert_eq!(second.stats(), CacheStats { hits: 2, ..CacheStats::default() });
    }

    #[tokio::test]
    async fn what_was_refused_once_is_refused_again_without_being_compiled() {
        let directory = tempfile::tempdir().unwrap();
        let text = r#"(component (component $c) (instance $i (instantiate $c))
            (export "saggar:task/handler@0.1.0" (instance $i)))"#;
        let no_handler = Bytes::from(wat::parse_str(text).unwrap());
        let first =
            cache(directory.path()).prepare(no_handler.clone()).await.err().expect("it handles nothing");
        let second = cache(directory.path());
        let known = second.find(Digest::of(&no_handler)).await.expect("it is known").err().expect("refused");
        assert_eq!(known.to_string(), first.to_string());
        assert_eq!(second.stats(), CacheStats { hits: 1, ..CacheStats::default() });
    }

    #[tokio::test]
    async fn what_one_host_has_no_room_for_is_still_there_for_another() {
        let directory = tempfile::tempdir().unwrap();
        let wasm = hello();
        let small = Sandbox::new(&Options { slots: 1, max_memory: 1 << 20, ..Options::default() }).unwrap();
        let compiler = Compiler::here(&sandbox());
        let small = PluginCache::open(small, compiler, directory.path(), 1 << 30).unwrap();
        for _ in 0..2 {
            let refused = small.prepare(wasm.clone()).await.err().expect("its memory is larger");
            assert!(matches!(refused, CompileError::Refused(_)), "{refused}");
        }
        assert_eq!(small.stats(), CacheStats { hits: 1, misses: 1, ..CacheStats::default() });
        let large = cache(directory.path());
        large.find(Digest::of(&wasm)).await.expect("it is kept").expect("there is room");
        assert_eq!(large.stats(), CacheStats { hits: 1, ..CacheStats::default() });
    }
}
