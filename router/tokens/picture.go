package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
)

// longestHeader is how much of a picture is read to find its size. Only a JPEG
// may have as much before it.
const longestHeader = 256 << 10

// size is that of a picture in pixels; the zero size is not known.
type size struct{ w, h int64 }

// pictureOf reads the size of a picture from the first bytes of its base64.
func pictureOf(encoded io.Reader) size {
	r := io.LimitReader(base64.NewDecoder(base64.StdEncoding, encoded), longestHeader)
	magic := make([]byte, 30)
	n, _ := io.ReadFull(r, magic)
	magic = magic[:n]
	return pictureSize(magic, io.MultiReader(bytes.NewReader(magic), r))
}

// pictureSize reads the size of a picture from r, whose first bytes are magic.
func pictureSize(magic []byte, r io.Reader) size {
	var c image.Config
	var err error
	switch {
	case bytes.HasPrefix(magic, []byte("\x89PNG")):
		c, err = png.DecodeConfig(r)
	case bytes.HasPrefix(magic, []byte("\xff\xd8")):
		c, err = jpeg.DecodeConfig(r)
	case bytes.HasPrefix(magic, []byte("GIF8")):
		c, err = gif.DecodeConfig(r)
	case len(magic) == 30 && string(magic[:4]) == "RIFF" && string(magic[8:12]) == "WEBP":
		return webpSize(magic)
	}
	const most = 1 << 20 // no provider takes as much
	if err != nil || c.Width <= 0 || c.Height <= 0 || c.Width > most || c.Height > most {
		return size{}
	}
	return size{int64(c.Width), int64(c.Height)}
}

// webpSize reads the size from the first 30 bytes of a WebP file, in the three
// forms of RFC 9649.
func webpSize(b []byte) size {
	u16 := func(i int) int64 { return int64(binary.LittleEndian.Uint16(b[i:])) }
	u24 := func(i int) int64 { return u16(i) | int64(b[i+2])<<16 }
	switch {
	case string(b[12:16]) == "VP8X": // width-1 and height-1 in 24 bits each
		return size{u24(24) + 1, u24(27) + 1}
	case string(b[12:16]) == "VP8L" && b[20] == 0x2f: // the same in 14 bits each
		v := int64(binary.LittleEndian.Uint32(b[21:]))
		return size{v&0x3fff + 1, v>>14&0x3fff + 1}
	case string(b[12:16]) == "VP8 " && string(b[23:26]) == "\x9d\x01\x2a": // 14 bits of 16
		s := size{u16(26) & 0x3fff, u16(28) & 0x3fff}
		if s.w > 0 && s.h > 0 {
			return s
		}
	}
	return size{}
}
