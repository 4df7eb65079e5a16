//! The key of `privacy = "hmac-sha256"`, which nothing prints.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Fewest bytes of a key: 128 bits, below which guessing it comes into reach.
const FEWEST: usize = 16;

/// `[lake] hmac_key`: at least 16 bytes. Neither its `Debug` form nor an error about it shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct HmacKey(Arc<[u8]>);

impl HmacKey {
    /// The key itself, for the one who computes with it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(not shown)")
    }
}

impl<'de> Deserialize<'de> for HmacKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = HmacKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HmacKey, E> {
        if text.len() < FEWEST {
            return Err(E::custom(format!("is too short for a key; give it at least {FEWEST} random bytes, as text")));
        }
        Ok(HmacKey(text.as_bytes().into()))
    }

    // A number is refused without being shown, which serde's own message would do.
    fn visit_i64<E: Error>(self, _: i64) -> Result<HmacKey, E> {
        Err(E::custom("must be a text in quotes"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<HmacKey, E> {
        Err(E::custom("must be a text in quotes"))
    }
}
