//! Questions that every node answers: what it is, which channels it has.
//!
//! A single node asks itself ([`Control::local`]); with NATS all nodes are asked ([`Control::nats`]). The control
//! knows nothing of shards: the node implements [`Answerer`].

mod command;
mod nats;
mod parts;
mod pattern;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use command::{NodeCommand, ServerOverrides, ServerSubscription, Since, Target};
pub use nats::NatsControl;
pub use pattern::{Pattern, PatternError};

use tidewire_protocol::ClientInfo;

use crate::broker::NatsLink;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What the node is and how much it holds: [`Answer::Info`].
    Info {},
    /// Its channels with at least one subscriber: [`Answer::Channels`].
    Channels {
        /// Only channels whose whole name matches; all of them without a pattern.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern: Option<Pattern>,
    },
    /// Something to do: [`Answer::Done`].
    Act(NodeCommand),
    /// The clients in a channel: [`Answer::Presence`].
    Presence {
        /// Its full name.
        channel: String,
    },
}

/// What one node answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Info`].
    Info(NodeInfo),
    /// To [`Question::Channels`]: subscribed clients by channel.
    Channels(BTreeMap<String, u32>),
    /// To [`Question::Presence`]: clients by id.
    Presence(BTreeMap<String, ClientInfo>),
    /// To [`Question::Act`].
    Done,
    /// The node cannot answer; the reason is for the log.
    Failed(String),
}

/// A node as `info` of the server API shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node's id, new at each start.
    pub uid: String,
    /// Its configured name, or host name and port.
    pub name: String,
    /// Version of the product.
    pub version: String,
    /// Connections.
    pub num_clients: u32,
    /// Different users among them.
    pub num_users: u32,
    /// Subscriptions.
    pub num_subs: u32,
    /// Channels with a subscriber.
    pub num_channels: u32,
    /// Seconds since its start.
    pub uptime: u32,
}

/// An answer and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReply {
    /// Id of the node.
    pub node: String,
    /// What it answered, never [`Answer::Failed`].
    pub answer: Answer,
}

/// How a node presents itself to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Its id, new at each start; part of subjects, so a UUID or the like.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Version of the product.
    pub version: String,
}

/// Answers for one node. Implemented by the node over its shards.
pub trait Answerer: Send + Sync {
    /// Answers; the control gives up after 10 s.
    fn answer(&self, question: Question) -> BoxFuture<'_, Answer>;

    /// Gives commands to the emulated client with this session, if it is here. False if there is no room for them.
    fn emulate(&self, session: &str, commands: Bytes) -> bool;
}

/// Why there is no result. Each of them is the server API's internal error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The pattern is malformed.
    #[error("the pattern is not valid")]
    Pattern(#[from] PatternError),
    /// This node cannot reach the others now.
    #[error("the nodes cannot be reached")]
    Disconnected,
    /// This node asks as much as it may already.
    #[error("too many questions are under way")]
    Busy,
    /// A node failed.
    #[error("node {node} failed: {reason}")]
    Failed {
        /// Id of the node.
        node: String,
        /// What it said.
        reason: String,
    },
    /// Nodes did not answer in time.
    #[error("no answer in time from {0:?}")]
    Timeout(Vec<String>),
}

/// The way to all nodes.
#[derive(Debug)]
pub enum Control {
    /// This node alone.
    Local(LocalControl),
    /// All nodes that share a NATS prefix.
    Nats(NatsControl),
}

impl Control {
    /// For a single node.
    #[must_use]
    pub fn local(identity: NodeIdentity, answerer: Arc<dyn Answerer>) -> Self {
        Self::Local(LocalControl { identity, answerer })
    }

    /// For the nodes of one NATS prefix. Its tasks run on the current runtime, until the connection is shut down.
    #[must_use]
    pub fn nats(link: NatsLink, identity: NodeIdentity, answerer: Arc<dyn Answerer>) -> Self {
        Self::Nats(NatsControl::start(link, identity, answerer))
    }

