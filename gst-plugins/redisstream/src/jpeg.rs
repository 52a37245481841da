//! What a JPEG says of itself, read before a decoder sees it: a picture from the network is not to be trusted.

/// Larger pictures are refused.
pub(crate) const MAX_SIDE: u16 = 4096;
/// Larger files are refused.
pub(crate) const MAX_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JpegError {
    #[error("the picture is empty")]
    Empty,
    #[error("the picture has {0} bytes, more than {MAX_BYTES}")]
    TooManyBytes(usize),
    #[error("the picture is not a JPEG")]
    NotJpeg,
    #[error("the JPEG ends before its frame header")]
    NoFrameHeader,
    #[error("the JPEG measures {0}×{1}; 1×1 to {MAX_SIDE}×{MAX_SIDE} is allowed")]
    BadSize(u16, u16),
}

/// Width and height in pixels, as the first frame header (SOF marker) of ITU-T T.81 gives them.
pub(crate) fn size(data: &[u8]) -> Result<(u16, u16), JpegError> {
    match data {
        [] => return Err(JpegError::Empty),
        _ if data.len() > MAX_BYTES => return Err(JpegError::TooManyBytes(data.len())),
        [0xff, 0xd8, ..] => {}
        _ => return Err(JpegError::NotJpeg),
    }
    let mut rest = &data[2..];
    loop {
        // A marker may be preceded by any number of fill bytes.
        while let [0xff, 0xff, ..] = rest {
            rest = &rest[1..];
        }
        let [0xff, marker, length_high, length_low, ..] = *rest else {
            return Err(JpegError::NoFrameHeader);
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        match marker {
            // TEM and RSTn stand alone.
            0x01 | 0xd0..=0xd7 => {
                rest = &rest[2..];
                continue;
            }
            // All of SOF0 to SOF15 but DHT, JPG and DAC, which share their range.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, h1, h2, w1, w2, ..] = rest[4..] else {
                    return Err(JpegError::NoFrameHeader);
                };
                let (width, height) = (u16::from_be_bytes([w1, w2]), u16::from_be_bytes([h1, h2]));
                let allowed = 1..=MAX_SIDE;
                if !allowed.contains(&width) || !allowed.contains(&height) {
                    return Err(JpegError::BadSize(width, height));
                }
                return Ok((width, height));
            }
            // Picture data or the end, and no frame header before it.
            0xda | 0xd9 | 0xd8 | 0x00 => return Err(JpegError::NoFrameHeader),
            _ => {}
        }
        rest = match rest.get(2 + length..) {
            Some(next) if length >= 2 => next,
            _ => return Err(JpegError::NoFrameHeader),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut data = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc0, 0, 11, 8];
        data.extend(height.to_be_bytes());
        data.extend(width.to_be_bytes());
        data.extend([1, 1, 0x11, 0, 0xff, 0xda]);
        data
    }

    #[test]
    fn sizes_are_read_and_bounded() {
        assert_eq!(size(&jpeg(640, 480)), Ok((640, 480)));
        assert_eq!(size(&jpeg(4096, 4096)), Ok((4096, 4096)));
        assert_eq!(size(&jpeg(4097, 1)), Err(JpegError::BadSize(4097, 1)));
        assert_eq!(size(&jpeg(0, 1)), Err(JpegError::BadSize(0, 1)));
        assert_eq!(size(b""), Err(JpegError::Empty));
        assert_eq!(size(b"\x89PNG"), Err(JpegError::NotJpeg));
        let large = vec![0xff; MAX_BYTES + 1];
        assert_eq!(size(&large), Err(JpegError::TooManyBytes(large.len())));
    }

    #[test]
    fn a_jpeg_cut_or_flipped_anywhere_never_panics() {
        let whole = jpeg(640, 480);
        for end in 2..18 {
            assert_eq!(size(&whole[..end]), Err(JpegError::NoFrameHeader), "{end}");
        }
        for index in 0..whole.len() {
            for value in 0..=255 {
                let mut broken = whole.clone();
                broken[index] = value;
                drop(size(&broken));
            }
        }
    }
}
