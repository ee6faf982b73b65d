//! Nodes find and ask each other over core NATS.
//!
//! Subjects, below `<prefix>.tw.`: `nodes` for presence notices, `ask` for questions, `reply.<node>` for answers,
//! `emulate.<node>` for commands that another node received for a client of this one.
//!
//! A node says every 3 s that it lives, and at once when another one asks for a roll call (at its start and after
//! a reconnect). A node that was not heard of for 7 s is dropped; a leaving one says so. A question goes to all;
//! answers are awaited from the nodes known at that moment, except those that are dropped meanwhile. An answer
//! may be larger than a NATS message, so it travels in numbered parts.
//!
//! Clients can start questions for presence, so both sides are bounded, apart from the backends' questions: a node
//! fails what it cannot ask or answer now, and who asks for the presence of a channel shares one question with the others who wait for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tidewire_protocol::EmulationRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::parts::{Assembly, Part, PartHead, join_part, split_part};
use super::turns::Turns;
use super::{
    Answer, Answerer, ControlError, NodeIdentity, NodeReply, Question, answer_in_time, reply,
};
use crate::broker::NatsLink;

/// How long an answer may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const HEARTBEAT: Duration = Duration::from_secs(3);

/// A node that was silent for longer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(7);

/// How often an asker looks whether a node that it waits for was dropped.
const ROLL_CHECK: Duration = Duration::from_millis(500);

/// Questions for presence that a node asks, and answers, at the same time, and as many others; more fail.
const QUESTIONS_MAX: usize = 64;

/// Bytes of an answer in one message, at most; less if the server takes less.
const PART_BYTES_MAX: usize = 256 * 1024;

/// Parts that may wait for the asker; the sender of more is treated as failed.
const PARTS_WAITING_MAX: usize = 4096;

/// What is said on `nodes`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Notice {
    /// The node lives.
    Alive(NodeIdentity),
    /// The node lives, and wants to know who else does.
    RollCall(NodeIdentity),
    /// The node with this id leaves.
    Leave(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    from: String,
    number: u64,
    question: Question,
}

/// The nodes of one NATS prefix.
#[derive(Debug)]
pub struct NatsControl {
    shared: Arc<Shared>,
}

struct Shared {
    link: NatsLink,
    identity: NodeIdentity,
    answerer: Arc<dyn Answerer>,
    others: Mutex<HashMap<String, Instant>>,
    open: Mutex<HashMap<u64, mpsc::Sender<Part>>>,
    next_number: AtomicU64,
    asking: Limits,
    answering: Limits,
    presence: Turns<Result<Arc<Vec<NodeReply>>, ControlError>>,
}

