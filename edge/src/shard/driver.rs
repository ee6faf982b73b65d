//! The one task of a connection: it only waits. What there is to do is done by the shard, synchronously.

use std::rc::Rc;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::stream::Stream;
use super::{ConnKey, Next, Shard};
use crate::broker::BrokerError;
use crate::session::{Answer, Call, Request, Then};

/// How a command goes on, with what, and the channel to which its request attached the shard.
type Waited = (Then, Answer, Option<Arc<str>>);

/// Reads and awaits for one connection until it ends.
pub(super) async fn drive(shard: Rc<Shard>, stream: Rc<Stream>, key: ConnKey) {
    let mut next = shard.received(key);
    loop {
        next = match next {
            Next::Read => match stream.readable().await {
                Ok(()) => shard.readable(key),
                Err(_) => Next::End,
            },
            // Few connections wait at a time: an idle one has no room for it.
            Next::Call(call) => Box::pin(answers(&shard, &stream, key, call)).await,
            Next::End => break,
        };
    }
    shard.remove(key);
}

/// Awaits answers until no command waits any more. Meanwhile reading goes on: further commands run as far as
/// `client.concurrency` lets them, and control frames are answered; the rest waits in a bounded backlog.
async fn answers(shard: &Shard, stream: &Stream, key: ConnKey, first: Call) -> Next {
    let mut waiting: FuturesUnordered<BoxFuture<'_, Waited>> = FuturesUnordered::new();
    let mut attaching: Vec<Arc<str>> = Vec::new();
    let mut next = Next::Call(first);
    loop {
        next = match next {
            Next::End => {
                // An answer may have come and not been looked at.
                drop(waiting);
                shard.attached(&attaching);
                return Next::End;
            }
            Next::Call(Call { request, then }) => {
                let services = shard.services.clone();
                let id = shard.id;
                let channel: Option<Arc<str>> = request.attaches().map(Arc::from);
                attaching.extend(channel.clone());
                let is_publish = matches!(*request, Request::Publish { .. });
                let answer = async move { services.answer(request, id).await };
                waiting.push(if is_publish {
                    // It goes out even if its client leaves meanwhile.
                    let publishing = tokio::task::spawn_local(answer);
                    let answer = async move {
                        let failed = |_| Answer::Published(Err(BrokerError::Disconnected));
                        (then, publishing.await.unwrap_or_else(failed), channel)
                    };
                    answer.boxed()
                } else {
                    async move { (then, answer.await, channel) }.boxed()
                });
                shard.received(key)
            }
            Next::Read if waiting.is_empty() => return Next::Read,
            Next::Read => tokio::select! {
                biased;
                Some((then, answer, channel)) = waiting.next() => {
                    let next = shard.resume(key, then, answer);
                    let at = attaching.iter().position(|it| Some(it) == channel.as_ref());
                    let attached = at.map(|at| attaching.swap_remove(at));
                    shard.attached(attached.as_slice());
                    next
                }
                readable = stream.readable(), if shard.may_read(key) => match readable {
                    Ok(()) => shard.readable(key),
                    Err(_) => Next::End,
                },
            },
        };
    }
}
