package tokens

import (
	"bytes"
	"encoding/binary"
	"math"
)

// The cost of audio, in tokens per second: 10 (OpenAI) to 32 (Google).
const (
	perSecond   = 32
	leastAudio  = 400    // for Voxtral, for half a minute of silence
	mostSeconds = 34_200 // that a provider accepts: Google, nine and a half hours
	leastRate   = 50     // bytes per second of silence in AAC or AMR, at their lowest rate
	leastMPEG   = 1000   // likewise, in MP3: 8 kbit/s
)

// audioTokens bounds the cost of audio by its length.
func audioTokens(sound []byte, declared string) int64 {
	seconds := seconds(withoutTag(sound))
	if declared == "pcm16" {
		seconds = max(seconds, int64(len(sound))/16_000) // 8,000 samples per second, the lowest usual rate
	}
	return max(min(seconds+1, mostSeconds)*perSecond, leastAudio)
}

// withoutTag returns a recording without the ID3 tags that may stand before any format.
func withoutTag(sound []byte) []byte {
	for len(sound) >= 10 && string(sound[:3]) == "ID3" {
		size := int(sound[6]&0x7f)<<21 | int(sound[7]&0x7f)<<14 | int(sound[8]&0x7f)<<7 | int(sound[9]&0x7f)
		sound = sound[min(10+size, len(sound)):]
	}
	return sound
}

// seconds bounds the length of a recording by its samples, frames or packets, whatever the file
// says of its length. If the format is not known, it assumes the lowest usual rate; if a length
// cannot be known, as much as any provider accepts.
func seconds(b []byte) int64 {
	n, known := int64(0), true
	switch {
	case bytes.HasPrefix(b, []byte("RIFF")):
		n, known = wavSeconds(b)
	case bytes.HasPrefix(b, []byte("FORM")):
		n, known = aiffSeconds(b)
	case bytes.HasPrefix(b, []byte("fLaC")):
		n, known = flacSeconds(b)
	case bytes.HasPrefix(b, []byte("OggS")):
		n = oggSeconds(b)
	case len(b) > 8 && string(b[4:8]) == "ftyp":
		n, known = mp4Audio(b)
	case len(b) > 1 && b[0] == 0xff && b[1]&0xe0 == 0xe0:
		n = frameSeconds(b)
	default:
		n = int64(len(b)) / leastRate
	}
	if !known {
		return mostSeconds
	}
	return n
}

// chunks yields the chunks of a RIFF or an AIFF file that come before its data.
func chunks(b []byte, order binary.ByteOrder, data string, chunk func(name string, body []byte)) {
	for i := 12; i+8 <= len(b); {
		name, size := string(b[i:i+4]), int64(order.Uint32(b[i+4:]))
		if name == data {
			return
		}
		end := min(int64(i)+8+size, int64(len(b)))
		chunk(name, b[i+8:end])
		i = int(end + size&1)
	}
}

// wavSeconds computes the length from the bytes per sample and the samples per second. It
// returns false for compressed data. If there are several descriptions, the one that makes the
// file longest counts.
func wavSeconds(b []byte) (seconds int64, known bool) {
	known = true
	some := false
	chunks(b, binary.LittleEndian, "data", func(name string, f []byte) {
		if name != "fmt " {
			return
		}
		some = true
		if len(f) < 16 {
			known = false
			return
		}
		format, channels := binary.LittleEndian.Uint16(f), int64(binary.LittleEndian.Uint16(f[2:]))
		rate, bits := int64(binary.LittleEndian.Uint32(f[4:])), int64(binary.LittleEndian.Uint16(f[14:]))
		if format == 0xfffe && len(f) >= 26 { // the format itself is in an extension
			format = binary.LittleEndian.Uint16(f[24:])
		}
		if format != 1 && format != 3 && format != 6 && format != 7 || rate == 0 {
			known = false
			return
		}
		block := max(channels*bits/8, 1)
		if told := int64(binary.LittleEndian.Uint16(f[12:])); told > 0 {
			block = min(block, told)
		}
		seconds = max(seconds, int64(len(b))/block/rate)
	})
	return seconds, known && some
}

// aiffSeconds does the same for AIFF, whose rate is an 80-bit float.
func aiffSeconds(b []byte) (seconds int64, known bool) {
	known = true
	some := false
	chunks(b, binary.BigEndian, "SSND", func(name string, f []byte) {
		if name != "COMM" {
			return
		}
		some = true
		if len(f) < 18 {
			known = false
			return
		}
		channels, bits := int64(binary.BigEndian.Uint16(f)), int64(binary.BigEndian.Uint16(f[6:]))
		exponent, mantissa := int(binary.BigEndian.Uint16(f[8:])), binary.BigEndian.Uint64(f[10:])
		rate := math.Ldexp(float64(mantissa), exponent-16_383-63)
		plain := len(f) < 22
		if !plain {
			switch string(f[18:22]) {
			case "NONE", "sowt", "raw ", "twos", "fl32", "FL32", "fl64", "FL64", "ulaw", "ULAW", "alaw", "ALAW":
				plain = true
			}
		}
		if !plain || !(rate >= 1) {
			known = false
			return
		}
		seconds = max(seconds, int64(float64(int64(len(b))/max(channels*bits/8, 1))/rate))
	})
	return seconds, known && some
}

// frameSeconds adds up the frames of an MP3 or a raw AAC file, each according to its own header.
// What comes after something that is not a frame is assumed to have the lowest rate.
func frameSeconds(b []byte) int64 {
	var seconds float64
	lowest := int64(leastMPEG)
	for len(b) > 7 && b[0] == 0xff && b[1]&0xe0 == 0xe0 {
		read := mpegFrame
		if b[1]&0xf6 == 0xf0 {
			read, lowest = aacFrame, leastRate
		}
		size, lasts := read(b)
		if size == 0 {
			lowest = leastRate // a free format, or none
			break
		}
		seconds += lasts
		b = b[min(size, len(b)):]
	}
	return int64(min(seconds, mostSeconds)) + int64(len(b))/lowest
}

// aacFrame returns the size of a frame of AAC (ISO 13818-7) and how long it lasts; 0 if it is
// none.
func aacFrame(b []byte) (size int, seconds float64) {
	rates := [16]float64{96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350}
	size = int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
	rate := rates[b[2]>>2&15]
	if size < 7 || rate == 0 {
		return 0, 0
	}
	return size, 1024 * float64(b[6]&3+1) / rate
}

// mpegFrame does the same for a frame of MPEG audio (ISO 11172-3 and 13818-3).
func mpegFrame(b []byte) (size int, seconds float64) {
	version, layer := b[1]>>3&3, 4-b[1]>>1&3 // version 3 is MPEG 1
	index, rates := b[2]>>4, [...]int{44_100, 48_000, 32_000, 0}
	rate := rates[b[2]>>2&3]
	if version == 1 || layer == 4 || index == 0 || index == 15 || rate == 0 {
		return 0, 0
	}
	kbits := [...][15]int{
		{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	}
	table, samples := int(layer)-1, 1152
	if version != 3 {
		table, rate = min(int(layer)+2, 4), rate/2
		if version == 0 {
			rate /= 2
		}
		if layer == 3 {
			samples = 576
		}
	}
	if layer == 1 {
		samples = 384
	}
	slot := 1 // the unit of sizes, in bytes
	if layer == 1 {
		slot = 4
	}
	size = (samples/8/slot*kbits[table][index]*1000/rate + int(b[2]>>1&1)) * slot
	return size, float64(samples) / float64(rate)
}