    /// Asks every node and waits for all of them, at most 10 s.
    ///
    /// Over NATS a node asks at most 64 questions for presence and 64 others at the same time, and fails more at
    /// once. For the presence of one channel it asks one at a time, and one for all who ask meanwhile.
    ///
    /// # Errors
    /// See [`ControlError`]; there are no partial results.
    pub async fn ask(&self, question: Question) -> Result<Vec<NodeReply>, ControlError> {
        match self {
            Self::Local(control) => control.ask(question).await,
            Self::Nats(control) => control.ask(question).await,
        }
    }

    /// The information of all nodes, in no order.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub async fn info(&self) -> Result<Vec<NodeInfo>, ControlError> {
        let replies = self.ask(Question::Info {}).await?;
        replies
            .into_iter()
            .map(|reply| match reply.answer {
                Answer::Info(info) => Ok(info),
                Answer::Channels(_) | Answer::Presence(_) | Answer::Done | Answer::Failed(_) => {
                    Err(unexpected(reply.node))
                }
            })
            .collect()
    }

    /// The channels of all nodes with the number of their subscribed clients. An empty pattern means all.
    ///
    /// # Errors
    /// As [`Control::ask`], and [`ControlError::Pattern`].
    pub async fn channels(&self, pattern: &str) -> Result<BTreeMap<String, u32>, ControlError> {
        let pattern = if pattern.is_empty() {
            None
        } else {
            Some(pattern.parse()?)
        };
        let mut all = BTreeMap::new();
        for reply in self.ask(Question::Channels { pattern }).await? {
            let Answer::Channels(channels) = reply.answer else {
                return Err(unexpected(reply.node));
            };
            for (channel, clients) in channels {
                let sum: &mut u32 = all.entry(channel).or_default();
                *sum = sum.saturating_add(clients);
            }
        }
        Ok(all)
    }

    /// The clients in a channel on all nodes, by id.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub async fn presence(
        &self,
        channel: &str,
    ) -> Result<BTreeMap<String, ClientInfo>, ControlError> {
        let channel = channel.to_owned();
        let mut all = BTreeMap::new();
        for reply in self.ask(Question::Presence { channel }).await? {
            let Answer::Presence(clients) = reply.answer else {
                return Err(unexpected(reply.node));
            };
            all.extend(clients);
        }
        Ok(all)
    }

    /// Does something on all nodes and waits until it is done.
    ///
    /// # Errors
    /// As [`Control::ask`]; some nodes may have done it.
    pub async fn act(&self, command: NodeCommand) -> Result<(), ControlError> {
        self.ask(Question::Act(command)).await.map(|_| ())
    }

    /// Gives commands of an emulated client to the node that holds its stream. False if that node is unknown; a
    /// session that is not there is no error.
    ///
    /// # Errors
    /// [`ControlError::Busy`] if this is that node and has no room for them, [`ControlError::Disconnected`] if it
    /// cannot be reached now.
    pub async fn emulate(
        &self,
        node: &str,
        session: &str,
        commands: Bytes,
    ) -> Result<bool, ControlError> {
        let own = match self {
            Self::Local(control) => &control.answerer,
            Self::Nats(control) => control.answerer(),
        };
        if node == self.id() {
            return match own.emulate(session, commands) {
                true => Ok(true),
                false => Err(ControlError::Busy),
            };
        }
        match self {
            Self::Local(_) => Ok(false),
            Self::Nats(control) => control.emulate(node, session, commands).await,
        }
    }

    /// The id of this node.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Local(control) => &control.identity.id,
            Self::Nats(control) => control.id(),
        }
    }

    /// How many nodes are known, this one included.
    #[must_use]
    pub fn nodes(&self) -> usize {
        match self {
            Self::Local(_) => 1,
            Self::Nats(control) => control.nodes(),
        }
    }

    /// Tells the others that this node leaves. Call it before the broker's shutdown.
    pub async fn shutdown(&self) {
        match self {
            Self::Local(_) => {}
            Self::Nats(control) => control.shutdown().await,
        }
    }
}

/// A node that asks only itself.
pub struct LocalControl {
    identity: NodeIdentity,
    answerer: Arc<dyn Answerer>,
}

impl LocalControl {
    async fn ask(&self, question: Question) -> Result<Vec<NodeReply>, ControlError> {
        let answer = answer_in_time(&*self.answerer, question).await;
        Ok(vec![reply(self.identity.id.clone(), answer)?])
    }
}

