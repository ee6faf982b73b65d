//! A client that reads an endless response.

use regex::Regex;

use super::server::Server;
use super::soon;

/// A response whose body goes on.
pub(crate) struct Stream {
    response: reqwest::Response,
    /// Received and not taken yet.
    buffer: Vec<u8>,
}

impl Stream {
    /// Sends a request whose answer's head must come soon.
    pub(crate) async fn open(
        server: &Server,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("http://{}{path}", server.address);
        let mut request = reqwest::Client::new()
            .request(method, url)
            .body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = soon("an answer", request.send()).await.expect("an answer");
        Self {
            response,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.response.headers().get(name)?;
        Some(value.to_str().expect("text"))
    }

    /// Everything received and not taken yet must come to match the whole pattern; what its groups matched.
    pub(crate) async fn expect(&mut self, pattern: &Regex) -> Vec<String> {
        let groups = |text: &str| -> Option<Vec<String>> {
            let found = pattern.captures(text)?;
            let groups = found.iter().skip(1).flatten();
            Some(groups.map(|group| group.as_str().to_owned()).collect())
        };
        let matched = async {
            loop {
                let text = String::from_utf8_lossy(&self.buffer).into_owned();
                if let Some(groups) = groups(&text) {
                    return groups;
                }
                assert!(
                    self.fill().await,
                    "the end came; {pattern}; received {text:?}"
                );
            }
        };
        let groups = soon(&format!("{pattern}"), matched).await;
        self.buffer.clear();
        groups
    }

    /// The next bytes must be these.
    pub(crate) async fn recv(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let received = async {
            while self.buffer.len() < expected.len() {
                assert!(self.fill().await, "the end came: {:?}", self.text());
            }
        };
        soon(&String::from_utf8_lossy(expected), received).await;
        let rest = self.buffer.split_off(expected.len());
        let received = std::mem::replace(&mut self.buffer, rest);
        assert_eq!(received, expected, "{}", String::from_utf8_lossy(&received));
    }

    /// The next message with its length of at most two bytes before it.
    pub(crate) async fn varint_message(&mut self) -> Vec<u8> {
        let whole = async {
            loop {
                let length = match self.buffer.as_slice() {
                    [length @ 0..128, ..] => Some(1 + usize::from(*length)),
                    [low, high @ 0..128, ..] => {
                        Some(2 + usize::from(low & 0x7F) + (usize::from(*high) << 7))
                    }
                    _ => None,
                };
                match length {
                    Some(length) if length <= self.buffer.len() => return length,
                    _ => assert!(self.fill().await, "the end came"),
                }
            }
        };
        let length = soon("a message", whole).await;
        let rest = self.buffer.split_off(length);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// The body must end, with nothing before.
    pub(crate) async fn ended(&mut self) {
        assert!(self.buffer.is_empty(), "{:?}", self.text());
        let more = soon("the end", self.fill()).await;
        assert!(!more, "{:?}", self.text());
    }

    /// Reads to the end: whether the body was not whole.
    pub(crate) async fn is_cut(&mut self) -> bool {
        let read = async {
            loop {
                match self.response.chunk().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return false,
                    Err(_) => return true,
                }
            }
        };
        soon("the end", read).await
    }

    /// Waits for more; false at the end.
    async fn fill(&mut self) -> bool {
        let Some(chunk) = self.response.chunk().await.expect("an open body") else {
            return false;
        };
        self.buffer.extend_from_slice(&chunk);
        true
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}
