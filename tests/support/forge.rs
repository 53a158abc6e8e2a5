//! Sessions as nobody should write them: sound as MCAP files, every checksum right, and wrong in what they say.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses what it needs")]
#![expect(clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::io::Cursor;

use mcap::records::{MessageHeader, Metadata, Record};
use rmpv::Value;

/// A message of a session.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its sequence number.
    pub sequence: u32,
    /// What it carries.
    pub data: Vec<u8>,
}

impl Message {
    /// What it carries, if it is a record of our own.
    pub fn value(&self) -> Value {
        rmpv::decode::read_value(&mut Cursor::new(&self.data)).unwrap()
    }

    /// The same message with other contents.
    pub fn with(mut self, value: &Value) -> Self {
        self.data.clear();
        rmpv::encode::write_value(&mut self.data, value).unwrap();
        self
    }
}

/// A session taken apart.
#[derive(Clone, Debug)]
pub struct Session {
    /// The profile of the file.
    pub profile: String,
    /// Its metadata records, by name.
    pub metadata: BTreeMap<String, BTreeMap<String, String>>,
    /// Its messages, in order.
    pub messages: Vec<Message>,
}

impl Session {
    /// Takes a file apart.
    pub fn of(bytes: &[u8]) -> Self {
        let mut session = Self { profile: String::new(), metadata: BTreeMap::new(), messages: Vec::new() };
        let (mut topics, mut summary) = (BTreeMap::new(), false);
        for record in mcap::read::ChunkFlattener::new(bytes).unwrap() {
            match record.unwrap() {
                Record::Header(header) => session.profile = header.profile,
                Record::Metadata(metadata) => {
                    session.metadata.insert(metadata.name, metadata.metadata);
                }
                Record::Channel(channel) => {
                    topics.insert(channel.id, channel.topic);
                }
                Record::Message { header, data } if !summary => {
                    let topic = topics[&header.channel_id].clone();
                    session.messages.push(Message { topic, sequence: header.sequence, data: data.into_owned() });
                }
                Record::DataEnd(_) => summary = true,
                _ => {}
            }
        }
        session
    }

    /// Puts it together again.
    pub fn bytes(&self) -> Vec<u8> {
        let options = mcap::WriteOptions::new().compression(None).profile(&self.profile).chunk_size(Some(1 << 14));
        let mut writer = options.create(Cursor::new(Vec::new())).unwrap();
        for (name, metadata) in &self.metadata {
            writer.write_metadata(&Metadata { name: name.clone(), metadata: metadata.clone() }).unwrap();
        }
        for message in &self.messages {
            let encoding = if message.topic.starts_with("/waywarden/") { "msgpack" } else { "protobuf" };
            let channel_id = writer.add_channel(0, &message.topic, encoding, &BTreeMap::new()).unwrap();
            let header = MessageHeader { channel_id, sequence: message.sequence, log_time: 0, publish_time: 0 };
            writer.write_to_known_channel(&header, &message.data).unwrap();
        }
        writer.finish().unwrap();
        writer.into_inner().into_inner()
    }

    /// Changes the first message of `topic` for which `change` says so.
    pub fn change(&mut self, topic: &str, mut change: impl FnMut(&mut Value) -> bool) {
        for message in self.messages.iter_mut().filter(|message| message.topic == topic) {
            let mut value = message.value();
            if change(&mut value) {
                *message = message.clone().with(&value);
                return;
            }
        }
        panic!("nothing on {topic} is as it should be");
    }
}

/// A field of a map.
pub fn field<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    match value {
        Value::Map(entries) => entries.iter_mut().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value),
        _ => None,
    }
}

/// The items of an array.
pub fn items(value: &mut Value) -> &mut Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => panic!("no array: {other}"),
    }
}
