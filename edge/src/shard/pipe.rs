//! A connection whose bytes go into the body of a response, and whose commands come by other requests.
//!
//! The shard writes into a [`Pipe`] and reads messages from it; the HTTP layer takes what was written out of its
//! other end, a [`PipeBody`]. Both are bounded.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for the HTTP layer; then the writer waits.
const OUTPUT_MAX: usize = 32 * 1024;

/// Bytes of messages that may wait for the session.
const INPUT_MAX: usize = 256 * 1024;

/// Counted for each message beside its bytes: an empty one costs memory too.
const MESSAGE_BYTES: usize = 64;

/// The shard's end.
#[derive(Debug)]
pub struct Pipe {
    shared: Arc<Shared>,
    abort: CancellationToken,
}

/// The end of the HTTP layer: the response's body.
#[derive(Debug)]
pub struct PipeBody(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// A message, or the end.
    readable: Notify,
    /// Room for more, or the end.
    writable: Notify,
    /// Output, a refusal, or the end.
    opened: Notify,
}

#[derive(Debug, Default)]
struct State {
    output: BytesMut,
    input: VecDeque<Bytes>,
    input_bytes: usize,
    refusal: Option<Refusal>,
    /// The shard writes no more: the body ends once it was taken.
    ended: bool,
    /// Nobody takes what is written.
    gone: bool,
    body: Option<Waker>,
}

/// Why a client was not connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the error, or of the disconnect.
    pub code: u32,
    /// The error's message, or the disconnect's reason.
    pub text: String,
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A message.
    Some(Bytes),
    /// None is waiting.
    Empty,
    /// None will come: the client has gone.
    Ended,
}

/// More messages wait than a client may have waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_body(&mut self) {
        if let Some(body) = self.body.take() {
            body.wake();
        }
    }
}

/// Both ends of a new pipe. `abort` ends the HTTP connection of the body: a client that reads nothing would never let
/// it end.
#[must_use]
pub fn pipe(abort: CancellationToken) -> (Pipe, PipeBody) {
    let shared = Arc::new(Shared::default());
    let body = PipeBody(Arc::clone(&shared));
    (Pipe { shared, abort }, body)
}

impl Pipe {
    /// Gives the session a message.
    ///
    /// # Errors
    /// So much is waiting already that it is refused.
    pub fn feed(&self, message: Bytes) -> Result<(), TooMany> {
        let mut state = self.shared.lock();
        let cost = message.len().saturating_add(MESSAGE_BYTES);
        if state.input_bytes.saturating_add(cost) > INPUT_MAX {
            return Err(TooMany);
        }
        state.input_bytes += cost;
        state.input.push_back(message);
        drop(state);
        self.shared.readable.notify_one();
        Ok(())
    }

    /// The next message.
    #[must_use]
    pub fn read(&self) -> Message {
        let mut state = self.shared.lock();
        if state.gone {
            return Message::Ended;
        }
        let Some(message) = state.input.pop_front() else {
            return Message::Empty;
        };
        state.input_bytes -= message.len() + MESSAGE_BYTES;
        Message::Some(message)
    }

    /// Waits until a read may give something.
    pub async fn readable(&self) {
        loop {
            let filled = self.shared.readable.notified();
            {
                let state = self.shared.lock();
                if state.gone || !state.input.is_empty() {
                    return;
                }
            }
            filled.await;
        }
    }

