//! Makes attempts of one guest, one after another on one thread, and nothing else: what `tests/bench/instructions`
//! counts the instructions of.
//!
//! `attempts COMPONENT COUNT CACHE`: what is compiled is kept in directory `CACHE`, so that a second run compiles
//! nothing.

use std::error::Error;
use std::future;
use std::path::Path;
use std::sync::Arc;

use saggar_model::Ending;
use saggar_sandbox::{Compiler, Options, PageScan, PluginCache, Request, Sandbox, Silent};

/// One slot and little memory: a tool that counts instructions has little address space of its own to give.
const POOL: Options = Options { slots: 1, max_memory: 64 << 20, page_scan: PageScan::Auto };

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(component), Some(count), Some(cache)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("say which component, how often, and where to keep what is compiled".into());
    };
    let sandbox = Sandbox::new(&POOL)?;
    let cache = PluginCache::open(sandbox.clone(), Compiler::here(&sandbox), Path::new(&cache), 1 << 30)?;
    let plugin = cache.prepare(std::fs::read(component)?.into()).await?;
    let request = Request::local(vec![b'x'; 256].into());
    for _ in 0..count.parse::<u32>()? {
        let attempt = sandbox.run(&plugin, request.clone(), Arc::new(Silent), future::pending()).await;
        if let Ending::Failed(failure) = attempt.ending {
            return Err(failure.reason.into());
        }
    }
    Ok(())
}
