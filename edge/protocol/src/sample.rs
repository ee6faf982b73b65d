//! Messages of every shape for property tests: each field drawn from a string of bytes, so that
//! proptest shrinks a message by shrinking the bytes. Exhausted bytes draw zero values.

use std::collections::BTreeMap;

use bytes::Bytes;

/// What payloads a sample may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Payloads {
    Json,
    Any,
}

pub(crate) struct Entropy<'a> {
    bytes: &'a [u8],
    payloads: Payloads,
    depth: u32,
}

impl<'a> Entropy<'a> {
    pub(crate) fn new(bytes: &'a [u8], payloads: Payloads) -> Self {
        Self {
            bytes,
            payloads,
            depth: 0,
        }
    }

    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *byte
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }
}

pub(crate) trait Sample {
    fn sample(entropy: &mut Entropy<'_>) -> Self;
}

macro_rules! integers {
    ($($ty:ty),*) => { $(
        impl Sample for $ty {
            fn sample(entropy: &mut Entropy<'_>) -> Self {
                entropy.pick(&[0, 0, 1, 127, 128, 300, <$ty>::MAX, <$ty>::MIN, <$ty>::MAX / 3])
            }
        }
    )* };
}

integers!(u32, u64, i32, i64);

impl Sample for bool {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        entropy.byte() % 2 == 1
    }
}

impl Sample for String {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        let long = "x".repeat(200);
        entropy
            .pick(&[
                "",
                "",
                "a",
                "<b>&\"\\/",
                "\n\r\t\u{0}\u{1}\u{8}\u{c}\u{1f}\u{7f}",
                "é\u{2028}漢\u{1f600}",
                &long,
            ])
            .to_owned()
    }
}

impl Sample for Bytes {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        let json: &[&'static [u8]] = &[
            b"",
            b"",
            b"null",
            b"0",
            b"{\"a\": 1}",
            b"\"<&>\\u003c\\ud800\"",
            b"[[], {},\r\t1e999]",
            "\"漢\"".as_bytes(),
        ];
        let any: &[&'static [u8]] = &[b"", b"{}", b"\x00\x01\x02", b"\xff", b"{\n\"a\":\n1}", b"{"];
        Self::from_static(match entropy.payloads {
            Payloads::Json => entropy.pick(json),
            Payloads::Any => entropy.pick(any),
        })
    }
}

impl<T: Sample> Sample for Box<T> {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        Self::new(T::sample(entropy))
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        (entropy.byte() % 3 == 1).then(|| T::sample(entropy))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        if entropy.depth == 5 {
            return Self::new();
        }
        entropy.depth += 1;
        let length = entropy.byte() % 3;
        let items = (0..length).map(|_| T::sample(entropy)).collect();
        entropy.depth -= 1;
        items
    }
}

impl<T: Sample> Sample for BTreeMap<String, T> {
    fn sample(entropy: &mut Entropy<'_>) -> Self {
        let length = entropy.byte() % 3;
        (0..length)
            .map(|_| (String::sample(entropy), T::sample(entropy)))
            .collect()
    }
}
