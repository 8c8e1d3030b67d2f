//! The protocol-buffer messages of an event file, as far as scalars need them.
//!
//! ```text
//! Event:    1 wall_time  double     2 step  int64     3 file_version  string     5 summary  Summary
//! Summary:  1 value      Value, repeated
//! Value:    1 tag        string     2 simple_value  float
//! ```
//!
//! Source: `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`. On the wire a field is the
//! varint `number · 8 + type`, then its value: type 0 a varint (seven bits a byte, lowest first, the high bit says that
//! more follow), 1 eight bytes, 5 four bytes, both little endian, 2 a varint of the length and that many bytes. Source:
//! <https://protobuf.dev/programming-guides/encoding>.

/// The first event of a file: which format follows.
pub fn version(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    double(&mut event, 1, wall_time);
    bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// Scalars of one step: tags and values.
pub fn scalars(wall_time: f64, step: u64, values: &[(String, f32)]) -> Vec<u8> {
    let (mut event, mut summary) = (Vec::new(), Vec::new());
    for (tag, value) in values {
        let mut message = Vec::new();
        bytes(&mut message, 1, tag.as_bytes());
        float(&mut message, 2, *value);
        bytes(&mut summary, 1, &message);
    }
    double(&mut event, 1, wall_time);
    integer(&mut event, 2, step);
    bytes(&mut event, 5, &summary);
    event
}

fn integer(message: &mut Vec<u8>, field: u64, value: u64) {
    varint(message, field << 3);
    varint(message, value);
}

fn double(message: &mut Vec<u8>, field: u64, value: f64) {
    varint(message, field << 3 | 1);
    message.extend(value.to_le_bytes());
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(message, field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

fn float(message: &mut Vec<u8>, field: u64, value: f32) {
    varint(message, field << 3 | 5);
    message.extend(value.to_le_bytes());
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the Python package protobuf writes the same messages with TensorBoard's own definitions.
    #[test]
    fn messages_are_those_of_protobuf() {
        // Event(wall_time=1.5, file_version="brain.Event:2")
        assert_eq!(version(1.5), b"\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0dbrain.Event:2");
        // Event(wall_time=0.1, step=300), summary.value.add(tag="a/b", simple_value=-2.5)
        let event = scalars(0.1, 300, &[("a/b".into(), -2.5)]);
        assert_eq!(
            event,
            b"\x09\x9a\x99\x99\x99\x99\x99\xb9\x3f\x10\xac\x02\x2a\x0c\x0a\x0a\x0a\x03a/b\x15\0\0\x20\xc0"
        );
    }
}
