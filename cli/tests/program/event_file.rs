//! A reader of event files that shares nothing with their writer: checksums bit by bit, messages field by field.

/// One event.
#[derive(Debug, Default)]
pub struct Event {
    pub wall_time: f64,
    pub step: u64,
    pub version: Option<String>,
    pub values: Vec<(String, f32)>,
}

/// Its events, or what is wrong with it.
pub fn read(mut file: &[u8]) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    while !file.is_empty() {
        let head = take(&mut file, 8)?;
        check(head, take(&mut file, 4)?)?;
        let data = take(&mut file, u64::from_le_bytes(head.try_into().unwrap()))?;
        check(data, take(&mut file, 4)?)?;
        events.push(event(data)?);
    }
    Ok(events)
}

fn take<'a>(from: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let length = usize::try_from(length).map_err(|e| e.to_string())?;
    let (head, rest) = from.split_at_checked(length).ok_or(format!("{length} bytes of {}", from.len()))?;
    *from = rest;
    Ok(head)
}

/// Long division by the Castagnoli polynomial, highest power first, of bits that come lowest first.
fn check(data: &[u8], stored: &[u8]) -> Result<(), String> {
    let mut remainder = u32::MAX;
    for bit in data.iter().flat_map(|byte| (0..8).map(move |i| byte >> i & 1)) {
        let out = remainder >> 31 ^ u32::from(bit);
        remainder <<= 1;
        if out == 1 {
            remainder ^= 0x1edc_6f41;
        }
    }
    let crc = !remainder.reverse_bits();
    let stored = u32::from_le_bytes(stored.try_into().unwrap());
    let unmasked = stored.wrapping_sub(0xa282_ead8).rotate_left(15);
    if unmasked == crc { Ok(()) } else { Err(format!("checksum {unmasked:x}, expected {crc:x}")) }
}

/// The value of a field.
enum Field<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
}

fn event(data: &[u8]) -> Result<Event, String> {
    let mut event = Event::default();
    for field in fields(data)? {
        match field {
            (1, Field::Bytes(b)) => event.wall_time = f64::from_le_bytes(b.try_into().map_err(|_| "no double")?),
            (2, Field::Integer(step)) => event.step = step,
            (3, Field::Bytes(text)) => event.version = Some(String::from_utf8(text.into()).map_err(|e| e.to_string())?),
            (5, Field::Bytes(summary)) => {
                for value in fields(summary)? {
                    let (1, Field::Bytes(value)) = value else { return Err(format!("field {} of Summary", value.0)) };
                    event.values.push(scalar(value)?);
                }
            }
            (number, _) => return Err(format!("field {number} of Event")),
        }
    }
    Ok(event)
}

fn scalar(data: &[u8]) -> Result<(String, f32), String> {
    match &fields(data)?[..] {
        [(1, Field::Bytes(tag)), (2, Field::Bytes(value))] => Ok((
            String::from_utf8(tag.to_vec()).map_err(|e| e.to_string())?,
            f32::from_le_bytes((*value).try_into().map_err(|_| "no float")?),
        )),
        other => Err(format!("a Value of {} fields", other.len())),
    }
}

fn fields(mut data: &[u8]) -> Result<Vec<(u64, Field<'_>)>, String> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data)?;
        let value = match key % 8 {
            0 => Field::Integer(varint(&mut data)?),
            1 => Field::Bytes(take(&mut data, 8)?),
            2 => {
                let length = varint(&mut data)?;
                Field::Bytes(take(&mut data, length)?)
            }
            5 => Field::Bytes(take(&mut data, 4)?),
            other => return Err(format!("wire type {other}")),
        };
        fields.push((key / 8, value));
    }
    Ok(fields)
}

fn varint(data: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for place in 0..10 {
        let byte = u64::from(take(data, 1)?[0]);
        value |= (byte % 128) << (7 * place);
        if byte < 128 {
            return Ok(value);
        }
    }
    Err("a varint of more than ten bytes".into())
}
