//! What a connection still has to be sent: shared frames, counted in bytes.
//!
//! Two frames fit inline, so an idle connection and one in ordinary traffic own no heap memory here; more go
//! into a boxed ring that is given back at the next quiet ping.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

/// Added per entry to the byte counter: an entry costs memory whatever its frame's length.
const ENTRY_BYTES: usize = 64;

/// One wire-ready message, encoded once per shard and shared by every connection it goes to.
#[derive(Debug)]
pub struct Frame(Box<[u8]>);

impl Frame {
    /// A frame of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Rc<Self> {
        Rc::new(Self(bytes.into_boxed_slice()))
    }

    /// The bytes as they go onto the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A connection's queue of frames.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Rc<Frame>>,
    second: Option<Rc<Frame>>,
    #[expect(
        clippy::box_collection,
        reason = "absent in an idle connection: 8 bytes instead of 32"
    )]
    more: Option<Box<VecDeque<Rc<Frame>>>>,
    /// Bytes of `first` that were written already.
    written: u32,
    bytes: usize,
}

impl Outbox {
    /// Queues a frame and returns the bytes now queued, overhead included.
    pub fn push(&mut self, frame: Rc<Frame>) -> usize {
        self.bytes += frame.bytes().len() + ENTRY_BYTES;
        if self.first.is_none() {
            self.first = Some(frame);
        } else if self.second.is_none() && self.more.as_ref().is_none_or(|more| more.is_empty()) {
            self.second = Some(frame);
        } else {
            self.more.get_or_insert_default().push_back(frame);
        }
        self.bytes
    }

    /// The bytes queued, overhead included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Fills `slices` with what is to be written next and returns how many were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let more = self.more.iter().flat_map(|more| more.iter());
        let frames = self.first.iter().chain(self.second.iter()).chain(more);
        let mut used = 0;
        for (slot, frame) in slices.iter_mut().zip(frames) {
            let skip = if used == 0 { self.written as usize } else { 0 };
            *slot = IoSlice::new(frame.bytes().get(skip..).unwrap_or_default());
            used += 1;
        }
        used
    }

    /// Takes `count` written bytes off the front and returns how many frames left with them.
    pub fn advance(&mut self, count: usize) -> usize {
        let mut left = count + self.written as usize;
        let mut frames = 0;
        while let Some(first) = &self.first {
            let length = first.bytes().len();
            if left < length {
                break;
            }
            left -= length;
            self.bytes -= length + ENTRY_BYTES;
            self.first = self.second.take();
            self.second = self.more.as_mut().and_then(|more| more.pop_front());
            if self.first.is_none() {
                self.first = self.second.take();
            }
            frames += 1;
        }
        self.written = u32::try_from(left).unwrap_or(u32::MAX);
        frames
    }

    /// Drops everything that was not begun; a frame half on the wire stays, or the peer could not go on.
    pub fn drop_unwritten(&mut self) {
        self.second = None;
        self.more = None;
        if self.written == 0 {
            self.first = None;
        }
        self.bytes = self
            .first
            .as_ref()
            .map_or(0, |first| first.bytes().len() + ENTRY_BYTES);
    }

    /// Gives back the ring of a burst once it is empty.
    pub fn shrink(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.is_empty()) {
            self.more = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let used = outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..used]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            let written = bytes.len().min(step);
            out.extend_from_slice(&bytes[..written]);
            outbox.advance(written);
        }
        out
    }

    proptest! {
        #[test]
        fn frames_leave_in_order_whatever_the_sizes_of_writes(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..12),
            step in 1_usize..40,
        ) {
            let mut outbox = Outbox::default();
            for frame in &frames {
                outbox.push(Frame::new(frame.clone()));
            }
            prop_assert_eq!(drain(&mut outbox, step), frames.concat());
            prop_assert_eq!(outbox.bytes, 0);
        }

        #[test]
        fn pushes_between_partial_writes_keep_the_order(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..12),
        ) {
            let mut outbox = Outbox::default();
            let mut out = Vec::new();
            for frame in &frames {
                outbox.push(Frame::new(frame.clone()));
                let mut slices = [IoSlice::new(&[]); 1];
                outbox.slices(&mut slices);
                let byte = slices[0][0];
                out.push(byte);
                outbox.advance(1);
            }
            out.extend(drain(&mut outbox, 7));
            prop_assert_eq!(out, frames.concat());
        }
    }

    #[test]
    fn a_half_written_frame_survives_dropping_the_queue() {
        let mut outbox = Outbox::default();
        outbox.push(Frame::new(b"abcdef".to_vec()));
        outbox.push(Frame::new(b"ghi".to_vec()));
        outbox.advance(2);
        outbox.drop_unwritten();
        assert_eq!(drain(&mut outbox, 100), b"cdef");
    }

    #[test]
    fn an_outbox_is_small() {
        assert!(size_of::<Outbox>() <= 40, "{}", size_of::<Outbox>());
    }
}
