//! The floor: what one `send` of 200 bytes over 1,000 connected sockets costs on this machine now. No server
//! can deliver for less without merging messages, so figures are also stated above it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use mio::{Events, Interest, Poll, Token};

use crate::clock;
use crate::cores::Cores;
use crate::payload::LENGTH;

const SOCKETS: usize = 1000;
const WARM_UP: usize = 10;
const ROUNDS: usize = 100;

/// Microseconds of processor time per send, the median of 100 rounds over all sockets: the sender on the
/// server's core, the reader on the generator's, which sleeps between the rounds as clients do.
///
/// # Errors
/// The machine has no sockets left.
pub(crate) fn measure(cores: Cores) -> Result<f64> {
    let (senders, receivers) = pairs()?;
    let (read_all, next_round) = sync_channel(1);
    let sender = thread::spawn(move || send_rounds(cores, &senders, &next_round));
    let mut reader = Reader::new(receivers)?;
    for _ in 0..WARM_UP + ROUNDS {
        reader.read(SOCKETS * LENGTH)?;
        if read_all.send(()).is_err() {
            break;
        }
    }
    sender
        .join()
        .map_err(|panic| anyhow!("the sender of the floor panicked: {panic:?}"))?
}

fn pairs() -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut senders = Vec::with_capacity(SOCKETS);
    let mut receivers = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        receivers.push(TcpStream::connect(address)?);
        let (sender, _) = listener.accept()?;
        sender.set_nodelay(true)?;
        senders.push(sender);
    }
    Ok((senders, receivers))
}

fn send_rounds(cores: Cores, senders: &[TcpStream], next_round: &Receiver<()>) -> Result<f64> {
    cores.as_server()?;
    let message = [b'x'; LENGTH];
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let began = clock::thread_cpu();
        for mut sender in senders {
            sender.write_all(&message)?;
        }
        if round >= WARM_UP {
            rounds.push(clock::thread_cpu() - began);
        }
        next_round.recv().context("the reader of the floor ended")?;
    }
    rounds.sort_unstable();
    let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
    Ok(median as f64 / 1e3 / SOCKETS as f64)
}

struct Reader {
    poll: Poll,
    events: Events,
    receivers: Vec<mio::net::TcpStream>,
}

impl Reader {
    fn new(receivers: Vec<TcpStream>) -> Result<Self> {
        let poll = Poll::new()?;
        let mut registered = Vec::with_capacity(receivers.len());
        for (index, receiver) in receivers.into_iter().enumerate() {
            receiver.set_nonblocking(true)?;
            let mut receiver = mio::net::TcpStream::from_std(receiver);
            poll.registry()
                .register(&mut receiver, Token(index), Interest::READABLE)?;
            registered.push(receiver);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(SOCKETS),
            receivers: registered,
        })
    }

    fn read(&mut self, mut left: usize) -> Result<()> {
        let mut buffer = [0; 4096];
        while left > 0 {
            self.poll.poll(&mut self.events, None)?;
            for event in &self.events {
                let Some(receiver) = self.receivers.get_mut(event.token().0) else {
                    continue;
                };
                match receiver.read(&mut buffer) {
                    Ok(count) => left = left.saturating_sub(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
