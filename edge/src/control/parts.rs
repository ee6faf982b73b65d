//! An answer in numbered parts: it may be larger than a NATS message.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::Answer;

/// Bytes of one node's answer, at most.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Precedes the bytes of each part, as one line of JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartHead {
    /// Id of the node that answers.
    pub(super) node: String,
    /// The question's number.
    pub(super) number: u64,
    /// Number of the part, from 0.
    pub(super) part: usize,
    /// How many there are.
    pub(super) parts: usize,
}

/// A part as it was received.
pub(super) type Part = (PartHead, Bytes);

/// One node's answer while its parts come in.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    bytes: BytesMut,
    next: usize,
}

impl Assembly {
    /// The answer once it is complete.
    pub(super) fn add(&mut self, head: &PartHead, bytes: &[u8]) -> Option<Answer> {
        let broken = |reason: &str| Some(Answer::Failed(reason.to_owned()));
        if head.part != self.next {
            return broken("a part of its answer was lost");
        }
        if self.bytes.len() + bytes.len() > ANSWER_BYTES_MAX {
            return broken("its answer is too large");
        }
        self.bytes.extend_from_slice(bytes);
        self.next += 1;
        if self.next < head.parts {
            return None;
        }
        serde_json::from_slice(&self.bytes)
            .ok()
            .or_else(|| broken("its answer is malformed"))
    }
}

/// The message for a part.
pub(super) fn join_part(head: &PartHead, bytes: &[u8]) -> Option<Bytes> {
    let mut payload = BytesMut::new().writer();
    serde_json::to_writer(&mut payload, head).ok()?;
    let mut payload = payload.into_inner();
    payload.put_u8(b'\n');
    payload.extend_from_slice(bytes);
    Some(payload.freeze())
}

/// Undoes [`join_part`].
pub(super) fn split_part(mut payload: Bytes) -> Option<Part> {
    let end = payload.iter().position(|&byte| byte == b'\n')?;
    let head = payload.split_to(end);
    let bytes = payload.split_off(1);
    Some((serde_json::from_slice(&head).ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(part: usize, parts: usize) -> PartHead {
        PartHead {
            node: "n".into(),
            number: 1,
            part,
            parts,
        }
    }

    #[test]
    fn parts_come_back_as_they_were_sent() {
        let payload = join_part(&head(1, 3), b"a\nb").unwrap();
        assert_eq!(
            split_part(payload),
            Some((head(1, 3), Bytes::from_static(b"a\nb")))
        );
        assert_eq!(split_part(Bytes::from_static(b"no line")), None);
        assert_eq!(split_part(Bytes::from_static(b"no json\n")), None);
        let empty = join_part(&head(0, 1), b"").unwrap();
        assert_eq!(split_part(empty), Some((head(0, 1), Bytes::new())));
    }

    #[test]
    fn an_answer_is_complete_with_its_last_part() {
        let answer = Answer::Channels([("a".to_owned(), 1)].into());
        let bytes = serde_json::to_vec(&answer).unwrap();
        let (first, second) = bytes.split_at(5);
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(&head(0, 2), first), None);
        assert_eq!(assembly.add(&head(1, 2), second), Some(answer));
    }

    #[test]
    fn a_lost_part_is_a_failure() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(&head(0, 3), b"{"), None);
        assert!(matches!(
            assembly.add(&head(2, 3), b"}"),
            Some(Answer::Failed(_))
        ));
    }
}
