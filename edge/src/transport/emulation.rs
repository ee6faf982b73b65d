//! The emulation endpoint: what clients of [`sse`](super::sse) and
//! [`http_stream`](super::http_stream) send once their stream is open.
//!
//! Meaning: protocol specification, section 4.2. The judgement of a request's head is that of
//! [`http_stream::request`](super::http_stream::request).

use bytes::Bytes;
use tidewire_protocol::{EmulationRequest, Encoding, decode, raw};

use super::http::Refused;

/// Commands on their way to the node that holds the client's stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Emulated {
    /// Id of that node, not empty. One that is not in the cluster is [`Refused::UnknownNode`].
    pub node: String,
    /// Id of the session there. An unknown one is answered with 204 like any other.
    pub session: String,
    /// Framed commands in the encoding of the request. `None`: the JSON data is not a string, and
    /// is dropped once the node is known to exist; the answer is 204.
    pub commands: Option<Bytes>,
}

/// Reads the body of a request.
///
/// # Errors
/// [`Refused::BadRequest`] if it is not an `EmulationRequest`, [`Refused::UnknownNode`] if it
/// names no node.
pub fn read(encoding: Encoding, body: &[u8]) -> Result<Emulated, Refused> {
    let request: EmulationRequest =
        decode::message(encoding, body).map_err(|_malformed| Refused::BadRequest)?;
    let EmulationRequest {
        node,
        session,
        data,
    } = request;
    if node.is_empty() {
        return Err(Refused::UnknownNode);
    }
    let commands = match encoding {
        Encoding::Json => raw::unquote(&data).map(Bytes::from),
        Encoding::Protobuf => Some(data),
    };
    Ok(Emulated {
        node,
        session,
        commands,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn emulated(commands: Option<&'static str>) -> Result<Emulated, Refused> {
        Ok(Emulated {
            node: "n".to_owned(),
            session: "s".to_owned(),
            commands: commands.map(Bytes::from),
        })
    }

    #[test]
    fn json_data_is_a_string_of_commands() {
        let table = [
            (
                r#"{"node":"n","session":"s","data":"{\"id\":1}\n{\"id\":2}"}"#,
                emulated(Some("{\"id\":1}\n{\"id\":2}")),
            ),
            (
                r#"{"node":"n","session":"s","data":"{\"id\":4,"}"#,
                emulated(Some("{\"id\":4,")),
            ),
            (
                r#"{"node":"n","session":"s","data":""}"#,
                emulated(Some("")),
            ),
            (r#"{"node":"n","session":"s","data":{}}"#, emulated(None)),
            (
                r#"{"node":"n","session":"s","data":["{}"]}"#,
                emulated(None),
            ),
            (r#"{"node":"n","session":"s","data":1}"#, emulated(None)),
            (r#"{"node":"n","session":"s"}"#, emulated(None)),
            (r#"{"session":"s","data":"{}"}"#, Err(Refused::UnknownNode)),
            (
                r#"{"node":"","session":"s","data":"{}"}"#,
                Err(Refused::UnknownNode),
            ),
            ("{}", Err(Refused::UnknownNode)),
            ("null", Err(Refused::UnknownNode)),
            ("zz", Err(Refused::BadRequest)),
            ("", Err(Refused::BadRequest)),
            ("[]", Err(Refused::BadRequest)),
            (r#"{"node":1}"#, Err(Refused::BadRequest)),
        ];
        for (body, expected) in table {
            assert_eq!(read(Encoding::Json, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn protobuf_data_is_the_commands_themselves() {
        let request = EmulationRequest {
            node: "n".to_owned(),
            session: "s".to_owned(),
            data: Bytes::from_static(b"\x02\x08\x01"),
        };
        let body = request.encode_to_vec();
        assert_eq!(
            read(Encoding::Protobuf, &body),
            emulated(Some("\x02\x08\x01"))
        );
        assert_eq!(read(Encoding::Protobuf, b"\xff"), Err(Refused::BadRequest));
        assert_eq!(read(Encoding::Protobuf, b""), Err(Refused::UnknownNode));
    }
}
