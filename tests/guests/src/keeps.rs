//! Does what its input says with the tenant's stores, step by step, and gives back what came of each: a value, or the
//! kind of the error and its sentence. A step is a list of words.

use std::io::{Read as _, Write as _};

use saggar_plugin::{Error, Json, StoreError, blobs, handler, kv};
use serde_json::{Value, json};

#[handler]
fn keeps(Json(steps): Json<Vec<Vec<String>>>) -> Result<Json<Vec<Value>>, Error> {
    let outcomes = steps.iter().map(|step| {
        let words: Vec<&str> = step.iter().map(String::as_str).collect();
        done(&words).unwrap_or_else(
            |error| json!({ "error": format!("{:?}", error.kind()), "text": error.to_string() }),
        )
    });
    Ok(Json(outcomes.collect()))
}

fn done(words: &[&str]) -> Result<Value, StoreError> {
    Ok(match *words {
        ["set", bucket, key, value] => json!(kv::open(bucket)?.set(key, value.as_bytes())?),
        ["get", bucket, key] => json!(kv::open(bucket)?.get(key)?.map(text)),
        ["delete", bucket, key] => json!(kv::open(bucket)?.delete(key)?),
        ["increment", bucket, key, delta] => {
            json!(kv::open(bucket)?.increment(key, delta.parse().unwrap_or_default())?)
        }
        ["keys", bucket] => json!(kv::open(bucket)?.keys().collect::<Result<Vec<_>, _>>()?),
        ["many", bucket] => {
            let bucket = kv::open(bucket)?;
            bucket.set_many(&[("a", b"1"), ("b", b"2")])?;
            let values = bucket.get_many(&["b", "x", "a"])?;
            bucket.delete_many(&["a", "b"])?;
            json!(values.into_iter().map(|value| value.map(text)).collect::<Vec<_>>())
        }
        ["all", count, bucket] => {
            let keys = vec!["a"; count.parse().unwrap_or_default()];
            json!(kv::open(bucket)?.get_many(&keys)?.len())
        }
        // Says how many fitted, and then why no more did.
        ["fill", bucket, bytes] => {
            let (bucket, value) = (kv::open(bucket)?, vec![7; bytes.parse().unwrap_or_default()]);
            let refused = (0..100_000).find_map(|n| Some((n, bucket.set(&n.to_string(), &value).err()?)));
            json!(refused.map(|(n, error)| (n, format!("{:?}", error.kind()))))
        }
        // Writes until time or fuel ends it.
        ["flood", bucket] => {
            let bucket = kv::open(bucket)?;
            loop {
                bucket.set("flood", &[7; 1024])?;
            }
        }
        ["write", container, object, content] => {
            json!(blobs::create(container)?.write(object, content.as_bytes())?)
        }
        ["read", container, object] => json!(text(blobs::container(container)?.read(object)?)),
        ["part", container, object, start, end] => {
            let [start, end] = [start, end].map(|at| at.parse().unwrap_or(u64::MAX));
            let mut content = Vec::new();
            blobs::container(container)?
                .part(object, start, end)?
                .read_to_end(&mut content)
                .map_err(|error| error.downcast::<StoreError>().expect("it is the store's"))?;
            json!(text(content))
        }
        ["names", container] => json!(blobs::container(container)?.names()?),
        ["remove", container] => json!(blobs::delete(container)?),
        // Stores so many megabytes, reads them back and says whether they are the same.
        ["large", container, megabytes] => {
            let (container, part) = (blobs::create(container)?, vec![42; 1 << 20]);
            let megabytes: u64 = megabytes.parse().unwrap_or_default();
            let mut writer = container.writer("large")?;
            for _ in 0..megabytes {
                writer
                    .write_all(&part)
                    .map_err(|error| error.downcast::<StoreError>().expect("it is the store's"))?;
            }
            writer.finish()?;
            let (mut reader, mut read, mut buffer) = (container.reader("large")?, 0, vec![0; 1 << 16]);
            loop {
                match reader
                    .read(&mut buffer)
                    .map_err(|error| error.downcast::<StoreError>().expect("it is the store's"))?
                {
                    0 => break,
                    n if buffer[..n].iter().all(|byte| *byte == 42) => read += n as u64,
                    _ => break,
                }
            }
            json!(read == megabytes << 20)
        }
        // Opens bodies until there are no more.
        ["bodies", container] => {
            let (container, mut open) = (blobs::create(container)?, Vec::new());
            while let Ok(writer) = container.writer("body") {
                open.push(writer);
            }
            json!(open.len())
        }
        // Writes nothing, very often.
        ["nothing", container] => {
            let mut writer = blobs::create(container)?.writer("nothing")?;
            for _ in 0..100_000 {
                writer
                    .write(b"")
                    .map_err(|error| error.downcast::<StoreError>().expect("it is the store's"))?;
            }
            json!(writer.finish()?)
        }
        _ => json!("no such step"),
    })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
