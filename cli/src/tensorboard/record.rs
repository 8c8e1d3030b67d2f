//! TFRecord: how TensorFlow puts records into one file.
//!
//! ```text
//! length            u64, little endian
//! mask(crc(length)) u32, little endian
//! data              length bytes
//! mask(crc(data))   u32, little endian
//!
//! mask(c) = ((c >> 15) | (c << 17)) + 0xa282ead8   (mod 2³²)
//! ```
//!
//! The checksum is CRC-32C, masked because that of data which contain checksums is weak. Source:
//! `tensorflow/core/lib/io/record_writer.h` and `tensorflow/core/lib/hash/crc32c.h` (as of TensorFlow 2).

use crc::{CRC_32_ISCSI, Crc};

/// CRC-32C goes by the name of iSCSI.
const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Appends one record.
pub fn push(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(&length).to_le_bytes());
    file.extend(data);
    file.extend(masked(data).to_le_bytes());
}

fn masked(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4.
    #[test]
    fn the_checksum_is_that_of_iscsi() {
        assert_eq!((CRC_32C.checksum(&[0; 32]), CRC_32C.checksum(&[0xff; 32])), (0x8a91_36aa, 0x62a8_ab43));
    }
}
