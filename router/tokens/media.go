package tokens

import (
	"bytes"
	"encoding/base64"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Figures for what cannot be known before the call.
const (
	unknownFile  = 128 << 10 // tokens of a file that is not in the request
	leastFile    = 1200      // tokens of a page that consists of an image
	longestID    = 256       // bytes of a file's id; anything longer is the file itself
	perFrame     = 300       // tokens per second of video: 258 for the image at Google, plus the sound
	videoSeconds = 3600      // of a video that cannot be inspected; Google accepts an hour
)

// mediaType is the kind of data that some bytes contain.
type mediaType int

const (
	unknownMedia mediaType = iota
	pictureMedia
	pdfMedia
	audioMedia
	videoMedia
	textMedia
)

// media returns the cost of a piece that is not text; false for text. Data in the request is
// identified by its own bytes, whatever type is declared. Larger pieces are inspected only
// once: a conversation resends them with every turn.
func (c *Counter) media(p chat.Piece, t Tokenizer) (v tally, ok bool) {
	switch p.Kind {
	case chat.PieceImage, chat.PieceAudio, chat.PieceFile, chat.PieceMedia:
	case chat.PieceOther, chat.PieceText, chat.PieceToolCall:
		return tally{}, false
	}
	const small = 1 << 10
	if len(p.Text) < small {
		return mediaTokens(p, t), true
	}
	d := c.memo.digest("media "+p.Type+" "+p.Detail, t.alike(), p.Text)
	if v, ok = c.memo.get(d); !ok {
		v = mediaTokens(p, t)
		c.memo.put(d, v)
	}
	return v, true
}

// imageTally returns the tally of an image of that size; the zero size means unknown.
func imageTally(s size, detail string, t Tokenizer) tally {
	n, exact := imageTokens(s, detail, t)
	if exact {
		return tally{fixed: n}
	}
	return guessed(n)
}

// guessed returns a tally whose true value may be much less than n.
func guessed(n int64) tally { return tally{fixed: n, loose: n - n/4, inexact: true} }

// mediaTokens inspects a piece.
func mediaTokens(p chat.Piece, t Tokenizer) tally {
	declared, encoded, inside := content(p)
	if !inside {
		return elsewhere(p, declared, t)
	}
	head := decoded(encoded, 2048)
	kind := sniff(head, declared)
	if p.Kind == chat.PieceAudio {
		kind = audioMedia
	}
	switch kind {
	case pictureMedia:
		return imageTally(sizeOf(encoded), p.Detail, t)
	case audioMedia:
		return guessed(audioTokens(decoded(encoded, -1), declared))
	case pdfMedia:
		return guessed(pdfTokens(decoded(encoded, -1)))
	case videoMedia:
		return guessed(videoSeconds * perFrame)
	case textMedia:
		return guessed(int64(len(encoded)) * 3 / 4) // one token per byte
	case unknownMedia:
	}
	if p.Kind == chat.PieceImage {
		return imageTally(size{}, p.Detail, t)
	}
	return guessed(max(int64(len(encoded)), leastFile))
}

// elsewhere returns the cost of a piece that is not in the request: as much as is documented
// for its kind, since it cannot be inspected.
func elsewhere(p chat.Piece, declared string, t Tokenizer) tally {
	if p.Kind == chat.PieceImage || strings.HasPrefix(declared, "image/") || p.Type == "image" || p.Type == "input_image" {
		return imageTally(size{}, p.Detail, t)
	}
	if p.Type == "video_url" || p.Type == "video" || strings.HasPrefix(declared, "video/") {
		return guessed(videoSeconds * perFrame)
	}
	return guessed(unknownFile)
}

// content splits a piece into its declared media type and its base64. It returns false if the
// piece only refers to the data.
func content(p chat.Piece) (declared string, encoded []byte, inside bool) {
	text := p.Text.Bytes()
	if p.DataURL() {
		head, data, _ := bytes.Cut(text, []byte(","))
		kind, _, _ := strings.Cut(strings.ToLower(string(head[len("data:"):])), ";")
		return kind, data, true
	}
	declared = strings.ToLower(p.Detail)
	if p.Kind == chat.PieceImage || len(text) <= longestID && p.Kind != chat.PieceAudio ||
		bytes.Contains(text[:min(len(text), 16)], []byte("://")) {
		return declared, nil, false
	}
	return declared, text, true
}

// decoded returns the first n bytes that the base64 stands for, or all of them; invalid base64
// ends it.
func decoded(encoded []byte, n int) []byte {
	if n >= 0 {
		encoded = encoded[:min(len(encoded), (n+2)/3*4)]
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	enc := base64.StdEncoding
	if bytes.ContainsAny(encoded[:min(len(encoded), 4096)], "-_") {
		enc = base64.URLEncoding
	}
	read, _ := enc.Decode(out, encoded)
	return out[:read]
}

// sizeOf returns the size of an image.
func sizeOf(encoded []byte) size {
	return pictureOf(bytes.NewReader(encoded))
}

// sniff identifies data by its first bytes, or else by its declared type.
func sniff(head []byte, declared string) mediaType {
	at := func(i int, magic string) bool {
		return len(head) >= i+len(magic) && string(head[i:i+len(magic)]) == magic
	}
	switch {
	case at(0, "\x89PNG"), at(0, "\xff\xd8"), at(0, "GIF8"), at(0, "RIFF") && at(8, "WEBP"), at(0, "BM"), at(0, "II*\x00"),
		at(0, "MM\x00*"),
		at(4, "ftypheic"), at(4, "ftypheif"), at(4, "ftypavif"), at(4, "ftypmif1"):
		return pictureMedia
	case bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF")):
		return pdfMedia
	case at(0, "RIFF") && at(8, "WAVE"), at(0, "fLaC"), at(0, "OggS"), at(0, "ID3"), at(4, "ftypM4A"), at(0, "FORM"):
		return audioMedia
	}
	switch kind, _, _ := strings.Cut(declared, "/"); {
	case kind == "audio", kind == "wav", kind == "mp3", kind == "flac", kind == "pcm16", kind == "opus", kind == "aac", kind == "m4a",
		kind == "ogg":
		return audioMedia
	case kind == "video", kind == "mp4", kind == "mov", kind == "webm", kind == "mkv", at(4, "ftyp"), at(0, "\x1aE\xdf\xa3"):
		return videoMedia
	case kind == "image":
		return unknownMedia
	case kind == "text", declared == "application/json":
		return textMedia
	}
	return unknownMedia
}

// foreign returns how many tokens text may have, in an unknown vocabulary, beyond a scaled
// count of its words: older vocabularies write in single bytes much that o200k_base has whole.
// These are letters outside ASCII, digits, consecutive blanks, symbols, and a letter that
// occurs a third time in a row. No tokenizer makes more than one token of a byte, whether of
// the original or of the normalised text.
func foreign(text []byte) (n int64) {
	last, before := byte(' '), byte(' ')
	n = expands(text)
	var pace jsonraw.Pace
	for i, c := range text {
		pace.At(i)
		switch {
		case c == last && c == before:
			n++
		case 'a' <= c && c <= 'z':
		case 'A' <= c && c <= 'Z':
			if 'A' <= last && last <= 'Z' { // words in capitals are rare in any vocabulary
				n++
			}
		case c == ' ' && last != ' ':
		default:
			n++
		}
		last, before = c, last
	}
	return n
}
