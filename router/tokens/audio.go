package tokens

import (
	"bytes"
	"encoding/binary"
)

// The cost of audio, in tokens per second: 10 (OpenAI) to 32 (Google).
const (
	perSecond   = 32
	leastAudio  = 400    // for Voxtral, for half a minute of silence
	mostSeconds = 34_200 // that a provider accepts: Google, nine and a half hours
)

// audioTokens bounds the cost of audio by its length: by the samples of a WAV, the frames of a
// FLAC and the packets of an Ogg file, whatever the header says. For other formats it assumes
// the lowest rate that the format allows.
func audioTokens(sound []byte, declared string) int64 {
	seconds, known := int64(0), false
	switch {
	case bytes.HasPrefix(sound, []byte("RIFF")):
		seconds, known = wavSeconds(sound)
	case bytes.HasPrefix(sound, []byte("fLaC")):
		seconds, known = flacSeconds(sound)
	case bytes.HasPrefix(sound, []byte("OggS")):
		seconds, known = oggSeconds(sound), true
	case declared == "pcm16":
		seconds, known = int64(len(sound))/16_000, true // 8,000 samples per second, the lowest usual rate
	default:
		seconds, known = int64(len(sound))/50, true // silence in AAC or AMR, at their lowest rate
		if bytes.HasPrefix(sound, []byte("ID3")) || len(sound) > 1 && sound[0] == 0xff && sound[1]&0xe0 == 0xe0 {
			seconds = int64(len(sound)) / 1000 // MP3 has at least 8 kbit/s
		}
	}
	if !known {
		seconds = mostSeconds
	}
	return max(min(seconds+1, mostSeconds)*perSecond, leastAudio)
}

// wavSeconds computes the length from the bytes per sample and the samples per second. It
// returns false for compressed data.
func wavSeconds(b []byte) (int64, bool) {
	i := bytes.Index(b[:min(len(b), 4096)], []byte("fmt "))
	if i < 0 || len(b) < i+24 {
		return 0, false
	}
	f := b[i+8:]
	format, channels := binary.LittleEndian.Uint16(f), int64(binary.LittleEndian.Uint16(f[2:]))
	rate, bits := int64(binary.LittleEndian.Uint32(f[4:])), int64(binary.LittleEndian.Uint16(f[14:]))
	if format != 1 && format != 3 && format != 0xfffe && format != 6 && format != 7 || rate == 0 {
		return 0, false
	}
	block := max(channels*bits/8, 1)
	if told := int64(binary.LittleEndian.Uint16(f[12:])); told > 0 {
		block = min(block, told)
	}
	return int64(len(b)) / block / rate, true
}

// flacSeconds adds up the samples in the frames, each according to its own header, and uses the
// file's total if that is higher. Audio data that happens to look like a frame is counted as
// one.
func flacSeconds(b []byte) (int64, bool) {
	if len(b) < 42 {
		return 0, false
	}
	info := binary.BigEndian.Uint64(b[18:])
	rate, told := int64(info>>44), int64(info&(1<<36-1))
	if rate == 0 {
		return 0, false
	}
	var samples int64
	for rest := b[42:]; ; {
		i := bytes.IndexByte(rest, 0xff)
		if i < 0 || i+2 >= len(rest) {
			break
		}
		if rest[i+1]&0xfe == 0xf8 {
			samples += flacBlock(rest[i+2] >> 4)
		}
		rest = rest[i+1:]
	}
	return max(samples, told) / rate, true
}

// flacBlock returns how many samples a frame has, by its code.
func flacBlock(code byte) int64 {
	switch {
	case code == 1:
		return 192
	case code >= 8:
		return 256 << (code - 8)
	case code >= 2 && code <= 5:
		return 576 << (code - 2)
	}
	return 65_536
}

// oggSeconds counts packets: a packet of Opus lasts at most 120 ms, one of Vorbis or FLAC has
// at most 8192 samples. If the file states a greater length, that is used.
func oggSeconds(b []byte) int64 {
	opus := bytes.Contains(b[:min(len(b), 512)], []byte("OpusHead"))
	rate := int64(48_000)
	if !opus {
		rate = 8000
	}
	var packets, last int64
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
		i += size
	}
	if opus {
		return max(packets*120/1000, last/rate)
	}
	return max(packets*8192/rate, last/rate)
}
