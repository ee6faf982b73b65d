//! The shard's compressors: one for each WebSocket endpoint that compresses, since their options differ.

use tidewire_config::Config;

use crate::transport::Variant;
use crate::transport::websocket::deflate::{Deflater, Inflater};

/// The compression level where the option leaves it to us.
const LEVEL: u32 = 6;

/// What is absent is off.
#[derive(Debug)]
pub(super) struct Compression {
    bidirectional: Option<Deflater>,
    unidirectional: Option<Deflater>,
    inflater: Option<Inflater>,
}

impl Compression {
    pub(super) fn new(config: &Config) -> Self {
        let deflater = |compression: bool, level: i32, min_size: u32| {
            let level = u32::try_from(level).unwrap_or(LEVEL);
            compression.then(|| Deflater::new(level, min_size as usize))
        };
        let both = &config.websocket;
        let uni = &config.uni_websocket;
        let inflates = both.compression || uni.enabled && uni.compression;
        Self {
            bidirectional: deflater(
                both.compression,
                both.compression_level,
                both.compression_min_size,
            ),
            unidirectional: deflater(
                uni.enabled && uni.compression,
                uni.compression_level,
                uni.compression_min_size,
            ),
            inflater: inflates.then(Inflater::new),
        }
    }

    /// The compressor for messages of this variant.
    pub(super) fn deflater(&mut self, variant: Variant) -> Option<&mut Deflater> {
        let deflater = if variant.unidirectional {
            &mut self.unidirectional
        } else {
            &mut self.bidirectional
        };
        deflater.as_mut()
    }

    pub(super) fn inflater(&mut self) -> Option<&mut Inflater> {
        self.inflater.as_mut()
    }
}
