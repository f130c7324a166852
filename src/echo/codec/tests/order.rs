//! A value of the Go library's rows. (`tests/remote_redis` uses this file too.)

use serde::{Deserialize, Serialize};

/// A struct as a Go program has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) count: i64,
    pub(crate) price: f64,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) raw: String,
    pub(crate) at: String,
    #[serde(rename = "note")]
    pub(crate) note: String,
}

pub(crate) fn order() -> Order {
    Order {
        name: "näme <b>&".into(),
        count: -3,
        price: 1e21,
        tags: None,
        raw: "AP8Q".into(),
        at: "2026-11-21T10:00:00.123456789+05:30".into(),
        note: "<a href=\"x\">&\u{2028}</a>".into(),
    }
}
