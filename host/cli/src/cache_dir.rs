//! Where compiled plugins are kept: the directory that was named, or the user's own cache directory.

use std::path::{Path, PathBuf};

/// The cache directory: `configured`, with a leading `~` replaced, or `saggar` in the user's cache directory.
/// Nothing, if nobody says where the user's files are.
#[must_use]
pub fn cache_dir(configured: Option<&Path>, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // As the XDG specification has it, a relative path is no path.
    let directory = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match configured {
        Some(path) => match (path.strip_prefix("~"), directory("HOME")) {
            (Ok(rest), Some(home)) => Some(home.join(rest)),
            _ => Some(path.to_owned()),
        },
        None => directory("XDG_CACHE_HOME")
            .or_else(|| directory("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("saggar")),
    }
}

/// Where programs keep their configuration.
#[must_use]
pub fn config_dir(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let directory = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_users_cache_directory_is_used_unless_another_is_named() {
        let vars = [("HOME", "/home/me"), ("XDG_CACHE_HOME", "/cache")];
        let found =
            |configured: Option<&str>, vars: &[(&str, &str)]| cache_dir(configured.map(Path::new), env(vars));
        assert_eq!(found(None, &vars), Some("/cache/saggar".into()));
        assert_eq!(found(None, &vars[..1]), Some("/home/me/.cache/saggar".into()));
        assert_eq!(found(None, &[("XDG_CACHE_HOME", "relative")]), None);
        assert_eq!(found(Some("~/mine"), &vars), Some("/home/me/mine".into()));
        assert_eq!(found(Some("/theirs"), &vars), Some("/theirs".into()));
    }
}