impl std::fmt::Debug for LocalControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalControl")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

async fn answer_in_time(answerer: &dyn Answerer, question: Question) -> Answer {
    let answer = tokio::time::timeout(nats::ANSWER_TIMEOUT, answerer.answer(question)).await;
    answer.unwrap_or_else(|_| Answer::Failed("no answer in time".to_owned()))
}

fn reply(node: String, answer: Answer) -> Result<NodeReply, ControlError> {
    match answer {
        Answer::Failed(reason) => Err(ControlError::Failed { node, reason }),
        answer @ (Answer::Info(_) | Answer::Channels(_) | Answer::Presence(_) | Answer::Done) => {
            Ok(NodeReply { node, answer })
        }
    }
}

fn unexpected(node: String) -> ControlError {
    ControlError::Failed {
        node,
        reason: "it answered another question".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Answer);

    impl Answerer for Fixed {
        fn answer(&self, question: Question) -> BoxFuture<'_, Answer> {
            let answer = match question {
                Question::Info {} => self.0.clone(),
                Question::Presence { .. } => Answer::Presence(BTreeMap::new()),
                Question::Act(_) => Answer::Done,
                Question::Channels { pattern } => {
                    let names = ["chat:a", "news"]
                        .into_iter()
                        .filter(|name| pattern.as_ref().is_none_or(|p| p.matches(name)));
                    Answer::Channels(names.map(|name| (name.to_owned(), 2)).collect())
                }
            };
            Box::pin(std::future::ready(answer))
        }

        fn emulate(&self, _session: &str, _commands: Bytes) -> bool {
            true
        }
    }

    struct Silent;

    impl Answerer for Silent {
        fn answer(&self, _question: Question) -> BoxFuture<'_, Answer> {
            Box::pin(std::future::pending())
        }

        fn emulate(&self, _session: &str, _commands: Bytes) -> bool {
            false
        }
    }

    fn local(answerer: impl Answerer + 'static) -> Control {
        let identity = NodeIdentity {
            id: "one".into(),
            name: "One".into(),
            version: "0".into(),
        };
        Control::local(identity, Arc::new(answerer))
    }

    #[tokio::test]
    async fn commands_are_for_the_node_itself_or_for_nobody() {
        let commands = Bytes::from_static(b"{}");
        let answering = local(Fixed(Answer::Done));
        assert!(
            answering
                .emulate("one", "s", commands.clone())
                .await
                .unwrap()
        );
        assert!(
            !answering
                .emulate("two", "s", commands.clone())
                .await
                .unwrap()
        );
        let busy = local(Silent).emulate("one", "s", commands).await;
        assert!(matches!(busy, Err(ControlError::Busy)));
    }

    #[tokio::test]
    async fn a_single_node_answers_for_itself() {
        let info = NodeInfo {
            uid: "one".into(),
            num_clients: 3,
            ..NodeInfo::default()
        };
        let control = local(Fixed(Answer::Info(info.clone())));
        assert_eq!(control.nodes(), 1);
        assert_eq!(control.info().await.unwrap(), [info]);
        assert_eq!(control.channels("").await.unwrap().len(), 2);
        assert_eq!(
            control.channels("chat:*").await.unwrap(),
            [("chat:a".to_owned(), 2)].into()
        );
        assert!(matches!(
            control.channels("[").await,
            Err(ControlError::Pattern(PatternError::Unclosed))
        ));
    }

    #[tokio::test]
    async fn a_failure_or_a_wrong_answer_is_an_error() {
        let failing = local(Fixed(Answer::Failed("no".into())));
        assert!(
            matches!(failing.info().await, Err(ControlError::Failed { node, .. }) if node == "one")
        );
        let confused = local(Fixed(Answer::Channels(BTreeMap::new())));
        assert!(matches!(
            confused.info().await,
            Err(ControlError::Failed { .. })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_never_answers_fails_after_ten_seconds() {
        let started = tokio::time::Instant::now();
        assert!(local(Silent).info().await.is_err());
        assert_eq!(started.elapsed().as_secs(), 10);
    }
}
