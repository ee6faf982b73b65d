//! From messages to what their commands lead to: the session's steps, and what follows each of them.

use tidewire_protocol::{Command, DisconnectCode, DisconnectReason, ErrorCode, decode};

use super::conn::{Conn, NEVER, Phase};
use super::turn::Turn;
use super::{ConnKey, Next};
use crate::session::{Answer, Call, Session, Step, Then};
use crate::transport::uni;

impl Turn<'_> {
    /// Runs the commands of one message.
    pub(super) fn run(&mut self, key: ConnKey, message: &[u8]) -> Next {
        let Some(conn) = self.state.get(key) else {
            return Next::End;
        };
        if conn.variant.unidirectional {
            return self.run_unidirectional(key, message);
        }
        let mut commands = decode::commands(conn.variant.encoding, message);
        loop {
            let rest = commands.rest();
            let Some(command) = commands.next() else {
                return Next::Read;
            };
            if let Ok(command) = &command
                && command.unsubscribe.is_some()
                && self.wait_for_answers(key, rest)
            {
                return Next::Read;
            }
            self.shard.handle.counters.commands.add(1);
            let step = match command {
                Ok(command) => self.command(key, command),
                Err(error) => {
                    tracing::debug!(%error, "a client sent a malformed command");
                    Step::Close(DisconnectCode::BadRequest.into())
                }
            };
            match self.after(key, step) {
                // Its own publication may have ended the connection, or its replies are more than fit.
                None if self.is_closing(key) => return Next::Read,
                None => {}
                Some(next) => {
                    if let Some(conn) = self.state.get_mut(key)
                        && matches!(conn.phase, Phase::Open | Phase::Calling)
                        && !commands.rest().is_empty()
                    {
                        conn.backlog
                            .get_or_insert_default()
                            .park_front(commands.rest().to_vec());
                    }
                    return next;
                }
            }
        }
    }

    /// Whether subscribes of the client wait: an unsubscribe must not overtake the one that it ends, so it is parked,
    /// and so is everything behind it.
    fn wait_for_answers(&mut self, key: ConnKey, commands: &[u8]) -> bool {
        let Some(conn) = self.state.get_mut(key) else {
            return false;
        };
        if conn.subscribing == 0 || conn.phase != Phase::Open {
            return false;
        }
        conn.phase = Phase::Calling;
        let backlog = conn.backlog.get_or_insert_default();
        backlog.park_front(commands.to_vec());
        true
    }

    /// The first message of a client that only listens is its connect request; it has nothing more to say.
    fn run_unidirectional(&mut self, key: ConnKey, message: &[u8]) -> Next {
        let is_new = |conn: &Conn| conn.session.is_new();
        if !self.state.get(key).is_some_and(is_new) {
            return Next::Read;
        }
        let Ok(request) = uni::connect_request(message) else {
            let reason = DisconnectReason::from(DisconnectCode::BadRequest);
            let code = u16::try_from(reason.code).unwrap_or_default();
            self.close_websocket(key, code, &reason.reason);
            return Next::Read;
        };
        let command = Command {
            id: 1,
            connect: Some(request),
            ..Command::default()
        };
        self.shard.handle.counters.commands.add(1);
        let step = self.command(key, command);
        self.after(key, step).unwrap_or(Next::Read)
    }

    /// Does what a command led to; `None` if the next one may run.
    fn after(&mut self, key: ConnKey, step: Step) -> Option<Next> {
        match step {
            Step::Idle => return None,
            Step::Call(call) => {
                let most = self.shard.services.settings.boot.client.concurrency.max(1);
                if let Some(conn) = self.state.get_mut(key) {
                    conn.calls += 1;
                    conn.subscribing += u32::from(call.request.is_of_subscribe());
                    let is_full = conn.calls >= most || conn.session.is_connecting();
                    if is_full && conn.phase == Phase::Open {
                        conn.phase = Phase::Calling;
                    }
                }
                return Some(Next::Call(call));
            }
            Step::Close(reason) => self.close(key, &reason),
            Step::Dead => self.bury(key),
            Step::Refused(code) => self.refuse(key, code),
        }
        Some(Next::Read)
    }

    /// A client that only listens cannot be told an error: it is disconnected, or its request is answered with a
    /// status.
    fn refuse(&mut self, key: ConnKey, code: ErrorCode) {
        if let Some(conn) = self.state.get(key) {
            conn.stream.refuse(code.code(), code.message());
        }
        let client = &self.shard.services.settings.boot.client;
        let other = client
            .connect_code_to_unidirectional_disconnect
            .find(code.code());
        let reason = match other {
            Some(other) => DisconnectReason::custom(other.code, other.reason.clone()),
            None => uni::disconnect(code).into(),
        };
        self.close(key, &reason);
    }

    /// Whether no command of the connection runs any more.
    pub(super) fn is_closing(&self, key: ConnKey) -> bool {
        let limit = self.shard.services.settings.boot.client.queue_max_size as usize;
        let conn = self.state.get(key);
        conn.is_some_and(|conn| conn.phase == Phase::Closing || conn.is_overfull(limit))
    }

    /// Runs one command as far as it goes without waiting.
    fn command(&mut self, key: ConnKey, command: Command) -> Step {
        let Some(conn) = self.state.get_mut(key) else {
            return Step::Idle;
        };
        if command.id == 0 && command.send.is_none() {
            let expected = std::mem::replace(&mut conn.deadlines.pong, NEVER) != NEVER;
            return if expected {
                Step::Idle
            } else {
                Step::Close(DisconnectCode::BadRequest.into())
            };
        }
        let mut session = std::mem::take(&mut conn.session);
        let mut ctx = self.ctx(key);
        let mut step = session.handle(command, &mut ctx);
        while let Step::Call(Call { request, then }) = step {
            let shard = ctx.turn.shard;
            step = match shard.services.answer_now(request, shard.id) {
                Ok(answer) => {
                    ctx.turn.deliver_own(&answer);
                    session.resume(then, answer, &mut ctx)
                }
                Err(request) => {
                    step = Step::Call(Call { request, then });
                    break;
                }
            };
        }
        self.restore(key, session);
        step
    }

    /// Feeds an answer back and goes on with what was parked behind its command. The answer to a client that is being
    /// closed is dropped.
    pub(super) fn resume(&mut self, key: ConnKey, then: Then, answer: Answer) -> Next {
        let Some(conn) = self.state.get_mut(key) else {
            return Next::End;
        };
        conn.calls = conn.calls.saturating_sub(1);
        if let Answer::Attached(_) | Answer::VerifiedSubscription(_) = answer {
            conn.subscribing = conn.subscribing.saturating_sub(1);
        }
        match conn.phase {
            Phase::Closing | Phase::Dead(_) => return Next::Read,
            Phase::Calling => conn.phase = Phase::Open,
            Phase::Open => {}
        }
        let mut session = std::mem::take(&mut conn.session);
        self.deliver_own(&answer);
        let step = session.resume(then, answer, &mut self.ctx(key));
        self.restore(key, session);
        match self.after(key, step) {
            None => self.input_parked(key),
            Some(next) => next,
        }
    }

    fn restore(&mut self, key: ConnKey, session: Session) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        conn.session = session;
        // Closed by its own command: then it was retired without its session.
        if conn.phase == Phase::Closing {
            self.retire(key);
        }
    }

    /// Delivers what this shard's own publish put into its inbox, so that a publisher gets its publication
    /// before its reply. Never between an attach and the join that follows: what came after the attached
    /// position must find the subscriber.
    fn deliver_own(&mut self, answer: &Answer) {
        if !matches!(answer, Answer::Published(_)) {
            return;
        }
        for delivery in self.shard.handle.inbox.take_deliveries() {
            self.deliver(&delivery);
        }
    }
}
