//! Reading frames from a QUIC stream.

use iroh::endpoint::{ReadExactError, RecvStream};

use crate::frame::{FrameError, HEADER_BYTES, Header};

/// Memory reserved before the first byte of a body has arrived.
const BODY_RESERVE: usize = 64 << 10;

/// Why a frame could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection or the stream was lost.
    Lost,
    /// The bytes are not a frame.
    Frame(FrameError),
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

pub(crate) async fn read_header(stream: &mut RecvStream) -> Result<Header, Broken> {
    let mut bytes = [0; HEADER_BYTES];
    match stream.read_exact(&mut bytes).await {
        Ok(()) => Ok(Header::decode(bytes)?),
        Err(ReadExactError::FinishedEarly(_)) => Err(FrameError::Short.into()),
        Err(ReadExactError::ReadError(_)) => Err(Broken::Lost),
    }
}

/// Reads exactly `length` bytes, growing with what arrives. The caller has compared `length` with its limit.
pub(crate) async fn read_body(stream: &mut RecvStream, length: usize) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::with_capacity(length.min(BODY_RESERVE));
    while body.len() < length {
        match stream.read_chunk(length - body.len()).await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Err(FrameError::Short.into()),
            Err(_) => return Err(Broken::Lost),
        }
    }
    Ok(body)
}

pub(crate) async fn expect_end(stream: &mut RecvStream) -> Result<(), Broken> {
    match stream.read_chunk(1).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(FrameError::Trailing.into()),
        Err(_) => Err(Broken::Lost),
    }
}
