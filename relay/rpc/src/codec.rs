//! Messages as bytes, in the encoding of the call.

use std::fmt::Display;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use relay_core::{Encoding, Status};

use crate::frame::Encoded;

/// Reads messages of a type.
pub trait Decode<T>: Send + Sync + 'static {
    /// Reads one.
    ///
    /// # Errors
    /// `invalid-argument` where it is no such message.
    fn decode(&self, encoding: Encoding, bytes: Bytes) -> Result<T, Status>;
}

/// Writes messages of a type.
pub trait Encode<T>: Send + Sync + 'static {
    /// Writes one.
    ///
    /// # Errors
    /// `internal` where it cannot be written.
    fn encode(&self, encoding: Encoding, message: &T) -> Result<Encoded, Status>;
}

/// Bytes as they are, whatever the encoding.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl Decode<Bytes> for Raw {
    fn decode(&self, _encoding: Encoding, bytes: Bytes) -> Result<Bytes, Status> {
        Ok(bytes)
    }
}

impl Encode<Bytes> for Raw {
    fn encode(&self, _encoding: Encoding, message: &Bytes) -> Result<Encoded, Status> {
        Ok(Encoded::new(message))
    }
}

/// Protobuf, and JSON by the descriptors of the contract (protobuf's JSON mapping).
#[derive(Clone, Debug)]
pub struct Contract {
    pub(crate) name: String,
    pub(crate) request: MessageDescriptor,
    pub(crate) response: MessageDescriptor,
}

impl<T: Message + Default> Decode<T> for Contract {
    fn decode(&self, encoding: Encoding, bytes: Bytes) -> Result<T, Status> {
        let bytes = match encoding {
            Encoding::Protobuf => bytes,
            Encoding::Json => from_json(&self.request, &bytes)?,
            Encoding::Raw => {
                let message = format!("`{}` takes json or proto, not raw", self.name);
                return Err(Status::invalid_argument(message)
                    .with_hint("set `Rpc-Encoding`, or `Content-Type: application/json`"));
            }
        };
        T::decode(bytes)
            .map_err(|error| Status::invalid_argument(format!("the message cannot be decoded: {error}")))
    }
}

impl<T: Message> Encode<T> for Contract {
    fn encode(&self, encoding: Encoding, message: &T) -> Result<Encoded, Status> {
        match encoding {
            Encoding::Json => to_json(&self.response, message),
            Encoding::Protobuf | Encoding::Raw => Ok(protobuf(message)),
        }
    }
}

/// A message in protobuf.
pub(crate) fn protobuf(message: &impl Message) -> Encoded {
    let size = message.encoded_len();
    Encoded::write(size, |into| {
        // A buffer that grows takes every message.
        let _fits = message.encode(into);
    })
}

fn from_json(descriptor: &MessageDescriptor, json: &[u8]) -> Result<Bytes, Status> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor.clone(), &mut reader)
        .and_then(|message| reader.end().map(|()| message));
    let message = message.map_err(|error| {
        let fields: Vec<String> = descriptor.fields().map(|field| field.json_name().to_owned()).collect();
        Status::invalid_argument(format!("the message is no JSON {}: {error}", descriptor.full_name()))
            .with_hint(format!("its fields are {}", fields.join(", ")))
    })?;
    Ok(message.encode_to_vec().into())
}

fn to_json(descriptor: &MessageDescriptor, message: &impl Message) -> Result<Encoded, Status> {
    let broken = |error: &dyn Display| Status::internal(format!("the answer cannot be written: {error}"));
    let bytes = Bytes::from(message.encode_to_vec());
    let message = DynamicMessage::decode(descriptor.clone(), bytes).map_err(|error| broken(&error))?;
    // Fields at their default are written too: a caller in JSON sees every field there is.
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut outcome = Ok(());
    let encoded = Encoded::write(256, |into| {
        let mut writer = serde_json::Serializer::new(into.writer());
        outcome = message.serialize_with_options(&mut writer, &options).map(|_| ());
    });
    outcome.map(|()| encoded).map_err(|error| broken(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use omnirelay_proto::DESCRIPTOR_SET;
    use omnirelay_proto::samples::v1::AdjustStockResponse;
    use proptest::prelude::*;
    use prost_reflect::DescriptorPool;

    use super::*;

    fn contract() -> Contract {
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
        let message = pool.get_message_by_name("samples.v1.AdjustStockResponse").unwrap();
        Contract { name: "test".to_owned(), request: message.clone(), response: message }
    }

    proptest! {
        #[test]
        fn messages_come_back_in_every_encoding(item: String, count: i64, served_by: String) {
            let message = AdjustStockResponse { item, count, served_by };
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let bytes = contract().encode(encoding, &message).unwrap().into_message();
                let back: AdjustStockResponse = contract().decode(encoding, bytes).unwrap();
                prop_assert_eq!(&back, &message);
            }
        }

        #[test]
        fn foreign_bytes_are_refused_and_never_panic(bytes: Vec<u8>, text in "[\\[\\]{}:,\"0-9a-z]{0,60}") {
            for bytes in [Bytes::from(bytes), Bytes::from(text)] {
                for encoding in Encoding::ALL {
                    let _any: Result<AdjustStockResponse, Status> = contract().decode(encoding, bytes.clone());
                }
            }
        }

        #[test]
        fn deep_json_is_refused_and_never_overflows(depth in 100_usize..5000) {
            let json = Bytes::from("{\"a\":".repeat(depth));
            let refused: Result<AdjustStockResponse, Status> = contract().decode(Encoding::Json, json);
            prop_assert!(refused.is_err());
        }
    }
}
