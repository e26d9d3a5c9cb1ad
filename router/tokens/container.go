package tokens

import (
	"bytes"
	"encoding/binary"
)

// oggSeconds bounds the length of an Ogg file by its packets: one of Opus lasts at most 120 ms,
// and what one of Vorbis has at most stands in its first page. If the file states a greater
// length, that is used.
func oggSeconds(b []byte) int64 {
	var packets, last int64
	packet, rate := 0.0, int64(0) // the longest packet, and the lowest rate, of all that it holds
	for i := 0; i+27 <= len(b); {
		if string(b[i:i+4]) != "OggS" {
			next := bytes.Index(b[i:], []byte("OggS"))
			if next < 0 {
				break
			}
			i += next
			continue
		}
		if granule := binary.LittleEndian.Uint64(b[i+6:]); granule < 1<<40 {
			last = max(last, int64(granule))
		}
		segments := int(b[i+26])
		size := 27 + segments
		for _, lace := range b[min(i+27, len(b)):min(i+27+segments, len(b))] {
			size += int(lace)
			if lace < 255 {
				packets++
			}
		}
		if first := b[i+5]&2 != 0; first || rate == 0 {
			longest, own := oggStream(b[min(i+27+segments, len(b)):])
			packet = max(packet, longest)
			if rate == 0 || own < rate {
				rate = own
			}
		}
		i += size
	}
	if rate == 0 {
		return 0
	}
	return max(int64(min(float64(packets)*packet, mostSeconds)), last/rate)
}

// oggStream returns how many seconds a packet of a stream may last, and the rate by which its
// length is counted, according to its first packet.
func oggStream(head []byte) (packet float64, rate int64) {
	switch {
	case bytes.HasPrefix(head, []byte("OpusHead")):
		return 0.12, 48_000
	case bytes.HasPrefix(head, []byte("\x01vorbis")) && len(head) > 28:
		if rate := int64(binary.LittleEndian.Uint32(head[12:])); rate > 0 {
			return float64(int64(1)<<(head[28]>>4)) / float64(rate), rate
		}
	}
	return 65_536.0 / 8000, 8000 // a frame of FLAC, at a low rate
}

// boxes yields what follows the names of the boxes of an MP4 file that have this name, wherever
// they are in it.
func boxes(b []byte, name string, box func(body []byte)) (found bool) {
	for {
		i := bytes.Index(b, []byte(name))
		if i < 0 {
			return found
		}
		found = true
		b = b[i+len(name):]
		box(b)
	}
}

// mp4Audio bounds the length of the sound in an MP4 file by the number of its samples, each of
// which is a frame of AAC or a packet of Opus, and by what it states. It returns false for other
// codecs, whose frames may be of any length.
func mp4Audio(b []byte) (int64, bool) {
	const frame = 2048.0 / 8000 // the longest one of AAC, at the lowest usual rate
	has := func(name string) bool { return boxes(b, name, func([]byte) {}) }
	if !has("mp4a") && !has("Opus") || has("alac") || has("fLaC") || has("samr") || has("sawb") || has("sqcp") {
		return 0, false
	}
	var samples int64
	count := func(at int) func([]byte) {
		return func(body []byte) { samples += word32(body, at) }
	}
	found := boxes(b, "stsz", count(8))
	found = boxes(b, "stz2", count(8)) || found
	found = boxes(b, "trun", count(4)) || found
	if !found {
		return 0, false
	}
	return max(int64(min(float64(samples)*frame, mostSeconds)), mp4Seconds(b)), true
}

// mp4Seconds returns the greatest length that an MP4 file states for itself or for what is in it.
func mp4Seconds(b []byte) (seconds int64) {
	scale := int64(0) // the lowest that there is
	for _, name := range []string{"mvhd", "mdhd"} {
		boxes(b, name, func(body []byte) {
			at, duration := 12, word32(body, 16)
			if len(body) > 0 && body[0] == 1 {
				at, duration = 20, word32(body, 24)<<32|word32(body, 28)
			}
			if own := word32(body, at); own > 0 {
				if scale == 0 || own < scale {
					scale = own
				}
				if duration != 1<<32-1 {
					seconds = max(seconds, duration/own)
				}
			}
		})
	}
	left := int64(1 << 20) // entries, of all tables
	boxes(b, "stts", func(body []byte) {
		entries := min(word32(body, 4), int64(len(body))/8)
		if left -= entries; left < 0 {
			seconds = mostSeconds
			return
		}
		var ticks float64
		for i := range entries {
			ticks += float64(word32(body, int(8+8*i))) * float64(word32(body, int(12+8*i)))
		}
		seconds = max(seconds, int64(min(ticks/float64(max(scale, 1)), mostSeconds)))
	})
	return max(min(seconds, mostSeconds), 0)
}

// word32 reads 32 bits; 0 if they are not there.
func word32(b []byte, at int) int64 {
	if at+4 > len(b) {
		return 0
	}
	return int64(binary.BigEndian.Uint32(b[at:]))
}
