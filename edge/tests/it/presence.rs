//! Who is in a channel, over all shards, and who came and went.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::server::{SECRET, Server};
use crate::support::{eventually, token};

fn rooms() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"namespaces": [
            {"name": "room", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
             "allow_publish_for_client": true, "presence": true, "allow_presence_for_subscriber": true,
             "join_leave": true, "force_push_join_leave": true},
            {"name": "quiet", "allow_subscribe_for_client": true, "presence": true,
             "allow_presence_for_client": true, "join_leave": true},
        ]},
    })
}

/// A client of this user with information, and its id.
async fn informed(server: &Server, user: &str, info: &Value) -> (Client, String) {
    let mut client = Client::open(server).await;
    let claims = json!({"sub": user, "info": info, "exp": token::now() + 600});
    let connected = client.connect(&token::signed(&claims, SECRET)).await;
    (client, connected["client"].as_str().unwrap().to_owned())
}

async fn present(server: &Server, channel: &str) -> Value {
    server.result("presence", json!({"channel": channel})).await["presence"].clone()
}

#[tokio::test]
async fn everybody_in_a_channel_is_present_until_they_leave_in_whatever_way() {
    let server = Server::start(&rooms());
    let mut expected = json!({});
    let mut clients = Vec::new();
    for n in 0..8 {
        let info = json!({"n": n});
        let user = format!("user{}", n % 3);
        let (mut client, id) = informed(&server, &user, &info).await;
        let claims = json!({"sub": user, "channel": "quiet:a", "info": {"role": n}});
        let request = json!({"channel": "quiet:a", "token": token::signed(&claims, SECRET)});
        client.subscribe_as(request).await;
        expected[&id] =
            json!({"user": user, "client": id, "conn_info": info, "chan_info": {"role": n}});
        clients.push((client, id));
    }
    assert_eq!(present(&server, "quiet:a").await, expected);
    let stats = async |channel: &str| {
        let result = server
            .result("presence_stats", json!({"channel": channel}))
            .await;
        (result["num_clients"].clone(), result["num_users"].clone())
    };
    assert_eq!(stats("quiet:a").await, (json!(8), json!(3)));
    assert_eq!(present(&server, "quiet:b").await, json!({}));
    // A client that is not subscribed sees the same.
    let mut other = Client::connected(&server, "other").await;
    let reply = other
        .call(json!({"presence": {"channel": "quiet:a"}}))
        .await;
    assert_eq!(reply["presence"]["presence"], expected);
    let reply = other
        .call(json!({"presence_stats": {"channel": "quiet:a"}}))
        .await;
    assert_eq!(
        reply["presence_stats"],
        json!({"num_clients": 8, "num_users": 3})
    );

    // One unsubscribes, one closes, one is cut off, one is disconnected.
    let mut gone: Vec<(Client, String)> = clients.drain(..4).collect();
    for (_, id) in &gone {
        expected.as_object_mut().unwrap().remove(id);
    }
    let (_, disconnected) = &gone[3];
    let request = json!({"user": "user0", "client": disconnected});
    server.result("disconnect", request).await;
    drop(gone.remove(2));
    gone.remove(1).0.close().await;
    let unsubscribe = json!({"unsubscribe": {"channel": "quiet:a"}});
    gone[0].0.call(unsubscribe).await;
    eventually("four are left", expected, async || {
        present(&server, "quiet:a").await
    })
    .await;
    drop(clients);
    eventually("nobody is left", json!({}), async || {
        present(&server, "quiet:a").await
    })
    .await;
    assert_eq!(stats("quiet:a").await, (json!(0), json!(0)));
}

#[tokio::test]
async fn a_refresh_changes_what_a_present_client_is_known_as() {
    let server = Server::start(&rooms());
    let (mut client, id) = informed(&server, "42", &json!("old")).await;
    client.subscribe_as(json!({"channel": "quiet:a"})).await;
    let known_as = async || present(&server, "quiet:a").await[&id]["conn_info"].clone();
    assert_eq!(known_as().await, "old");
    let claims = json!({"sub": "42", "info": "new", "exp": token::now() + 600});
    let refresh = json!({"refresh": {"token": token::signed(&claims, SECRET)}});
    assert!(client.call(refresh).await["refresh"].is_object());
    assert_eq!(known_as().await, "new");
    // By the API too, where the connection expires.
    for (request, expected) in [
        (json!({"user": "42", "info": "never"}), "new"),
        (
            json!({"user": "42", "info": "newest", "expire_at": token::now() + 60}),
            "newest",
        ),
        (
            json!({"user": "42", "expire_at": token::now() + 60}),
            "newest",
        ),
    ] {
        server.result("refresh", request).await;
        assert!(client.recv().await["push"]["refresh"].is_object());
        assert_eq!(known_as().await, expected);
    }
}

