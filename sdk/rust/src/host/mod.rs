//! The other side of the wall: what the host answers. In a guest that is the WIT world; in a native build, where
//! there is no host, it is the test's [`Context`](crate::testing::Context).

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod world;
#[cfg(all(target_arch = "wasm32", feature = "http"))]
mod world_http;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use world::{
    Bucket, Container, Reader, Writer, all_config, attempt, cancelled, checkpoint, config, content_type,
    deadline, ended, fetch_result, header, headers, log, queue, report, save_checkpoint, submit, task_id,
    tenant,
};
#[cfg(target_arch = "wasm32")]
pub use world::{bindings, for_the_host};
#[cfg(all(target_arch = "wasm32", feature = "http"))]
pub(crate) use world_http::send;
