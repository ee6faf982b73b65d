//! A shard's place, which holds the session to its promises.

use std::collections::BTreeMap;

use tidewire_protocol::{Encoding, Reply, encode};

use super::NOW;
use crate::config::Live;
use crate::session::{Ctx, Grant, Link, Refreshed, Session, Settle, Subscribed};

pub(super) struct Place {
    live: &'static Live,
    encoding: Encoding,
    link: Link,
    /// Of the step of a command that runs.
    replies: Vec<Reply>,
    identified: bool,
    /// The number of the opening while it is opening.
    subscriptions: BTreeMap<String, Result<Grant, u32>>,
    openings: u32,
    over: bool,
}

impl Place {
    pub(super) fn new(live: &'static Live, encoding: Encoding, link: Link) -> Self {
        Self {
            live,
            encoding,
            link,
            replies: Vec::new(),
            identified: false,
            subscriptions: BTreeMap::new(),
            openings: 0,
            over: false,
        }
    }

    /// The connection is closed, or unusable.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_unidirectional(&self) -> bool {
        matches!(self.link, Link::Unidirectional(_))
    }

    pub(super) fn begin(&mut self) {
        self.replies.clear();
    }

    /// While a command waits nothing was said.
    pub(super) fn no_reply_yet(&self) {
        assert_eq!(self.replies, []);
    }

    /// One reply, to this command; so many others may be about to settle what they have opened.
    pub(super) fn answered(&self, id: u32, session: &Session, waiting: usize) {
        let [reply] = self.replies.as_slice() else {
            panic!("one reply expected: {:?}", self.replies);
        };
        if self.is_unidirectional() {
            let push = reply.push.as_ref();
            assert!(push.is_some_and(|push| push.connect.is_some()), "{reply:?}");
        } else {
            assert_eq!(reply.id, id);
        }
        assert!(self.identified && session.is_ready(), "{reply:?}");
        let opening = self.subscriptions.values().filter(|it| it.is_err());
        assert!(
            opening.count() <= waiting,
            "one is still opening: {reply:?}"
        );
        let limit = self.live.boot.client.channel_limit as usize;
        assert!(self.subscriptions.len() <= limit);
        if let Some(result) = &reply.subscribe {
            assert!(!result.recovered || result.was_recovering, "{result:?}");
            assert!(!result.recoverable || result.positioned, "{result:?}");
            assert!(
                result.recovered || result.publications.is_empty(),
                "{result:?}"
            );
            let offsets = result.publications.iter().map(|it| it.offset);
            assert!(offsets.is_sorted_by(|a, b| a < b), "{result:?}");
        }
        let mut written = Vec::new();
        if encode::reply(self.encoding, reply, &mut written).is_err() {
            assert_eq!(written, b"", "a refused reply leaves nothing");
        }
    }

    /// No reply: the close says it all.
    pub(super) fn closed(&mut self) {
        assert_eq!(self.replies, []);
        self.over = true;
    }

    /// One reply with an error, and the client was never known.
    pub(super) fn refused(&mut self, id: u32) {
        let [reply] = self.replies.as_slice() else {
            panic!("one reply expected: {:?}", self.replies);
        };
        assert!(reply.id == id && reply.error.is_some(), "{reply:?}");
        assert!(!self.identified);
        self.over = true;
    }

    /// The backend has unsubscribed the client.
    pub(super) fn unsubscribed(&mut self, channel: &str) {
        self.subscriptions.remove(channel);
    }

    /// The time of a live subscription is over.
    pub(super) fn expired(&mut self, channel: &str) {
        if self.subscribed(channel) == Subscribed::Yes {
            self.subscriptions.remove(channel);
        }
    }
}

impl Ctx for Place {
    fn live(&self) -> &Live {
        self.live
    }

    fn link(&self) -> &Link {
        &self.link
    }

    fn node(&self) -> &str {
        "node"
    }

    fn unix_time(&self) -> u64 {
        NOW
    }

    fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    fn identified(&mut self, user: &str) -> bool {
        assert!(!self.identified, "once");
        assert_eq!(self.replies, [], "before the reply");
        // This user has a connection already.
        self.identified = user != "43";
        self.identified
    }

    fn expire_at(&mut self, unix_time: Option<u64>) {
        assert!(self.identified);
        assert!(unix_time.is_none_or(|at| at > NOW), "{unix_time:?}");
    }

    fn subscribed(&self, channel: &str) -> Subscribed {
        match self.subscriptions.get(channel) {
            None => Subscribed::No,
            Some(Err(number)) => Subscribed::Opening(*number),
            Some(Ok(_)) => Subscribed::Yes,
        }
    }

    fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    fn grant(&self, channel: &str) -> Option<&Grant> {
        self.subscriptions.get(channel)?.as_ref().ok()
    }

    fn open(&mut self, channel: &str) -> u32 {
        self.openings += 1;
        let opening = Err(self.openings);
        let before = self.subscriptions.insert(channel.to_owned(), opening);
        assert!(before.is_none(), "{channel} twice");
        self.openings
    }

    fn settle(&mut self, channel: &str, to: Settle) {
        match to {
            Settle::Ended => {
                self.subscriptions.remove(channel);
            }
            Settle::Expired => {
                let ended = self.subscriptions.remove(channel);
                assert!(matches!(ended, Some(Ok(_))), "{channel} was not live");
            }
            Settle::Refreshed(Refreshed { member, expire_at }) => {
                let subscription = self.subscriptions.get_mut(channel);
                let Some(Ok(grant)) = subscription else {
                    panic!("{channel} is not live");
                };
                grant.member = Some(member);
                grant.expire_at = expire_at;
            }
            Settle::Live(grant) => {
                assert_eq!(self.replies.len(), 1, "after its reply");
                // The backend may have ended a server-side one that was opening.
                if let Some(subscription) = self.subscriptions.get_mut(channel) {
                    assert!(subscription.is_err(), "{channel} is live already");
                    *subscription = Ok(grant);
                }
            }
        }
    }
}