#[tokio::test]
async fn joins_and_leaves_are_told_in_their_order_and_not_to_whom_they_are_about_to_leave() {
    let server = Server::start(&rooms());
    let (mut first, first_id) = informed(&server, "1", &json!({"name": "Ann"})).await;
    first.subscribe("room:a").await;
    let info = |user: &str, id: &str| json!({"user": user, "client": id});
    let ann = json!({"user": "1", "client": first_id, "conn_info": {"name": "Ann"}});
    assert_eq!(first.push("room:a").await, json!({"join": {"info": ann}}));
    let mut second = Client::open(&server).await;
    let connected = second.connect(&token::of("2")).await;
    let second_id = connected["client"].as_str().unwrap().to_owned();
    let bob = info("2", &second_id);
    for _ in 0..3 {
        second.subscribe("room:a").await;
        let joined = json!({"join": {"info": bob}});
        assert_eq!(second.push("room:a").await, joined, "after its reply");
        assert_eq!(first.push("room:a").await, joined);
        let unsubscribe = json!({"unsubscribe": {"channel": "room:a"}});
        let reply = second.call(unsubscribe).await;
        assert!(
            reply["unsubscribe"].is_object(),
            "its own leave is not for it: {reply}"
        );
        let left = json!({"leave": {"info": bob}});
        assert_eq!(first.push("room:a").await, left);
    }
    // In one frame: its leave finds it subscribed again.
    second.subscribe("room:a").await;
    second.push("room:a").await;
    second
        .send("{\"id\":91,\"unsubscribe\":{\"channel\":\"room:a\"}}\n{\"id\":92,\"subscribe\":{\"channel\":\"room:a\"}}")
        .await;
    assert_eq!(second.recv().await["id"], 91);
    assert_eq!(second.recv().await["id"], 92);
    assert_eq!(second.push("room:a").await, json!({"join": {"info": bob}}));
    for event in ["join", "leave", "join"] {
        let push = first.push("room:a").await;
        assert_eq!(push[event]["info"], bob, "{push}");
    }
    drop(second);
    assert_eq!(first.push("room:a").await, json!({"leave": {"info": bob}}));
}

#[tokio::test]
async fn of_each_client_the_join_comes_before_the_leave() {
    let server = Server::start(&rooms());
    let mut observer = Client::connected(&server, "observer").await;
    observer.subscribe("room:a").await;
    observer.push("room:a").await;
    let visits = (0..20).map(async |n| {
        let mut visitor = Client::connected(&server, &format!("visitor{n}")).await;
        visitor
            .command(json!({"subscribe": {"channel": "room:a"}}))
            .await;
        visitor
            .command(json!({"unsubscribe": {"channel": "room:a"}}))
            .await;
        visitor
            .command(json!({"subscribe": {"channel": "room:a"}}))
            .await;
        visitor.close().await;
    });
    join_all(visits).await;
    let mut inside = std::collections::BTreeSet::new();
    for _ in 0..20 * 4 {
        let push = observer.push("room:a").await;
        let user = |event: &str| push[event]["info"]["user"].as_str().map(str::to_owned);
        match (user("join"), user("leave")) {
            (Some(user), None) => assert!(inside.insert(user), "{push}"),
            (None, Some(user)) => assert!(inside.remove(&user), "{push}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(inside.is_empty());
    // What is not asked for is not told.
    let mut quiet = Client::connected(&server, "42").await;
    quiet.subscribe("quiet:a").await;
    let mut other = Client::connected(&server, "43").await;
    other
        .subscribe_as(json!({"channel": "quiet:a", "join_leave": true}))
        .await;
    assert!(other.push("quiet:a").await["join"].is_object());
    server.publish("quiet:a", &json!(1)).await;
    assert_eq!(quiet.publication("quiet:a").await, 1);
}

#[tokio::test]
async fn a_publication_of_a_subscriber_says_who_it_is_in_the_channel() {
    let server = Server::start(&rooms());
    let (mut client, id) = informed(&server, "42", &json!("conn")).await;
    let claims = json!({"sub": "42", "channel": "room:a", "info": "chan"});
    let request = json!({"channel": "room:a", "token": token::signed(&claims, SECRET)});
    client.subscribe_as(request).await;
    let joined = client.push("room:a").await;
    let info = json!({"user": "42", "client": id, "conn_info": "conn", "chan_info": "chan"});
    assert_eq!(joined, json!({"join": {"info": info}}));
    client
        .command(json!({"publish": {"channel": "room:a", "data": 1}}))
        .await;
    let push = client.push("room:a").await;
    assert_eq!(push, json!({"pub": {"data": 1, "info": info}}));
}
