//! A case of a conformance run, on the edge's echo server and on the oracle.

use futures::{StreamExt as _, stream};

use crate::websocket::{CLOSE, Frame, PONG, close, exchange, open, start_echo, start_oracle};

/// How a case ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// Everything is fine; the client closes behind the last chunk, and is answered.
    Client,
    /// The chunks close, and the answer has this code, or none.
    Answer(Option<u16>),
    /// The server closes with this code, whatever else the client does.
    Fail(u16),
}

/// What is sent, and what has to come back.
pub(crate) struct Case {
    name: String,
    chunks: Vec<Vec<u8>>,
    echoed: Vec<Frame>,
    end: End,
}

pub(crate) fn case(name: &str, chunks: Vec<Vec<u8>>, echoed: Vec<Frame>, end: End) -> Case {
    Case {
        name: name.to_owned(),
        chunks,
        echoed,
        end,
    }
}

impl Case {
    /// The same bytes in pieces of at most `size`.
    pub(crate) fn chopped(mut self, size: usize) -> Self {
        let bytes = self.chunks.concat();
        self.chunks = bytes.chunks(size).map(<[u8]>::to_vec).collect();
        self.name = format!("{} in chops of {size}", self.name);
        self
    }

    /// The bytes in one segment, frame by frame, and byte by byte.
    pub(crate) fn all_ways(self) -> Vec<Self> {
        let same = |name: &str| Self {
            name: format!("{} {name}", self.name),
            chunks: self.chunks.clone(),
            echoed: self.echoed.clone(),
            end: self.end,
        };
        let mut whole = same("at once");
        whole.chunks = vec![self.chunks.concat()];
        vec![whole, same("by frames"), same("by bytes").chopped(1)]
    }

    fn expected(&self) -> Vec<Frame> {
        let mut frames = self.echoed.clone();
        frames.push(match self.end {
            End::Client => Frame::close(1000),
            End::Answer(Some(code)) | End::Fail(code) => Frame::close(code),
            End::Answer(None) => Frame::new(CLOSE, []),
        });
        frames
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        let mut chunks = self.chunks.clone();
        if self.end == End::Client {
            chunks.push(close(1000, ""));
        }
        chunks
    }
}

/// Runs the cases, some at once, against the edge's echo server and against tungstenite.
pub(crate) async fn run(cases: Vec<Case>) {
    assert!(!cases.is_empty());
    let (echo, oracle) = (start_echo().await, start_oracle().await);
    let runs = stream::iter(&cases).for_each_concurrent(16, |case| async move {
        let (stream, _) = open(echo, None).await;
        let frames = exchange(stream, &case.sent()).await;
        assert!(
            frames == case.expected(),
            "{}: {:?}",
            case.name,
            brief(&frames)
        );
        let (stream, _) = open(oracle, None).await;
        agree(case, &exchange(stream, &case.sent()).await);
    });
    runs.await;
}

/// The beginning of frames, for a message.
fn brief(frames: &[Frame]) -> Vec<(u8, usize, Vec<u8>)> {
    let brief = |frame: &Frame| {
        let start = frame.payload.iter().take(16).copied().collect();
        (frame.first, frame.payload.len(), start)
    };
    frames.iter().take(20).map(brief).collect()
}

/// Compares with the oracle: the same messages and pongs, the same close frame in order. Where the
/// connection fails, tungstenite leaves the close frame to its caller.
fn agree(case: &Case, oracle: &[Frame]) {
    let of = |frames: &[Frame], wanted: fn(u8) -> bool| -> Vec<Frame> {
        let wanted = frames.iter().filter(|frame| wanted(frame.opcode()));
        wanted.cloned().collect()
    };
    let expected = case.expected();
    for kind in [|opcode| opcode < CLOSE, |opcode| opcode == PONG] {
        let (ours, theirs) = (of(&expected, kind), of(oracle, kind));
        assert!(
            ours == theirs,
            "{}: the oracle says {:?}",
            case.name,
            brief(oracle)
        );
    }
    // It repeats the reason of a close frame, which is not worth a difference.
    let closes: Vec<_> = of(oracle, |opcode| opcode == CLOSE)
        .into_iter()
        .map(|close| Frame::new(CLOSE, close.payload.get(..2).unwrap_or_default()))
        .collect();
    match case.end {
        End::Client | End::Answer(_) => {
            assert_eq!(closes[..], expected[expected.len() - 1..], "{}", case.name);
        }
        End::Fail(_) => {
            let refused = closes
                .iter()
                .all(|close| close.payload.starts_with(&1002_u16.to_be_bytes()));
            assert!(
                refused,
                "{}: the oracle says {:?}",
                case.name,
                brief(oracle)
            );
        }
    }
}
