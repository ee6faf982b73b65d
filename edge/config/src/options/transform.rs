//! Other answers in place of the codes of failed connect commands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How failed connect commands of unidirectional clients are reported.
///
/// Such a client cannot receive an error, so it is disconnected instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UnidirectionalDisconnects {
    /// Use the list of `transforms`; codes that are not in it keep their usual disconnect.
    pub enabled: bool,
    /// Which disconnect stands for which error; the first with the code counts.
    pub transforms: Vec<DisconnectTransform>,
}

impl UnidirectionalDisconnects {
    /// The disconnect that stands for an error, or `None` to keep the usual one.
    pub fn find(&self, code: u32) -> Option<&DisconnectTarget> {
        let mut transforms = self.transforms.iter().filter(|_| self.enabled);
        let found = transforms.find(|transform| transform.code == code)?;
        Some(&found.to)
    }
}

/// The disconnect that stands for one error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DisconnectTransform {
    /// Code of the error.
    #[schemars(extend("x-tidewire-type" = "uint32"))]
    pub code: u32,
    /// The disconnect in its place.
    pub to: DisconnectTarget,
}

/// A disconnect: code and reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DisconnectTarget {
    /// Code of the disconnect.
    ///
    /// Clients connect again after 4000 to 4499, and stay away after 4500 to 4999.
    #[schemars(extend("x-tidewire-type" = "uint32"))]
    pub code: u32,
    /// Reason for the disconnect: ASCII, at most 123 characters.
    pub reason: String,
}

/// How failed connect commands of a unidirectional HTTP transport are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpResponses {
    /// Answer the request with a status instead of opening a stream that ends at once.
    ///
    /// Codes that are not in the list of `transforms` are answered with status 500.
    pub enabled: bool,
    /// Which answer stands for which error or disconnect; the first with the code counts.
    pub transforms: Vec<HttpResponseTransform>,
}

impl HttpResponses {
    /// The answer that stands for an error or a disconnect, if the list has one.
    ///
    /// Whether the list counts at all is said by `enabled`.
    pub fn find(&self, code: u32) -> Option<&HttpResponseTarget> {
        let found = self.transforms.iter().find(|item| item.code == code)?;
        Some(&found.to)
    }
}

/// The answer that stands for one error or disconnect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpResponseTransform {
    /// Code of the error or disconnect.
    #[schemars(extend("x-tidewire-type" = "uint32"))]
    pub code: u32,
    /// The answer in its place.
    pub to: HttpResponseTarget,
}

/// An answer: HTTP status and body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpResponseTarget {
    /// Status of the answer, from 200 to 599.
    pub status_code: u16,
    /// Body of the answer; empty means the error's message or the disconnect's reason.
    pub body: String,
}

#[cfg(test)]
mod tests {
    use super::{
        DisconnectTarget, DisconnectTransform, HttpResponseTarget, HttpResponseTransform,
        HttpResponses, UnidirectionalDisconnects,
    };

    #[test]
    fn the_first_disconnect_with_the_code_counts_where_the_list_is_in_use() {
        let transform = |code, to| DisconnectTransform {
            code,
            to: DisconnectTarget {
                code: to,
                reason: String::new(),
            },
        };
        let mut list = UnidirectionalDisconnects {
            enabled: true,
            transforms: vec![
                transform(109, 4001),
                transform(103, 4501),
                transform(103, 4502),
            ],
        };
        assert_eq!(list.find(103).map(|to| to.code), Some(4501));
        assert_eq!(list.find(104), None);
        list.enabled = false;
        assert_eq!(list.find(103), None);
    }

    #[test]
    fn the_first_answer_with_the_code_counts() {
        let transform = |code, status_code| HttpResponseTransform {
            code,
            to: HttpResponseTarget {
                status_code,
                body: String::new(),
            },
        };
        let list = HttpResponses {
            enabled: true,
            transforms: vec![transform(3500, 401), transform(3500, 403)],
        };
        assert_eq!(list.find(3500).map(|to| to.status_code), Some(401));
        assert_eq!(list.find(3501), None);
    }
}