    /// Writes without waiting, as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` without any room, `BrokenPipe` when nobody takes it any more.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        if state.gone || state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = OUTPUT_MAX.saturating_sub(state.output.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for slice in slices {
            let part = slice.get(..slice.len().min(room)).unwrap_or_default();
            state.output.extend_from_slice(part);
            written += part.len();
            room -= part.len();
        }
        state.wake_body();
        drop(state);
        self.shared.opened.notify_one();
        Ok(written)
    }

    /// Waits until a write may take something.
    pub async fn writable(&self) {
        loop {
            let emptied = self.shared.writable.notified();
            {
                let state = self.shared.lock();
                if state.gone || state.output.len() < OUTPUT_MAX {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// Says why the client is not connected, for a response that has not begun. The first reason counts.
    pub fn refuse(&self, refusal: Refusal) {
        self.shared.lock().refusal.get_or_insert(refusal);
        self.shared.opened.notify_one();
    }

    /// The body ends behind what was written.
    pub fn finish(&self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.wake_body();
        drop(state);
        self.shared.opened.notify_one();
    }

    /// The HTTP connection ends at once, and the driver's next read sees that.
    pub fn shutdown(&self) {
        let mut state = self.shared.lock();
        state.gone = true;
        state.ended = true;
        drop(state);
        self.shared.readable.notify_one();
        self.shared.writable.notify_one();
        self.abort.cancel();
    }
}

impl PipeBody {
    /// Waits until the first message was written, or the client was refused.
    ///
    /// # Errors
    /// The client was refused.
    pub async fn opened(&self) -> Result<(), Refusal> {
        loop {
            let opened = self.0.opened.notified();
            {
                let state = self.0.lock();
                if let Some(refusal) = &state.refusal {
                    return Err(refusal.clone());
                }
                if state.ended || !state.output.is_empty() {
                    return Ok(());
                }
            }
            opened.await;
        }
    }
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut state = self.0.lock();
        if state.output.is_empty() {
            if state.ended {
                return Poll::Ready(None);
            }
            state.body = Some(context.waker().clone());
            return Poll::Pending;
        }
        // Not `split`: an idle connection keeps no buffer.
        let output = std::mem::take(&mut state.output).freeze();
        drop(state);
        self.0.writable.notify_one();
        Poll::Ready(Some(Ok(Frame::data(output))))
    }
}

impl Drop for PipeBody {
    fn drop(&mut self) {
        self.0.lock().gone = true;
        self.0.readable.notify_one();
        self.0.writable.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn write(pipe: &Pipe, bytes: &[u8]) -> io::Result<usize> {
        pipe.try_write_vectored(&[IoSlice::new(bytes)])
    }

    #[tokio::test]
    async fn what_is_written_is_the_body() {
        let (pipe, body) = pipe(CancellationToken::new());
        write(&pipe, b"one").unwrap();
        write(&pipe, b"two").unwrap();
        pipe.finish();
        assert!(write(&pipe, b"three").is_err());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
    }

    #[tokio::test]
    async fn a_full_pipe_takes_more_once_it_was_read() {
        let (pipe, mut body) = pipe(CancellationToken::new());
        assert_eq!(write(&pipe, &[b'x'; OUTPUT_MAX + 1]).unwrap(), OUTPUT_MAX);
        assert_eq!(
            write(&pipe, b"x").unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert!(pipe.writable().now_or_never().is_none());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), OUTPUT_MAX);
        pipe.writable().await;
        assert_eq!(write(&pipe, b"x").unwrap(), 1);
    }

    #[tokio::test]
    async fn messages_come_whole_and_in_order_up_to_the_limit() {
        let (pipe, body) = pipe(CancellationToken::new());
        assert_eq!(pipe.read(), Message::Empty);
        assert!(pipe.readable().now_or_never().is_none());
        pipe.feed(Bytes::from_static(b"one")).unwrap();
        pipe.feed(Bytes::from_static(b"two")).unwrap();
        assert_eq!(pipe.feed(vec![0; INPUT_MAX].into()), Err(TooMany));
        pipe.readable().await;
        assert_eq!(pipe.read(), Message::Some("one".into()));
        assert_eq!(pipe.read(), Message::Some("two".into()));
        pipe.feed(vec![0; INPUT_MAX - MESSAGE_BYTES].into())
            .unwrap();
        drop(body);
        pipe.readable().await;
        assert_eq!(pipe.read(), Message::Ended);
        assert_eq!(
            write(&pipe, b"x").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn a_shutdown_aborts_the_connection() {
        let abort = CancellationToken::new();
        let (pipe, _body) = pipe(abort.clone());
        pipe.shutdown();
        pipe.readable().await;
        assert_eq!(pipe.read(), Message::Ended);
        assert!(abort.is_cancelled());
    }

    #[tokio::test]
    async fn a_response_can_wait_for_the_outcome() {
        let (pipe, body) = pipe(CancellationToken::new());
        assert!(body.opened().now_or_never().is_none());
        let refusal = |code| Refusal {
            code,
            text: "no".to_owned(),
        };
        pipe.refuse(refusal(109));
        pipe.refuse(refusal(3005));
        assert_eq!(body.opened().await, Err(refusal(109)));
        let (pipe, body) = super::pipe(CancellationToken::new());
        write(&pipe, b"x").unwrap();
        assert_eq!(body.opened().await, Ok(()));
    }
}
