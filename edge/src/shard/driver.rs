//! The one task of a connection: it only waits. What there is to do is done by the shard, synchronously.

use std::rc::Rc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::stream::Stream;
use super::{ConnKey, Next, Shard};
use crate::session::{Answer, Request};

/// Reads and awaits for one connection until it ends.
pub(super) async fn drive(shard: Rc<Shard>, stream: Rc<Stream>, key: ConnKey) {
    let mut next = shard.started(key);
    loop {
        next = match next {
            Next::Read => match stream.readable().await {
                Ok(()) => shard.readable(key),
                Err(_) => Next::End,
            },
            Next::Call(request) => call(&shard, &stream, key, request).await,
            Next::End => break,
        };
    }
    shard.remove(key);
}

/// Awaits an answer; meanwhile reading goes on, so that control frames are answered, into a bounded backlog.
async fn call(shard: &Shard, stream: &Stream, key: ConnKey, request: Box<Request>) -> Next {
    let services = shard.services.clone();
    let id = shard.id;
    let mut answer: BoxFuture<'_, Answer> =
        async move { services.answer(request, id).await }.boxed();
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return shard.resume(key, answer),
            readable = stream.readable(), if shard.may_read(key) => {
                if readable.is_err() || matches!(shard.readable(key), Next::End) {
                    return Next::End;
                }
            }
        }
    }
}
