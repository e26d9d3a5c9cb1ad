package tokens

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// flacSeconds adds up the frames, each according to its own header, and uses the file's total if
// that is higher.
func flacSeconds(b []byte) (int64, bool) {
	if len(b) < 42 {
		return 0, false
	}
	info := binary.BigEndian.Uint64(b[18:])
	rate, told := int64(info>>44), int64(info&(1<<36-1))
	if rate == 0 {
		return 0, false
	}
	var seconds float64
	for rest := b[42:]; ; {
		i := bytes.IndexByte(rest, 0xff)
		if i < 0 || i+2 >= len(rest) {
			break
		}
		rest = rest[i:]
		if samples, own := flacFrame(rest); samples > 0 {
			if own == 0 {
				own = rate
			}
			seconds += float64(samples) / float64(own)
		}
		rest = rest[1:]
	}
	return max(int64(min(seconds, mostSeconds)), told/rate), true
}

// flacFrame returns how many samples a frame has, and its rate if it states one: 0 if there is
// no frame (RFC 9639, section 9.1). Sound that happens to look like a frame seldom has the right
// checksum.
func flacFrame(b []byte) (samples, rate int64) {
	const longest = 16
	if len(b) < 6 || b[1]&0xfe != 0xf8 || b[2]>>4 == 0 || b[2]&15 == 15 || b[3]>>4 > 10 || b[3]&1 != 0 {
		return 0, 0
	}
	header := b[:min(len(b), longest)]
	i := 4 + codedLength(header[4])
	take := func(n int) (v int64) {
		for range n {
			if i < len(header) {
				v = v<<8 | int64(header[i])
			}
			i++
		}
		return v
	}
	switch code := b[2] >> 4; {
	case code == 1:
		samples = 192
	case code <= 5:
		samples = 576 << (code - 2)
	case code <= 7:
		samples = take(int(code)-5) + 1
	default:
		samples = 256 << (code - 8)
	}
	rates := [...]int64{0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000}
	switch code := b[2] & 15; code {
	case 12:
		rate = take(1) * 1000
	case 13:
		rate = take(2)
	case 14:
		rate = take(2) * 10
	default:
		rate = rates[code]
	}
	if i >= len(header) || crc8(header[:i]) != header[i] {
		return 0, 0
	}
	return samples, rate
}

// codedLength returns how many bytes the number of a frame has, by its first byte.
func codedLength(first byte) int {
	n := 0
	for bit := byte(utf8.RuneSelf); first&bit != 0; bit >>= 1 {
		n++
	}
	return max(n, 1)
}

// crc8 is the checksum of the header of a frame.
func crc8(b []byte) (sum byte) {
	for _, c := range b {
		sum ^= c
		for range 8 {
			top := sum & 0x80
			if sum <<= 1; top != 0 {
				sum ^= 7
			}
		}
	}
	return sum
}
