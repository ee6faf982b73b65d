//! Commands of one client that wait at the same time (`client.concurrency`): any of them may be answered first.

use super::*;

/// Begins a command and answers its requests up to the broker.
fn attaching(client: &mut Client, channel: &str) -> Call {
    let command = subscribe(SubscribeRequest {
        channel: channel.to_owned(),
        ..SubscribeRequest::default()
    });
    let step = client.session.handle(command, &mut client.place);
    called(step)
}

fn attached(client: &mut Client, call: Call) -> u32 {
    let answer = Answer::Attached(Ok(Attached::default()));
    let step = client.session.resume(call.then, answer, &mut client.place);
    assert!(matches!(step, Step::Idle), "{step:?}");
    client.last().error.as_ref().map_or(0, |error| error.code)
}

#[test]
fn a_late_answer_does_not_open_a_newer_subscribe() {
    let mut client = Client::connected(&namespaces(), "42");
    let old = attaching(&mut client, "users:a");
    assert_eq!(client.run(unsubscribe("users:a")), Done);
    let new = attaching(&mut client, "users:a");
    assert_eq!(attached(&mut client, old), 103);
    assert_eq!(client.place.subscribed("users:a"), Subscribed::Opening(2));
    assert_eq!(attached(&mut client, new), 0);
    assert_eq!(client.place.subscribed("users:a"), Subscribed::Yes);
}

#[test]
fn commands_are_answered_in_the_order_of_their_answers() {
    let mut client = Client::connected(&namespaces(), "42");
    let first = attaching(&mut client, "users:a");
    let second = attaching(&mut client, "users:b");
    assert_eq!(attached(&mut client, second), 0);
    assert_eq!(client.place.subscribed("users:a"), Subscribed::Opening(1));
    assert_eq!(attached(&mut client, first), 0);
    assert_eq!(client.place.subscriptions(), 2);
}

#[test]
fn of_two_tokens_for_one_channel_the_first_verified_counts() {
    let mut client = Client::connected(&namespaces(), "42");
    let signed = token(&json!({"sub": "42", "channel": "users:a"}));
    let verifying = |client: &mut Client| {
        let command = subscribe(SubscribeRequest {
            channel: "users:a".to_owned(),
            token: signed.clone(),
            ..SubscribeRequest::default()
        });
        let step = client.session.handle(command, &mut client.place);
        called(step)
    };
    let (first, second) = (verifying(&mut client), verifying(&mut client));
    for (call, expected) in [(second, None), (first, Some(105))] {
        let verified = client.answer(*call.request);
        let step = client
            .session
            .resume(call.then, verified, &mut client.place);
        assert!(matches!(client.finish(step), Step::Idle));
        assert_eq!(client.last().error.as_ref().map(|it| it.code), expected);
    }
}
