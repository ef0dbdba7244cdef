//! The configuration line of a transcript.

use crate::talk::duration;
use std::collections::BTreeMap;
use std::time::Duration;

/// `key=value` pairs. What is read is removed, so that a key nobody knows is found out.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Adds the pairs of `line`: `key=value`, `key="a value"` (escapes allowed), or `key` alone.
    ///
    /// # Errors
    /// A sentence about what is wrong with the line.
    pub fn add(&mut self, line: &str) -> Result<(), String> {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let end = rest.find(['=', ' ']).unwrap_or(rest.len());
            let key = rest[..end].to_owned();
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let (quoted, after) = after.split_once('"').ok_or(format!("{key} has no closing quote"))?;
                value = String::from_utf8(crate::unescape(quoted)?).map_err(|_| format!("{key} is not UTF-8"))?;
                rest = after;
            } else if let Some(after) = rest.strip_prefix('=') {
                let end = after.find(' ').unwrap_or(after.len());
                value = after[..end].to_owned();
                rest = &after[end..];
            }
            self.0.insert(key, value);
            rest = rest.trim_start();
        }
        Ok(())
    }

    /// The value of `key`, if it is there.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Whether `key` is there, without a value or with `yes`.
    pub fn flag(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some_and(|value| value.is_empty() || value == "yes")
    }

    /// The value of `key` as a number.
    ///
    /// # Errors
    /// A sentence if it is not one.
    pub fn number<N: std::str::FromStr>(&mut self, key: &str) -> Result<Option<N>, String> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("{key}={value} is not a number"))
    }

    /// The value of `key` as a time: `500ms`, `30s`, `5m`, `2h`, `7d`.
    ///
    /// # Errors
    /// A sentence if it is not one.
    pub fn duration(&mut self, key: &str) -> Result<Option<Duration>, String> {
        self.0.remove(key).map(|value| duration(&value)).transpose()
    }

    /// The keys nobody has read.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
