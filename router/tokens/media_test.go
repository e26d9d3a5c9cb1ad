package tokens

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/chat"
)

// document returns a PDF with the given objects, numbered from 1.
func document(objects ...string) []byte {
	var b strings.Builder
	b.WriteString("%PDF-1.7\n")
	for i, o := range objects {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	b.WriteString("trailer<</Root 1 0 R>>\n%%EOF")
	return []byte(b.String())
}

func streamOf(dict, content string) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dict, len(content), content)
}

func deflated(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

const catalog = "<</Type/Catalog/Pages 2 0 R>>"

// The cost of a PDF depends on its pages and their text, not on its bytes; and no way of
// packing pages hides them.
func TestPDFIsBoundedByItsPages(t *testing.T) {
	kids := func(n int, ref string) string { return "[" + strings.Repeat(ref+" ", n) + "]" }
	inside := "3 0 4 44 <</Type/Pages/Kids[4 0 R 4 0 R 4 0 R]/Count 3>> <</Type/Page/Parent 3 0 R>>"
	tests := map[string]struct {
		file        []byte
		least, most int64
	}{
		"one page that is a scan": {document(catalog, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type /Page/Parent 2 0 R/Contents 4 0 R>>",
			streamOf("/Subtype/Image", strings.Repeat("\x00\xff (scan) Tj", 90_000))), 1500, 3000},
		"one page of text": {document(catalog, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Contents 4 0 R>>",
			streamOf("", "BT ("+strings.Repeat("word ", 2000)+") Tj ET")), 10_000, 13_000},
		"text that is packed": {
			document(catalog, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Contents 4 0 R>>",
				streamOf("/Filter/FlateDecode", deflated("BT [("+strings.Repeat("a", 700)+") 3 <"+strings.Repeat("41", 500)+">] TJ ET"))),
			1200, 4000,
		},
		"a thousand pages that are one": {
			document(catalog, "<</Type/Pages/Kids"+kids(1000, "3 0 R")+"/Count 1000>>", "<</Type/Page>>"),
			300_000, 2_000_000,
		},
		"the same, and lies of one": {
			document(catalog, "<</Type/Pages/Kids"+kids(1000, "3 0 R")+"/Count 1>>", "<</Type/Page>>"),
			300_000, 2_000_000,
		},
		"trees of trees": {document(catalog, "<</Kids"+kids(30, "3 0 R")+">>", "<</Kids"+kids(30, "4 0 R")+">>",
			"<</Type/Page>>"), 300_000, 2_000_000},
		"a circle": {document(catalog, "<</Kids[3 0 R]>>", "<</Kids[2 0 R]>>"), 300_000, 2_000_000},
		"pages in an object stream": {
			document(catalog, streamOf("/Type/ObjStm/N 2/First 9/Filter/FlateDecode", deflated(inside))),
			4800, 6000,
		},
		"an object stream that is locked": {
			document(catalog, streamOf("/Type/ObjStm/N 2/First 9/Filter/LZWDecode", "xx")), 300_000,
			5_000_000,
		},
		"a bomb": {document(catalog, "<</Kids[3 0 R]>>", "<</Type/Page>>",
			streamOf("/Type/ObjStm/N 1/First 4/Filter/FlateDecode", deflated(strings.Repeat("0 ", 1<<22)))), 300_000, 5_000_000},
		"encrypted": {
			append(document(catalog, "<</Kids[3 0 R]>>", "<</Type/Page>>"), "trailer<</Encrypt 9 0 R>>"...),
			300_000, 5_000_000,
		},
		"text on a shared form": {document(catalog, "<</Kids"+kids(100, "3 0 R")+">>", "<</Type/Page>>",
			streamOf("/Subtype/Form", "BT ("+strings.Repeat("x", 5000)+") Tj ET")), 660_000, 700_000},
		"a version that was more": {append(document(catalog, "<</Kids"+kids(50, "3 0 R")+">>", "<</Type/Page>>"),
			"2 0 obj <</Kids[3 0 R]>> endobj"...), 80_000, 90_000},
		"nothing of a PDF": {[]byte("%PDF-1.7\n%%EOF"), leastFile, leastFile},
	}
	for name, tt := range tests {
		if got := pdfTokens(tt.file); got < tt.least || got > tt.most {
			t.Errorf("%s: %d tokens of %d bytes, want %d to %d", name, got, len(tt.file), tt.least, tt.most)
		}
	}
}

// The cost of audio depends on its length, whatever its header says.
func TestSoundIsBoundedByItsLength(t *testing.T) {
	wav := func(rate uint32, channels, bits uint16, data int) []byte {
		b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		binary.LittleEndian.PutUint16(b[22:], channels)
		binary.LittleEndian.PutUint32(b[24:], rate)
		binary.LittleEndian.PutUint16(b[32:], channels*bits/8)
		binary.LittleEndian.PutUint16(b[34:], bits)
		return append(b, make([]byte, data)...)
	}
	flac := func(told uint64, frames int) []byte {
		b := append([]byte("fLaC\x00\x00\x00\x22"), make([]byte, 34)...)
		binary.BigEndian.PutUint64(b[18:], 44_100<<44|told)
		return append(b, strings.Repeat("\xff\xf8\xc9\x08", frames)...)
	}
	ogg := func(granule uint64, packets int) []byte {
		b := append([]byte("OggS\x00\x02"), make([]byte, 20)...)
		binary.LittleEndian.PutUint64(b[6:], granule)
		b = append(b, byte(packets))
		b = append(b, bytes.Repeat([]byte{8}, packets)...)
		return append(b, strings.Repeat("OpusHead", packets)...)
	}
	tests := map[string]struct {
		sound       []byte
		least, most int64 // seconds
	}{
		"a minute":                    {wav(16_000, 1, 16, 60*32_000), 60, 62},
		"of a low rate":               {wav(8, 1, 8, 3600*8), 3600, 3606},
		"of a rate of nothing":        {wav(0, 1, 8, 100), mostSeconds, mostSeconds},
		"an hour of silence in FLAC":  {flac(3600*44_100, 1500), 3600, 3601},
		"the same, and lies":          {flac(44_100, 38_800), 3600, 3700},
		"of a length that is unknown": {flac(0, 388), 35, 38},
		"Opus":                        {ogg(48_000*60, 100), 60, 61},
		"Opus that lies":              {ogg(48_000, 250), 30, 31},
		"of nothing known":            {make([]byte, 50_000), 1000, 1002},
	}
	for name, tt := range tests {
		got := audioTokens(tt.sound, "")
		if got < tt.least*perSecond || got > max(tt.most*perSecond, leastAudio) {
			t.Errorf("%s: %d tokens, want those of %d to %d seconds", name, got, tt.least, tt.most)
		}
	}
}

// An image or a document costs the same however clients send it, and its contents are never
// counted as text.
func TestMediaCostTheSameHoweverTheyAreSent(t *testing.T) {
	png := base64.StdEncoding.EncodeToString(append(pictures(t)["png"], make([]byte, 900_000)...))
	pdf := base64.StdEncoding.EncodeToString(document(catalog, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page>>",
		streamOf("/Subtype/Image", strings.Repeat("scan", 200_000))))
	for name, part := range map[string]string{
		"picture, OpenAI":            `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}`,
		"picture, Responses":         `{"type":"input_image","image_url":"data:image/png;base64,` + png + `"}`,
		"picture, Anthropic":         `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}`,
		"picture, Google":            `{"type":"x","inline_data":{"mime_type":"image/png","data":"` + png + `"}}`,
		"picture, Bedrock":           `{"type":"x","image":{"format":"png","source":{"bytes":"` + png + `"}}}`,
		"picture as a file":          `{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + png + `"}}`,
		"picture in a tool's result": `{"type":"tool_result","content":[{"type":"image","source":{"type":"base64","data":"` + png + `"}}]}`,
		"document, OpenAI":           `{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + pdf + `"}}`,
		"document without a type":    `{"type":"file","file":{"filename":"a.pdf","file_data":"` + pdf + `"}}`,
		"document, Responses":        `{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,` + pdf + `"}`,
		"document, Anthropic":        `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + pdf + `"}}`,
		"picture in a document": `{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"},` +
			`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}]}}`,
		"document, Bedrock": `{"type":"x","document":{"format":"pdf","name":"a","source":{"bytes":"` + pdf + `"}}}`,
	} {
		r := parse(t, with(part))
		for _, tk := range []Tokenizer{gpt4o, llama} {
			if got := prompt(t, shared(), r, tk).Tokens; got < 200 || got > 5000 {
				t.Errorf("%s: %d tokens", name, got)
			}
			if got := shared().Bound(r, tk); got < 200 || got > 6000 {
				t.Errorf("%s: a bound of %d tokens", name, got)
			}
		}
	}
}

// A reference to an image or a document is bounded as the largest of its kind; the source of a
// search result is neither.
func TestMediaElsewhereAreBoundedByTheirKind(t *testing.T) {
	const picture, file = `{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`,
		`{"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}}`
	for part, want := range map[string][2]int64{
		picture: {1000, 20_000},
		`{"type":"tool_result","content":[` + picture + `]}`:                                               {1000, 20_000},
		`{"type":"document","source":{"type":"content","content":[` + picture + `]}}`:                      {1000, 20_000},
		`{"type":"document","source":{"type":"content","content":[` + picture + `,` + picture + `]}}`:      {2000, 40_000},
		`{"type":"document","source":{"type":"content","content":"` + strings.Repeat("word ", 400) + `"}}`: {400, 3000},
		file: {unknownFile, 140_000},
		`{"type":"x","source":{"url":"https://example.com/a.pdf"}}`:                                       {unknownFile, 140_000},
		`{"type":"x","source":"data:application/pdf;base64,aGVsbG8="}`:                                    {1000, 140_000},
		`{"type":"search_result","source":"https://example.com","content":[{"type":"text","text":"hi"}]}`: {20, 400},
	} {
		r := parse(t, with(part))
		for _, tk := range []Tokenizer{gpt4o, llama, {}} {
			if got := shared().Bound(r, tk); got < want[0] || got > want[1] {
				t.Errorf("%.80s: a bound of %d tokens, want %v", part, got, want)
			}
		}
	}
}

// Files that are designed to take long do not.
func TestHostileFilesTakeLittleTime(t *testing.T) {
	for name, file := range map[string][]byte{
		"objects":    []byte("%PDF" + strings.Repeat("1 0 obj", 200_000)),
		"references": document("<</Kids[" + strings.Repeat("1 0 R ", 200_000) + "]>>"),
		"strings":    document(streamOf("", "Tj"+strings.Repeat("<", 1_000_000))),
		"streams": []byte("%PDF" + strings.Repeat("1 0 obj<</Filter/FlateDecode>>stream\n"+deflated(strings.Repeat("\x00", 100_000))+
			"endobj", 5000)),
		"frames": append([]byte("fLaC"), bytes.Repeat([]byte{0xff}, 2_000_000)...),
		"pages":  []byte(strings.Repeat("OggS", 500_000)),
	} {
		start := time.Now()
		pdfTokens(file)
		audioTokens(file, "")
		prove.Within(t, name, time.Since(start), 500*time.Millisecond)
	}
}

func FuzzMedia(f *testing.F) {
	f.Add(document(catalog, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page>>"), "application/pdf")
	f.Add([]byte("fLaC"), "audio/flac")
	f.Add([]byte("OggS"), "audio/ogg")
	f.Add([]byte("RIFF....WAVEfmt "), "audio/wav")
	f.Fuzz(func(t *testing.T, file []byte, kind string) {
		text, _ := json.Marshal(base64.StdEncoding.EncodeToString(file))
		p := chat.Piece{Kind: chat.PieceMedia, Text: text, Detail: kind}
		if v := mediaTokens(p, gpt4o); v.fixed <= 0 {
			t.Errorf("%d tokens", v.fixed)
		}
	})
}
