package tokens

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

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

// mediaTokens inspects a piece. Data that may be taken for different things, by its own bytes, by
// its declared type and by its name, costs as much as the most expensive of them.
func mediaTokens(p chat.Piece, t Tokenizer) tally {
	declared, encoded, inside := content(p)
	if !inside {
		return elsewhere(p, declared, t)
	}
	told := kindOf(declared)
	if p.Kind == chat.PieceAudio && told != videoMedia {
		told = audioMedia
	}
	head, _ := decoded(encoded[:min(len(encoded), longestMagic)])
	own := sniff(head, told)
	v := tokensAs(own, p, declared, encoded, t)
	if told == unknownMedia && own != unknownMedia && declared != "" { // who does not know the name either may read it as text
		if file, _ := decoded(encoded); utf8.Valid(file) {
			told = textMedia
		}
	}
	if told != own && told != unknownMedia && (own != pictureMedia || p.Kind != chat.PieceImage) {
		if other := tokensAs(told, p, declared, encoded, t); other.fixed > v.fixed {
			return other
		}
	}
	return v
}

// longestMagic is how much base64 is decoded to find out what it is.
const longestMagic = 2048

// tokensAs returns the cost of a piece that is taken for a kind of media. If its base64 is not
// valid to its end, others may find anything in it.
func tokensAs(kind mediaType, p chat.Piece, declared string, encoded []byte, t Tokenizer) tally {
	switch kind {
	case pictureMedia:
		return imageTally(sizeOf(encoded), p.Detail, t)
	case audioMedia:
		if file, whole := decoded(encoded); whole {
			return guessed(audioTokens(file, declared))
		}
		return guessed(mostSeconds * perSecond)
	case pdfMedia:
		if file, whole := decoded(encoded); whole {
			return guessed(pdfTokens(file))
		}
		return guessed(mostPages * (pagePicture + pageText))
	case videoMedia:
		if file, whole := decoded(encoded); whole {
			return guessed(videoTokens(file))
		}
		return guessed(videoSeconds * perFrame)
	case textMedia:
		return guessed(int64(base64.StdEncoding.DecodedLen(len(encoded)))) // one token per byte
	case unknownMedia:
	}
	if p.Kind == chat.PieceImage {
		return imageTally(size{}, p.Detail, t)
	}
	return guessed(max(int64(len(encoded)), leastFile))
}

// videoTokens bounds the cost of a video by its length, where the format says it in every place
// that a player may look at; and otherwise by the longest that a provider accepts.
func videoTokens(file []byte) int64 {
	seconds := int64(videoSeconds)
	pieces := boxes(file, "moof", func([]byte) {}) || boxes(file, "elst", func([]byte) {}) || boxes(file, "ctts", func([]byte) {})
	if len(file) > 8 && string(file[4:8]) == "ftyp" && !pieces {
		if told := mp4Seconds(file); told > 0 {
			seconds = min(told+1, videoSeconds)
		}
	}
	return seconds * perFrame
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

// content splits a piece into its declared media type, or the ending of its name, and its
// base64. It returns false if the piece only refers to the data.
func content(p chat.Piece) (declared string, encoded []byte, inside bool) {
	text := p.Text.Bytes()
	if p.DataURL() {
		head, data, _ := bytes.Cut(text, []byte(","))
		kind, coding, _ := strings.Cut(strings.ToLower(string(head[len("data:"):])), ";")
		if kind = strings.TrimSpace(kind); !strings.HasSuffix(";"+coding, ";base64") { // it stands there as it is
			kind = cmp.Or(kind, "text/plain")
			if plain, err := url.PathUnescape(string(data)); err == nil {
				data = []byte(plain)
			}
			data = base64.StdEncoding.AppendEncode(nil, data)
		}
		return kind, data, true
	}
	declared = strings.ToLower(p.Detail)
	if p.Kind == chat.PieceFile {
		declared = strings.ToLower(strings.TrimPrefix(path.Ext(p.Name.String()), "."))
	}
	if p.Kind == chat.PieceImage || len(text) <= longestID && p.Kind != chat.PieceAudio ||
		bytes.Contains(text[:min(len(text), 16)], []byte("://")) {
		return declared, nil, false
	}
	return declared, text, true
}

// decoded returns what base64 stands for, in either alphabet, and whether it is valid to its
// end.
func decoded(encoded []byte) (file []byte, whole bool) {
	if bytes.IndexByte(encoded, '%') >= 0 {
		if text, err := url.PathUnescape(string(encoded)); err == nil {
			encoded = []byte(text)
		}
	}
	if bytes.ContainsAny(encoded, "-_ \t") {
		encoded = bytes.Map(func(r rune) rune {
			switch r {
			case '-':
				return '+'
			case '_':
				return '/'
			case ' ', '\t':
				return -1
			}
			return r
		}, encoded)
	}
	encoded = bytes.TrimRight(encoded, "=\r\n")
	file = make([]byte, base64.RawStdEncoding.DecodedLen(len(encoded)))
	n, err := base64.RawStdEncoding.Decode(file, encoded)
	return file[:n], err == nil
}

// sizeOf returns the size of an image.
func sizeOf(encoded []byte) size {
	head, _ := decoded(encoded[:min(len(encoded), base64.StdEncoding.EncodedLen(longestHeader))])
	return pictureOf(head)
}

// sniff identifies data by its first bytes. What holds sound or moving pictures is taken for
// what it is told to be; otherwise data is unknown.
func sniff(head []byte, told mediaType) mediaType {
	at := func(i int, magic string) bool {
		return len(head) >= i+len(magic) && string(head[i:i+len(magic)]) == magic
	}
	switch {
	case at(0, "\x89PNG"), at(0, "\xff\xd8"), at(0, "GIF8"), at(0, "RIFF") && at(8, "WEBP"), at(0, "BM"), at(0, "II*\x00"),
		at(0, "MM\x00*"), at(4, "ftyphei"), at(4, "ftyphev"), at(4, "ftypavi"), at(4, "ftypmif1"), at(4, "ftypmsf1"):
		return pictureMedia
	case bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF")):
		return pdfMedia
	case at(0, "RIFF") && at(8, "WAVE"), at(0, "fLaC"), at(0, "ID3"), at(4, "ftypM4A"), at(0, "FORM"):
		return audioMedia
	case at(0, "OggS") && told != videoMedia:
		return audioMedia
	case (at(4, "ftyp") || at(0, "\x1aE\xdf\xa3")) && told != audioMedia:
		return videoMedia
	case told == pictureMedia, told == pdfMedia:
		return unknownMedia
	}
	return told
}

// kindOf returns the kind of media by a media type, the name of a format, or the ending of a
// file's name.
func kindOf(declared string) mediaType {
	kind, format, _ := strings.Cut(declared, "/")
	switch kind {
	case "audio", "wav", "mp3", "flac", "pcm16", "opus", "aac", "m4a", "ogg", "aiff":
		return audioMedia
	case "video", "mp4", "mov", "webm", "mkv", "mpeg", "mpg", "flv", "wmv", "3gp", "three_gp":
		return videoMedia
	case "image", "png", "jpg", "jpeg", "gif", "webp", "heic", "heif", "avif", "bmp":
		return pictureMedia
	case "text", "txt", "md", "csv", "html", "htm", "json", "xml":
		return textMedia
	case "pdf":
		return pdfMedia
	}
	switch format {
	case "pdf":
		return pdfMedia
	case "json", "xml":
		return textMedia
	case "ogg":
		return audioMedia
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
