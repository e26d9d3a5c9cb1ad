package tokens

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/bits"
)

// longestHeader is how much of an image is read to find its size. Only a JPEG may have this
// much before it.
const longestHeader = 256 << 10

// size is the size of an image in pixels; the zero value means unknown.
type size struct{ w, h int64 }

// pictureOf reads the size of an image from its first bytes.
func pictureOf(head []byte) size {
	var c image.Config
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("\x89PNG")):
		c, err = png.DecodeConfig(bytes.NewReader(head))
	case bytes.HasPrefix(head, []byte("\xff\xd8")):
		c, err = jpeg.DecodeConfig(bytes.NewReader(head))
	case bytes.HasPrefix(head, []byte("GIF8")):
		c, err = gifConfig(head)
	case len(head) >= 30 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return webpSize(head)
	}
	const most = 1 << 20 // no provider accepts this much
	if err != nil || c.Width <= 0 || c.Height <= 0 || c.Width > most || c.Height > most {
		return size{}
	}
	return size{int64(c.Width), int64(c.Height)}
}

// gifConfig reads the size of a GIF: that of its screen, or of its first frame where that goes
// beyond.
func gifConfig(b []byte) (image.Config, error) {
	c, err := gif.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return c, err
	}
	i := 13
	if b[10]&0x80 != 0 {
		i += 3 << (b[10]&7 + 1)
	}
	for i < len(b) && b[i] == 0x21 { // an extension, in blocks
		for i += 2; i < len(b) && b[i] != 0; {
			i += int(b[i]) + 1
		}
		i++
	}
	if i+9 > len(b) || b[i] != 0x2c {
		return c, io.ErrUnexpectedEOF
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(b[i+at:])) }
	c.Width, c.Height = max(c.Width, u16(1)+u16(5)), max(c.Height, u16(3)+u16(7))
	return c, nil
}

// webpSize reads the size from the first 30 bytes of a WebP file, in any of the three forms of
// RFC 9649.
func webpSize(b []byte) size {
	u16 := func(i int) int64 { return int64(binary.LittleEndian.Uint16(b[i:])) }
	u24 := func(i int) int64 { return u16(i) | int64(b[i+2])<<16 }
	switch {
	case string(b[12:16]) == "VP8X": // width-1 and height-1 in 24 bits each
		return size{u24(24) + 1, u24(27) + 1}
	case string(b[12:16]) == "VP8L" && b[20] == 0x2f: // the same, in 14 bits each
		v := int64(binary.LittleEndian.Uint32(b[21:]))
		return size{v&0x3fff + 1, v>>14&0x3fff + 1}
	case string(b[12:16]) == "VP8 " && string(b[23:26]) == "\x9d\x01\x2a": // 14 of 16 bits
		s := size{u16(26) & 0x3fff, u16(28) & 0x3fff}
		if s.w > 0 && s.h > 0 {
			return s
		}
	}
	return size{}
}

// The rules for images that Tokenizer.Images names.
const (
	imageTiles   = "openai-tile"
	imagePatches = "openai-patch"
)

// imageTokens returns the cost of an image. If its size is not known, it is the most that any
// size may cost, and not exact; likewise for models without a rule.
func imageTokens(s size, detail string, t Tokenizer) (n int64, exact bool) {
	switch t.Images {
	case imageTiles:
		return tiles(s, detail, t.imagePercent()), s != size{} || detail == "low"
	case imagePatches:
		return scale(patches(s, detail), t.imagePercent()), s != size{} && detail != "low" && detail != "original"
	}
	return scale(dearest(s), t.imagePercent()), false
}

// tiles is OpenAI's rule for gpt-4o and similar models: 85 tokens and, unless the detail is
// low, 170 for each square of 512 pixels, once the image has been scaled to fit 2048 by 2048
// with a short side of 768. Other models of the family scale both figures: gpt-4o-mini has 2833
// and 5667, o1 75 and 150, gpt-5 70 and 140. (OpenAI, guide "Images and vision", calculating
// costs.)
func tiles(s size, detail string, percent int64) int64 {
	base, tile := scale(85, percent), scale(170, percent)
	if detail == "low" {
		return base
	}
	if s == (size{}) {
		s = size{768, 2048}
	}
	if long := max(s.w, s.h); long > 2048 {
		s = size{ceilDiv(s.w*2048, long), ceilDiv(s.h*2048, long)}
	}
	if short := min(s.w, s.h); short > 768 {
		s = size{ceilDiv(s.w*768, short), ceilDiv(s.h*768, short)}
	}
	return base + ceilDiv(s.w, 512)*ceilDiv(s.h, 512)*tile
}

// patches is OpenAI's rule for gpt-4.1-mini and similar models: one token for each square of 32
// pixels. An image with more than 1536 of them is shrunk until it has no more, and then until
// one side is a whole number of squares. Models scale the result: gpt-4.1-mini by 1.62,
// gpt-4.1-nano by 2.46. (Same source.)
func patches(s size, detail string) int64 {
	most := int64(1536)
	if detail == "original" { // not shrunk to 1536
		most = 10_000
	}
	if s == (size{}) {
		return most
	}
	if n := ceilDiv(s.w, 32) * ceilDiv(s.h, 32); n <= most {
		return n
	}
	w, h := max(1, root(most*s.w/s.h)), max(1, root(most*s.h/s.w))
	if w*s.h < h*s.w { // rounding costs the width more
		h = ceilDiv(w*s.h, s.w)
	} else {
		w = ceilDiv(h*s.w, s.h)
	}
	return min(w*h, most)
}

// dearest is about the most that any model uses, apart from the inflated figures of
// gpt-4o-mini: squares of 16 pixels with an end marker for each row (Pixtral), no less than
// 1600 (Claude, for anything large) and no more than 16,384 (Qwen).
func dearest(s size) int64 {
	const least, most = 1600, 16_384
	if s == (size{}) {
		return most
	}
	rows, columns := ceilDiv(s.h, 16), ceilDiv(s.w, 16)
	return min(max(rows*(columns+1), least), most)
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// scale returns percent of n, rounded up, saturating.
func scale(n, percent int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(percent))
	lo, carry := bits.Add64(lo, 99, 0)
	if hi+carry >= 50 {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi+carry, lo, 100)
	return int64(q)
}

// root returns the integer square root of n, which is below 1<<40.
func root(n int64) int64 {
	r := int64(0)
	for bit := int64(1) << 20; bit > 0; bit >>= 1 {
		if (r+bit)*(r+bit) <= n {
			r += bit
		}
	}
	return r
}
