package tokens

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
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

// pdfCase is a file, and the least and the most that it may cost.
type pdfCase struct {
	file        []byte
	least, most int64
}

// The cost of a PDF depends on its pages and their text, not on its bytes; and no way of
// packing pages hides them.
func TestPDFIsBoundedByItsPages(t *testing.T) {
	kids := func(n int, ref string) string { return "[" + strings.Repeat(ref+" ", n) + "]" }
	inside := "3 0 4 44 <</Type/Pages/Kids[4 0 R 4 0 R 4 0 R]/Count 3>> <</Type/Page/Parent 3 0 R>>"
	tests := map[string]pdfCase{
		"one page that is a scan": {document(catalog, "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type /Page/Parent 2 0 R/Contents 5 0 R>>",
			streamOf("/Subtype/Image", strings.Repeat("\x00\xff (scan) Tj", 90_000)), streamOf("", "q /I Do Q")), 1500, 3000},
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
	maps.Copy(tests, lyingPDFs())
	for name, tt := range tests {
		if got := pdfTokens(tt.file); got < tt.least || got > tt.most {
			t.Errorf("%s: %d tokens of %d bytes, want %d to %d", name, got, len(tt.file), tt.least, tt.most)
		}
	}
}

// lyingPDFs are files that a reader takes for more than they seem.
func lyingPDFs() map[string]pdfCase {
	const tree, page = "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Contents 4 0 R>>"
	kids := func(n int) string { return "[" + strings.Repeat("3 0 R ", n) + "]" }
	text := "BT (" + strings.Repeat("word ", 4000) + ") Tj ET"
	thousand := func(file []byte) pdfCase { return pdfCase{file, 1000 * pagePicture, 5_000_000} }
	long := func(file []byte) pdfCase { return pdfCase{file, 20_000, 300_000} }
	written := func(old, new string) []byte {
		return bytes.ReplaceAll(document(catalog, "<</Type/Pages/Kids"+kids(1000)+"/Count 1>>", "<</Type/Page>>"), []byte(old), []byte(new))
	}
	return map[string]pdfCase{
		"headings on two lines":          thousand(written(" obj", "\nobj")),
		"headings with a comment":        thousand(written(" obj", " %\nobj")),
		"names with escapes":             thousand(written("/Kids", "/K#69ds")),
		"a list that stands elsewhere":   thousand(document(catalog, "<</Kids 4 0 R>>", "<</Type/Page>>", kids(1000))),
		"a list with a comment":          thousand(written("3 0 R 3 0 R", "3 0 R % x\n3 0 R")),
		"a tree in the data of a stream": thousand(document(catalog, "<<>>stream\n2 0 obj<</Kids"+kids(1000)+">>", "<</Type/Page>>")),
		"a word in the dictionary":       thousand(document(catalog, "<</X(stream)/Kids"+kids(1000)+">>", "<</Type/Page>>")),
		"objects out of order": thousand(document(catalog,
			streamOf("/Type/ObjStm/N 2/First 9", "3 40 2 0 <</Kids"+kids(1000)+">>"), "<</Type/Page>>")),
		"an object stream without a type": thousand(document(catalog,
			streamOf("/N 1/First 4/Filter/FlateDecode", deflated("2 0 <</Kids"+kids(1000)+">>")), "<</Type/Page>>")),
		"a bomb of text": {
			document(catalog, tree, page, streamOf("/Filter/FlateDecode", deflated(strings.Repeat(text, 400)))),
			400_000, 10_000_000,
		},
		"text that says it is a picture": long(document(catalog, tree, page, streamOf("/Subtype/Image", text))),
		"text that says it is a font":    long(document(catalog, tree, page, streamOf("/Length1 9/FontFile 1", text))),
		"text after a heading":           long(document(catalog, tree, page, streamOf("", "9 0 obj "+text))),
		"text in a list of contents": long(document(catalog, tree, "<</Type/Page/Contents 5 0 R>>",
			streamOf("/Subtype/Image", text), "[4 0 R]")),
		"text that is packed twice": {document(catalog, tree, page,
			streamOf("/Filter[/FlateDecode/FlateDecode]", deflated(deflated(text)))), 1600 + pageText, 20_000},
		"text that is shown by many pages": {
			document(catalog, "<</Kids[3 0 R 5 0 R 6 0 R]>>", page, streamOf("", text), page, page),
			60_000, 70_000,
		},
		"a form that is shown often": {document(catalog, tree, page, streamOf("", strings.Repeat("/F Do ", 50)),
			streamOf("/Subtype/Form", text)), 1_000_000, 1_100_000},
		"a form on one of twenty pages": {document(catalog, "<</Kids[3 0 R"+strings.Repeat(" 6 0 R", 1)+"]>>", page, streamOf("", text+" /F Do"),
			streamOf("/Subtype/Form", "BT (seal) Tj ET"), "<</Type/Page>>"), 22_000, 26_000},
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
		frame := []byte{0xff, 0xf8, 0xc9, 0x08, 0}
		return append(b, bytes.Repeat(append(frame, crc8(frame)), frames)...)
	}
	ogg := func(granule uint64, packets int) []byte {
		b := append([]byte("OggS\x00\x02"), make([]byte, 20)...)
		binary.LittleEndian.PutUint64(b[6:], granule)
		b = append(b, byte(packets))
		b = append(b, bytes.Repeat([]byte{8}, packets)...)
		return append(b, strings.Repeat("OpusHead", packets)...)
	}
	tests := map[string]soundCase{
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
	maps.Copy(tests, otherSounds(flac(3600*44_100, 1500)))
	for name, tt := range tests {
		got := audioTokens(tt.sound, "")
		if got < tt.least*perSecond || got > max(tt.most*perSecond, leastAudio) {
			t.Errorf("%s: %d tokens, want those of %d to %d seconds", name, got, tt.least, tt.most)
		}
	}
}

// soundCase is a recording, and how many seconds it may have.
type soundCase struct {
	sound       []byte
	least, most int64
}

// otherSounds are recordings in other formats, and some that lie.
func otherSounds(hour []byte) map[string]soundCase {
	u32 := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	box := func(name, body string) string { return u32(len(body)+8) + name + body }
	m4a := func(codec string, samples, stated int) []byte {
		return []byte(box("ftyp", "M4A isom") + box("moov", box("mvhd", u32(0)+u32(0)+u32(0)+u32(1000)+u32(stated*1000))+
			box("stsd", codec)+box("stsz", u32(0)+u32(0)+u32(samples))))
	}
	chunk := func(name, body string) string {
		return name + string(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + body
	}
	form := func(rate byte, bits byte) string {
		return "\x01\x00\x01\x00" + string([]byte{rate, 0, 0, 0}) + "\x00\x00\x00\x00\x01\x00" + string([]byte{bits, 0})
	}
	aiff := "FORM\x00\x00\x00\x00AIFFCOMM\x00\x00\x00\x12\x00\x01\x00\x00\x00\x00\x00\x10\x40\x0b\xfa\x00\x00\x00\x00\x00\x00\x00" +
		"SSND" + strings.Repeat("\x00", 60*16_000) // 8,000 samples per second
	// A frame of 104 bytes and 1152 samples, at 44,100 per second; one of AAC with 1024 at 8,000.
	mp3, aac := "\xff\xfb\x10\xc4"+strings.Repeat("\x00", 100), "\xff\xf1\x6c\x40\x01\x1f\xfc\x00"
	vorbis := "OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x1e\x01vorbis\x00\x00\x00\x00\x01\x44\xac\x00\x00" +
		strings.Repeat("\x00", 12) + "\xb8\x01"
	return map[string]soundCase{
		"a minute of MP3":    {[]byte(strings.Repeat(mp3, 2297)), 59, 62},
		"MP3 after a tag":    {[]byte("ID3\x04\x00\x00\x00\x00\x00\x05abcde" + strings.Repeat(mp3, 2297)), 59, 62},
		"FLAC after a tag":   {append([]byte("ID3\x04\x00\x00\x00\x00\x00\x05abcde"), hour...), 3600, 3601},
		"AAC that is silent": {[]byte(strings.Repeat(aac, 1000)), 127, 140},
		"AIFF":               {[]byte(aiff), 59, 61},
		"AIFF that is packed": {
			[]byte(strings.Replace(aiff, "COMM\x00\x00\x00\x12", "COMM\x00\x00\x00\x20", 1)), mostSeconds, mostSeconds,
		},
		"M4A":                                  {m4a("mp4a", 430, 10), 10, 111},
		"M4A that lies":                        {m4a("mp4a", 155_000, 1), 3600, mostSeconds},
		"M4A that says more":                   {m4a("mp4a", 1, 3600), 3600, 3602},
		"M4A whose frames may have any length": {m4a("alac", 2, 1), mostSeconds, mostSeconds},
		"WAV with a format in a list of others": {[]byte("RIFF\x00\x00\x00\x00WAVE" + chunk("LIST", chunk("fmt ", form(255, 64))) +
			chunk("fmt ", form(8, 8)) + "data" + strings.Repeat("\x00", 8*3600)), 3600, 3620},
		"WAV without a format": {[]byte("RIFF\x00\x00\x00\x00WAVEdata" + strings.Repeat("fmt ", 100)), mostSeconds, mostSeconds},
		"Vorbis":               {[]byte(vorbis), 0, 2},
	}
}

// Data that others may take for something else costs as much as that.
func TestMediaAreWhatOthersMayTakeThemFor(t *testing.T) {
	base := base64.StdEncoding.EncodeToString
	long := strings.Repeat("many words in a row ", 5000)
	video := func(more string, seconds uint32) string {
		head := "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + more + "\x00\x00\x00\x6cmvhd" + strings.Repeat("\x00", 12)
		return head + "\x00\x00\x00\x01" + string(binary.BigEndian.AppendUint32(nil, seconds)) + strings.Repeat("\x00", 2000)
	}
	silence := append([]byte("fLaC\x00\x00\x00\x22"), make([]byte, 34)...)
	binary.BigEndian.PutUint64(silence[18:], 44_100<<44|3600*44_100)
	file := func(name, data string) string {
		return fmt.Sprintf(`{"type":"file","file":{"filename":%q,"file_data":%q}}`, name, data)
	}
	inline := func(data string) string {
		return fmt.Sprintf(`{"type":"x","inline_data":{"mime_type":"video/mp4","data":%q}}`, base([]byte(data)))
	}
	sound := func(data, format string) string {
		return fmt.Sprintf(`{"type":"input_audio","input_audio":{"data":%q,"format":%q}}`, data, format)
	}
	pdf := base(document(catalog, "<</Kids[3 0 R]>>", "<</Type/Page>>", long))
	for name, tt := range map[string]struct {
		part        string
		least, most int64
	}{
		"text that begins like a picture": {file("a.txt", base([]byte("BM "+long))), 100_000, 110_000},
		"text that names a PDF":           {file("a.md", base([]byte("%PDF "+long))), 100_000, 110_000},
		"text that is declared":           {file("a", "data:text/plain;base64,"+base([]byte("GIF89a "+long))), 100_000, 110_000},
		"text of a kind that is unknown":  {file("a.tex", base([]byte("%PDF "+long))), 100_000, 110_000},
		"text that stands there":          {file("a", "data:text/plain,"+long), 100_000, 110_000},
		"a PDF":                           {file("a.pdf", pdf), 1600, 2000},
		"a PDF of a name that is unknown": {file("a.bin", "data:application/octet-stream;base64,"+pdf), 1600, 110_000},
		"a video called a picture":        {inline("\x00\x00\x00\x10ftypheic" + long), 1_000_000, 1_100_000},
		"a video as sound":                {sound("data:video/mp4;base64,"+base([]byte(video("", 60))), "mp3"), 18_000, 19_000},
		"a video of a minute":             {inline(video("", 60)), 18_000, 19_000},
		"a video in fragments":            {inline(video("moof", 60)), 1_000_000, 1_100_000},
		"base64 that breaks off":          {sound(base(silence[:39])+"!"+base(make([]byte, 2000)), "flac"), 1_000_000, 1_100_000},
		"base64 of URLs":                  {sound(base64.RawURLEncoding.EncodeToString(silence), "flac"), 3600 * perSecond, 3610 * perSecond},
	} {
		r := parse(t, with(tt.part))
		for _, tk := range []Tokenizer{gpt4o, {}} {
			if got := shared().Bound(r, tk); got < tt.least || got > tt.most+2000 {
				t.Errorf("%s: a bound of %d tokens, want %d to %d", name, got, tt.least, tt.most)
			}
			if got := prompt(t, shared(), r, tk).Tokens; got < tt.least || got > tt.most+2000 {
				t.Errorf("%s: %d tokens, want %d to %d", name, got, tt.least, tt.most)
			}
		}
	}
}

// A GIF is as large as its first frame.
func TestFramesBeyondTheScreenCount(t *testing.T) {
	gif := pictures(t)["gif"]
	binary.LittleEndian.PutUint16(gif[6:], 1)
	binary.LittleEndian.PutUint16(gif[8:], 1)
	if got := pictureOf(gif); got != (size{300, 200}) {
		t.Errorf("a screen of one point, and a frame of 300 by 200: %v", got)
	}
	if got := pictureOf(gif[:20]); got != (size{}) {
		t.Errorf("without its frame it is %v", got)
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
