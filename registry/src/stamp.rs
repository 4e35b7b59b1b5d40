//! Times in JSON: RFC 3339, to the second, as in `2026-11-03T12:30:00Z`.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

fn written(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// One that no calendar has is written as nothing.
pub(crate) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    match written(*time) {
        Some(text) => to.serialize_str(&text),
        None => to.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    read(Timestamp::deserialize(from)?)
}

fn read<E: serde::de::Error>(time: Timestamp) -> Result<SystemTime, E> {
    SystemTime::try_from(time).map_err(E::custom)
}

/// The same of what may be missing.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Serializer, SystemTime, Timestamp};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        Option::<Timestamp>::deserialize(from)?.map(super::read).transpose()
    }
}