/// How many questions may be under way. What clients can start leaves the rest its room.
struct Limits {
    presence: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Limits {
    fn new() -> Self {
        let limit = || Arc::new(Semaphore::new(QUESTIONS_MAX));
        Self {
            presence: limit(),
            others: limit(),
        }
    }

    /// Leave for one question, if there is room, until it is dropped.
    fn permit(&self, question: &Question) -> Option<OwnedSemaphorePermit> {
        let limit = match question {
            Question::Presence { .. } => &self.presence,
            Question::Info {} | Question::Channels { .. } | Question::Act(_) => &self.others,
        };
        Arc::clone(limit).try_acquire_owned().ok()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl NatsControl {
    pub(super) fn start(
        link: NatsLink,
        identity: NodeIdentity,
        answerer: Arc<dyn Answerer>,
    ) -> Self {
        let closed = link.closed();
        let shared = Arc::new(Shared {
            link,
            identity,
            answerer,
            others: Mutex::default(),
            open: Mutex::default(),
            next_number: AtomicU64::new(1),
            asking: Limits::new(),
            answering: Limits::new(),
            presence: Turns::default(),
        });
        tokio::spawn(closed.run_until_cancelled_owned(run(Arc::clone(&shared))));
        Self { shared }
    }

    pub(super) fn nodes(&self) -> usize {
        self.shared.living().len() + 1
    }

    pub(super) async fn ask(&self, question: Question) -> Result<Vec<NodeReply>, ControlError> {
        let Question::Presence { channel } = &question else {
            return self.shared.ask(question).await;
        };
        let shared = Arc::clone(&self.shared);
        let asked = question.clone();
        let ask = async move { shared.ask(asked).await.map(Arc::new) };
        let shared_reply = self.shared.presence.join(channel, ask);
        match timeout(ANSWER_TIMEOUT, shared_reply).await {
            Ok(replies) => replies.map(Arc::unwrap_or_clone),
            // Its turn did not come in time.
            Err(_) => Err(ControlError::Busy),
        }
    }

    pub(super) fn answerer(&self) -> &Arc<dyn Answerer> {
        &self.shared.answerer
    }

    pub(super) fn id(&self) -> &str {
        &self.shared.identity.id
    }

    pub(super) async fn emulate(
        &self,
        node: &str,
        session: &str,
        commands: Bytes,
    ) -> Result<bool, ControlError> {
        let is_known = lock(&self.shared.others).get(node).is_some_and(is_living);
        if !is_known {
            return Ok(false);
        }
        let request = EmulationRequest {
            node: node.to_owned(),
            session: session.to_owned(),
            data: commands,
        };
        let link = &self.shared.link;
        let subject = link.subjects().own(&format!("emulate.{node}"));
        let sent = link.publish(subject, request.encode_to_vec().into()).await;
        match sent {
            Ok(()) => Ok(true),
            // The subject and the size are ours: only the connection can be wrong.
            Err(_) => Err(ControlError::Disconnected),
        }
    }

    pub(super) async fn shutdown(&self) {
        self.shared
            .say(&Notice::Leave(self.shared.identity.id.clone()))
            .await;
    }
}

impl Shared {
    async fn ask(&self, question: Question) -> Result<Vec<NodeReply>, ControlError> {
        let Some(_permit) = self.asking.permit(&question) else {
            return Err(ControlError::Busy);
        };
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let (own, others) = futures::join!(
            answer_in_time(&*self.answerer, question.clone()),
            self.ask_others(question, deadline)
        );
        let mut replies = others?;
        replies.push(reply(self.identity.id.clone(), own)?);
        Ok(replies)
    }

    async fn ask_others(
        &self,
        question: Question,
        deadline: Instant,
    ) -> Result<Vec<NodeReply>, ControlError> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (sender, mut parts) = mpsc::channel(PARTS_WAITING_MAX);
        lock(&self.open).insert(number, sender);
        let _open = OpenQuestion {
            shared: self,
            number,
        };
        let mut missing = self.living();
        let asked = Asked {
            from: self.identity.id.clone(),
            number,
            question,
        };
        self.send("ask", &asked).await?;
        let mut replies = Vec::new();
        let mut partial = HashMap::<String, Assembly>::new();
        while !missing.is_empty() {
            let wait = deadline.min(Instant::now() + ROLL_CHECK);
            match timeout_at(wait, parts.recv()).await {
                Ok(Some((head, bytes))) if missing.contains(&head.node) => {
                    let node = head.node.clone();
                    if let Some(answer) =
                        partial.entry(node.clone()).or_default().add(&head, &bytes)
                    {
                        missing.remove(&node);
                        replies.push(reply(node, answer)?);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(ControlError::Timeout(missing.into_iter().collect())),
                Err(_) if Instant::now() >= deadline => {
                    return Err(ControlError::Timeout(missing.into_iter().collect()));
                }
                Err(_) => {
                    let living = self.living();
                    missing.retain(|node| living.contains(node));
                }
            }
        }
        Ok(replies)
    }

    /// The other nodes that were heard of lately.
    fn living(&self) -> BTreeSet<String> {
        let mut others = lock(&self.others);
        others.retain(|_, heard| is_living(heard));
        others.keys().cloned().collect()
    }

    async fn send<T: Serialize>(&self, subject: &str, message: &T) -> Result<(), ControlError> {
        let Ok(payload) = serde_json::to_vec(message) else {
            return Err(ControlError::Disconnected);
        };
        let subject = self.link.subjects().own(subject);
        let sent = self.link.publish(subject, payload.into()).await;
        // All that can be wrong here is the connection: the subject and the size are ours.
        if sent.is_ok() {
            Ok(())
        } else {
            Err(ControlError::Disconnected)
        }
    }

    async fn say(&self, notice: &Notice) {
        if let Err(error) = self.send("nodes", notice).await {
            tracing::debug!(%error, "this node's notice was not sent");
        }
    }

    async fn heard(&self, payload: &[u8]) {
        let Ok(notice) = serde_json::from_slice::<Notice>(payload) else {
            return;
        };
        match notice {
            Notice::Alive(node) => self.note(node.id),
            Notice::RollCall(node) => {
                let own = node.id == self.identity.id;
                self.note(node.id);
                if !own {
                    self.say(&Notice::Alive(self.identity.clone())).await;
                }
            }
            Notice::Leave(id) => {
                lock(&self.others).remove(&id);
            }
        }
    }

    /// Commands for a client of this node that another one received.
    fn emulated(&self, payload: Bytes) {
        let Ok(request) = EmulationRequest::decode(payload) else {
            tracing::debug!("forwarded commands were not understood");
            return;
        };
        if !self.answerer.emulate(&request.session, request.data) {
            tracing::debug!("forwarded commands were dropped: a shard does not keep up");
        }
    }

    fn note(&self, id: String) {
        if id != self.identity.id {
            lock(&self.others).insert(id, Instant::now());
        }
    }

    /// Routes a part to its question.
    fn replied(&self, payload: Bytes) {
        let Some((head, bytes)) = split_part(payload) else {
            return;
        };
        let mut open = lock(&self.open);
        let number = head.number;
        if let Some(asker) = open.get(&number)
            && asker.try_send((head, bytes)).is_err()
        {
            // Incomplete is as good as unanswered: the question ends here.
            open.remove(&number);
        }
    }

    async fn answer(self: Arc<Self>, asked: Asked) {
        let answer = answer_in_time(&*self.answerer, asked.question).await;
        self.send_answer(&asked.from, asked.number, &answer).await;
    }

    async fn send_answer(&self, asker: &str, number: u64, answer: &Answer) {
        let Ok(answer) = serde_json::to_vec(answer) else {
            return;
        };
        let part_bytes = PART_BYTES_MAX.min(self.link.payload_bytes_max() / 2).max(1);
        let subject = self.link.subjects().own(&format!("reply.{asker}"));
        let parts = answer.len().div_ceil(part_bytes);
        for (part, bytes) in answer.chunks(part_bytes).enumerate() {
            let head = PartHead {
                node: self.identity.id.clone(),
                number,
                part,
                parts,
            };
            let Some(payload) = join_part(&head, bytes) else {
                return;
            };
            if self.link.publish(subject.clone(), payload).await.is_err() {
                return;
            }
        }
    }
}

/// Whether a node that was heard of then counts as there.
fn is_living(heard: &Instant) -> bool {
    heard.elapsed() <= SILENCE_MAX
}

/// Forgets a question when its asker stops waiting.
struct OpenQuestion<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.number);
    }
}

/// The maps stay consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Subscriptions {
    nodes: Subscriber,
    questions: Subscriber,
    replies: Subscriber,
    emulated: Subscriber,
}

