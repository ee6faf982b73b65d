//! HTTP, as far as the runner needs it: single requests that wait, and keep-alive connections that do not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Interest, Registry, Token};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The body of a page, if its status is 200. HTTP/1.0, so that the body is not in chunks.
///
/// # Errors
/// No answer, or another status.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("half an answer")?;
    let status = head.split(' ').nth(1);
    ensure!(status == Some("200"), "{path}: status {status:?}");
    Ok(body.to_owned())
}

/// A keep-alive connection to the server's HTTP API.
#[derive(Debug)]
pub(crate) struct ApiConnection {
    stream: mio::net::TcpStream,
    input: Vec<u8>,
    /// Requests without an answer yet.
    pub(crate) outstanding: u64,
}

impl ApiConnection {
    /// Connects; readiness is reported with this token.
    ///
    /// # Errors
    /// The server does not take it.
    pub(crate) fn open(address: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            outstanding: 0,
        })
    }

    /// Sends one publication, also while others are not answered yet.
    ///
    /// # Errors
    /// The server does not read.
    pub(crate) fn publish(&mut self, channel: &str, data: &[u8]) -> Result<()> {
        let head = format!("{{\"channel\":\"{channel}\",\"data\":");
        let length = head.len() + data.len() + 1;
        let mut request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{head}"
        )
        .into_bytes();
        request.extend_from_slice(data);
        request.push(b'}');
        let written = self.stream.write(&request).context("publish")?;
        ensure!(
            written == request.len(),
            "the server does not read its API requests"
        );
        self.outstanding += 1;
        Ok(())
    }

    /// Reads what is there and returns the number of requests that were answered with a result.
    ///
    /// # Errors
    /// The server closed the connection, or answered anything but a result.
    pub(crate) fn receive(&mut self) -> Result<u64> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server closed the API connection"),
                Ok(count) => {
                    self.input
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("API connection"),
            }
        }
        let mut answers = 0;
        while let Some(length) = answer(&self.input)? {
            self.input.drain(..length);
            self.outstanding = self.outstanding.saturating_sub(1);
            answers += 1;
        }
        Ok(answers)
    }
}

/// The length of the answer at the front, `None` if it is not all there.
fn answer(input: &[u8]) -> Result<Option<usize>> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let Some(end) = input
        .windows(BLANK.len())
        .position(|window| window == BLANK)
    else {
        return Ok(None);
    };
    let head = std::str::from_utf8(input.get(..end).unwrap_or_default())?;
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "publish: {status}");
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without a length")?
        .1
        .trim()
        .parse()?;
    let begin = end + BLANK.len();
    let Some(body) = input.get(begin..begin + length) else {
        return Ok(None);
    };
    ensure!(
        body.starts_with(b"{\"result\""),
        "publish: {}",
        String::from_utf8_lossy(body)
    );
    Ok(Some(begin + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-LENGTH: 13\r\n\r\n{\"result\":{}}";

    #[test]
    fn an_answer_is_found_only_when_it_is_whole() {
        let two = [RESULT, RESULT].concat();
        assert_eq!(answer(&two).unwrap(), Some(RESULT.len()));
        for cut in [0, 10, RESULT.len() - 14, RESULT.len() - 1] {
            assert_eq!(answer(&RESULT[..cut]).unwrap(), None);
        }
    }

    #[test]
    fn an_error_is_no_result_whatever_its_status() {
        answer(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").unwrap_err();
        answer(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"error\":{}}").unwrap_err();
    }
}
