//! Properties of the codecs over messages of every shape.

use bytes::Bytes;
use proptest::prelude::*;

use crate::decode::{self, Malformed};
use crate::encode::{self, EncodeError};
use crate::messages::{Command, Join, Leave, Publication, Push, Reply};
use crate::sample::{Entropy, Payloads, Sample};
use crate::{Encoding, fuzzing};

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

fn sample<T: Sample>(bytes: &[u8], payloads: Payloads) -> T {
    T::sample(&mut Entropy::new(bytes, payloads))
}

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..400)
}

fn payloads() -> impl Strategy<Value = Payloads> {
    prop_oneof![Just(Payloads::Json), Just(Payloads::Any)]
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![Just(Encoding::Json), Just(Encoding::Protobuf)]
}

/// A frame of the messages, joined as the encoding wants it.
fn frame(encoding: Encoding, commands: &[Command]) -> Vec<u8> {
    let mut frame = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        if index > 0 {
            frame.extend_from_slice(encoding.separator());
        }
        encode::command(encoding, command, &mut frame).unwrap();
    }
    frame
}

/// Text that is often nearly JSON.
fn json_soup() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\n",
        " ",
        "\r",
        "\"",
        "null",
        "true",
        "0",
        "1",
        "-1",
        "1.5",
        "\"id\"",
        "\"ID\"",
        "\"push\"",
        "\"pub\"",
        "\"connect\"",
        "\"subscribe\"",
        "\"tf\"",
        "\"nodes\"",
        "\"data\"",
        "\"subs\"",
        "\"channel\"",
        "\"a\"",
        "{\"id\":1,",
        "\"publish\":{",
        "\"presence\"",
        "\\u0000",
        "\u{fffd}",
    ]);
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn commands_come_back_from_either_encoding(entropy in entropy(), encoding in encoding()) {
        let command: Command = sample(&entropy, Payloads::Json);
        let frame = frame(encoding, std::slice::from_ref(&command));
        let read: Vec<_> = decode::commands(encoding, &frame).collect();
        prop_assert_eq!(read, vec![Ok(command)]);
    }

    #[test]
    fn replies_and_pushes_come_back_from_either_encoding(entropy in entropy(), encoding in encoding()) {
        let reply: Reply = sample(&entropy, Payloads::Json);
        let mut frame = Vec::new();
        encode::reply(encoding, &reply, &mut frame).unwrap();
        let read: Vec<_> = decode::replies(encoding, &frame).collect();
        prop_assert_eq!(read, vec![Ok(reply)]);

        let push: Push = sample(&entropy, Payloads::Json);
        let mut frame = Vec::new();
        encode::push(encoding, &push, &mut frame).unwrap();
        let read: Vec<_> = decode::pushes(encoding, &frame).collect();
        prop_assert_eq!(read, vec![Ok(push)]);
    }

    #[test]
    fn any_payload_comes_back_from_protobuf(entropy in entropy()) {
        let reply: Reply = sample(&entropy, Payloads::Any);
        let mut frame = Vec::new();
        encode::reply(Encoding::Protobuf, &reply, &mut frame).unwrap();
        let read: Vec<_> = decode::replies(Encoding::Protobuf, &frame).collect();
        prop_assert_eq!(read, vec![Ok(reply)]);
    }

    #[test]
    fn json_is_one_line_of_valid_json(entropy in entropy(), payloads in payloads()) {
        let reply: Reply = sample(&entropy, payloads);
        let mut line = b"before".to_vec();
        match encode::reply(Encoding::Json, &reply, &mut line) {
            Ok(()) => {
                let line = line.strip_prefix(b"before").unwrap();
                prop_assert!(!line.contains(&b'\n'));
                prop_assert!(crate::raw::is_json_object(line));
            }
            Err(error) => {
                prop_assert_eq!(error, EncodeError::PayloadNotJson);
                prop_assert_eq!(line, b"before".to_vec());
            }
        }
    }

    #[test]
    fn hot_pushes_are_written_as_by_the_general_encoder(
        entropy in entropy(),
        channel in "[a-z:<\"\\\\\n\u{1}\u{2028}é]{0,200}",
        payloads in payloads(),
        encoding in encoding(),
    ) {
        let publication: Publication = sample(&entropy, payloads);
        let join: Join = sample(&entropy, payloads);
        let leave: Leave = sample(&entropy, payloads);
        type Hot<'a> = Box<dyn Fn(&mut Vec<u8>) -> Result<(), EncodeError> + 'a>;
        let cases: [(Push, Hot<'_>); 3] = [
            (
                Push { r#pub: Some(publication.clone()), ..Push::default() },
                Box::new(|out| encode::publication(encoding, &channel, &publication, out)),
            ),
            (
                Push { join: Some(join.clone()), ..Push::default() },
                Box::new(|out| encode::join(encoding, &channel, &join, out)),
            ),
            (
                Push { leave: Some(leave.clone()), ..Push::default() },
                Box::new(|out| encode::leave(encoding, &channel, &leave, out)),
            ),
        ];
        for (push, hot) in cases {
            let push = Push { channel: channel.clone(), ..push };
            let mut bare = Vec::new();
            let pushed = encode::push(encoding, &push, &mut bare);
            let reply = Reply { push: Some(push), ..Reply::default() };
            let mut general = b"before".to_vec();
            let expected = encode::reply(encoding, &reply, &mut general);
            let mut written = b"before".to_vec();
            prop_assert_eq!(hot(&mut written), expected);
            prop_assert_eq!(pushed, expected);
            if expected.is_ok() {
                let message = written.strip_prefix(b"before").unwrap();
                prop_assert_eq!(encode::bare_push(encoding, message), bare);
            }
            prop_assert_eq!(
                Bytes::from(written),
                Bytes::from(general)
            );
        }
    }

    #[test]
    fn what_is_no_push_has_nothing_to_bare(entropy in entropy(), encoding in encoding(), id in 1..u32::MAX) {
        let reply = Reply { id, push: None, ..sample(&entropy, Payloads::Json) };
        let mut message = Vec::new();
        encode::reply(encoding, &reply, &mut message).unwrap();
        prop_assert_eq!(encode::bare_push(encoding, &message), &message[..]);
        prop_assert_eq!(encode::bare_push(encoding, encoding.ping()), encoding.ping());
    }

    #[test]
    fn decoding_can_go_on_from_the_rest(entropy in entropy(), encoding in encoding(), stop in 0..3_usize) {
        let commands: Vec<Command> = entropy
            .chunks(150)
            .map(|chunk| sample(chunk, Payloads::Json))
            .collect();
        let frame = frame(encoding, &commands);
        let mut reading = decode::commands(encoding, &frame);
        let mut read: Vec<_> = reading.by_ref().take(stop).collect();
        let parked = reading.rest().to_vec();
        if stop == 0 || !parked.is_empty() {
            read.extend(decode::commands(encoding, &parked));
        }
        let expected: Vec<_> = if commands.is_empty() {
            vec![Err(Malformed::Empty)]
        } else {
            commands.into_iter().map(Ok).collect()
        };
        if stop > 0 || !frame.is_empty() {
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn decoders_keep_their_promises_on_any_bytes(frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::commands_json(&frame);
        fuzzing::commands_protobuf(&frame);
        fuzzing::replies(&frame);
    }

    #[test]
    fn decoders_keep_their_promises_on_nearly_json(frame in json_soup()) {
        fuzzing::commands_json(&frame);
        fuzzing::replies(&frame);
    }

    #[test]
    fn decoders_keep_their_promises_on_damaged_frames(
        entropy in entropy(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let reply: Reply = sample(&entropy, Payloads::Json);
        let command: Command = sample(&entropy, Payloads::Json);
        for encoding in BOTH {
            let mut written = Vec::new();
            encode::reply(encoding, &reply, &mut written).unwrap();
            let index = at.index(written.len());
            written[index] = byte;
            fuzzing::replies(&written);

            let mut written = frame(encoding, std::slice::from_ref(&command));
            let index = at.index(written.len());
            written[index] = byte;
            fuzzing::commands_json(&written);
            fuzzing::commands_protobuf(&written);
        }
    }
}

proptest! {
    // Each case decodes every prefix of its frame.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_truncation_of_a_command_is_an_error(entropy in entropy(), encoding in encoding()) {
        let command: Command = sample(&entropy, Payloads::Json);
        let frame = frame(encoding, &[command]);
        for length in 0..frame.len() {
            let read: Vec<_> = decode::commands(encoding, &frame[..length]).collect();
            prop_assert_eq!(read.len(), 1, "cut at {}", length);
            prop_assert!(read[0].is_err(), "cut at {}", length);
        }
    }

    #[test]
    fn truncated_frame_yields_its_whole_commands(entropy in entropy(), encoding in encoding()) {
        let (first, second) = entropy.split_at(entropy.len() / 2);
        let commands: [Command; 2] = [sample(first, Payloads::Json), sample(second, Payloads::Json)];
        let whole = frame(encoding, &commands);
        let boundary = frame(encoding, &commands[..1]).len();
        for length in 0..whole.len() {
            let read: Vec<_> = decode::commands(encoding, &whole[..length]).collect();
            let failed = usize::from(length < boundary || length > boundary + encoding.separator().len());
            prop_assert_eq!(read.iter().filter(|command| command.is_err()).count(), failed, "cut at {}", length);
            prop_assert_eq!(read.len(), usize::from(length >= boundary) + failed, "cut at {}", length);
        }
    }
}

#[test]
fn samples_reach_every_field_kind() {
    // Guards the properties above against samples that are always empty.
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let replies: Vec<Reply> = bytes
        .chunks(400)
        .map(|chunk| sample(chunk, Payloads::Json))
        .collect();
    let commands: Vec<Command> = bytes
        .chunks(400)
        .map(|chunk| sample(chunk, Payloads::Json))
        .collect();
    let has = |found: bool, what: &str| assert!(found, "no sample with {what}");
    has(
        replies.iter().any(|reply| {
            reply.push.as_ref().is_some_and(|push| {
                push.r#pub
                    .as_ref()
                    .is_some_and(|publication| !publication.data.is_empty())
            })
        }),
        "a push with a payload",
    );
    has(
        replies.iter().any(|reply| {
            reply
                .connect
                .as_ref()
                .is_some_and(|result| !result.subs.is_empty())
        }),
        "a map of messages",
    );
    has(
        commands.iter().any(|command| {
            command
                .subscribe
                .as_ref()
                .is_some_and(|request| request.tf.is_some())
        }),
        "a filter",
    );
}