async fn subscribe(link: &NatsLink, id: &str) -> Option<Subscriptions> {
    let own = |name: &str| link.subscribe(link.subjects().own(name));
    let (nodes, questions) = ("nodes", "ask");
    let (reply, emulate) = (format!("reply.{id}"), format!("emulate.{id}"));
    Some(Subscriptions {
        nodes: own(nodes).await.ok()?,
        questions: own(questions).await.ok()?,
        replies: own(&reply).await.ok()?,
        emulated: own(&emulate).await.ok()?,
    })
}

async fn run(shared: Arc<Shared>) {
    let Some(mut subscriptions) = subscribe(&shared.link, &shared.identity.id).await else {
        tracing::error!("the node's id cannot stand in a subject");
        return;
    };
    let mut connects = shared.link.connects();
    connects.mark_changed();
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What was heard counts before who is silent: after a pause of this process all notices wait here.
        tokio::select! {
            biased;
            Some(message) = subscriptions.nodes.next() => shared.heard(&message.payload).await,
            Some(message) = subscriptions.replies.next() => shared.replied(message.payload),
            Some(message) = subscriptions.questions.next() => answer(&shared, &message).await,
            Some(message) = subscriptions.emulated.next() => shared.emulated(message.payload),
            Ok(()) = connects.changed() => shared.say(&Notice::RollCall(shared.identity.clone())).await,
            _ = heartbeat.tick() => shared.say(&Notice::Alive(shared.identity.clone())).await,
        }
    }
}

/// Answers another node's question in a task of its own, or says at once that it cannot.
async fn answer(shared: &Arc<Shared>, message: &Message) {
    let Ok(asked) = serde_json::from_slice::<Asked>(&message.payload) else {
        tracing::debug!("a question was not understood");
        return;
    };
    if asked.from == shared.identity.id {
        return;
    }
    let Some(permit) = shared.answering.permit(&asked.question) else {
        let busy = Answer::Failed("busy".to_owned());
        return shared.send_answer(&asked.from, asked.number, &busy).await;
    };
    let answering = Arc::clone(shared).answer(asked);
    tokio::spawn(shared.link.closed().run_until_cancelled_owned(async move {
        answering.await;
        drop(permit);
    }));
}
