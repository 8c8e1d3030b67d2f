//! CRC-32C (Castagnoli): the checksum of iSCSI and of TFRecord files.

/// The polynomial x³² + x²⁸ + x²⁷ + … + 1 of RFC 3720, bits reversed: the lowest bit is the highest power.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What eight steps of the division make of each byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut remainder, mut bit) = (byte as u32, 0);
        while bit < 8 {
            let low = remainder & 1;
            remainder = (remainder >> 1) ^ (low * POLYNOMIAL);
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// The checksum of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4; the last is the check value of the catalogue of parametrised CRCs.
    #[test]
    fn published_values_are_met() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        let mut read = [0; 48];
        read[..2].copy_from_slice(&[0x01, 0xc0]);
        read[16] = 0x14;
        read[22] = 0x04;
        read[27] = 0x14;
        read[31] = 0x18;
        read[32] = 0x28;
        read[40] = 0x02;
        let cases: [(&[u8], u32); 6] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (&descending, 0x113f_db5c),
            (&read, 0xd996_3a56),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, crc) in cases {
            assert_eq!(crc32c(bytes), crc, "{bytes:?}");
        }
        assert_eq!(crc32c(b""), 0);
    }
}
