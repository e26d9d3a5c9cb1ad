package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

func TestTiles(t *testing.T) {
	tests := []struct {
		w, h    int64
		detail  string
		percent int64
		want    int64
	}{
		{1024, 1024, "high", 100, 765}, // these two are OpenAI's examples
		{2048, 4096, "high", 100, 1105},
		{4096, 8192, "low", 100, 85}, // and this one
		{512, 512, "", 100, 255},
		{513, 512, "auto", 100, 425},
		{1, 1, "", 100, 255},
		{1920, 1080, "", 100, 1105},
		{1366, 768, "", 100, 1105},
		{100_000, 10, "", 100, 765},
		{0, 0, "", 100, 1445}, // not known: the maximum
		{0, 0, "low", 100, 85},
		{768, 2048, "", 100, 1445},
		{50, 50, "", 3333, 8501}, // gpt-4o-mini; 8500 on the bill
		{50, 50, "", 82, 210},    // gpt-5
		{50, 50, "", 88, 225},    // o1
	}
	for _, tt := range tests {
		if got := tiles(size{tt.w, tt.h}, tt.detail, tt.percent); got != tt.want {
			t.Errorf("%d by %d, %q, %d %%: got %d, want %d", tt.w, tt.h, tt.detail, tt.percent, got, tt.want)
		}
	}
}

func TestPatches(t *testing.T) {
	tests := []struct {
		w, h   int64
		detail string
		want   int64
	}{
		{1024, 1024, "", 1024}, // these two are OpenAI's examples
		{1800, 2400, "", 1452},
		{2400, 1800, "", 1452},
		{32, 32, "", 1},
		{33, 32, "", 2},
		{1, 1, "", 1},
		{1, 100_000, "", 1536},
		{0, 0, "", 1536},
		{0, 0, "original", 10_000},
		{3200, 3200, "original", 10_000},
		{2048, 768, "", 1536},
	}
	for _, tt := range tests {
		if got := patches(size{tt.w, tt.h}, tt.detail); got != tt.want {
			t.Errorf("%d by %d, %q: got %d, want %d", tt.w, tt.h, tt.detail, got, tt.want)
		}
	}
	for w := int64(1); w < 1<<20; w = w*3/2 + 1 {
		for h := int64(1); h < 1<<20; h = h*4/3 + 1 {
			if n := patches(size{w, h}, ""); n < 1 || n > 1536 {
				t.Fatalf("%d by %d: %d patches", w, h, n)
			}
		}
	}
}

// dataURL returns an image as clients send it.
func dataURL(kind string, data []byte) string {
	return "data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(data)
}

// pictures returns images of 300 by 200 pixels.
func pictures(t testing.TB) map[string][]byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, 300, 200), color.Palette{color.Black, color.White})
	out := make(map[string][]byte)
	for kind, encode := range map[string]func(*bytes.Buffer) error{
		"png":  func(b *bytes.Buffer) error { return png.Encode(b, img) },
		"jpeg": func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) },
		"gif":  func(b *bytes.Buffer) error { return gif.Encode(b, img, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		out[kind] = b.Bytes()
	}
	return out
}

// webp returns the head of a file of 300 by 200 pixels in one of the three forms.
func webp(form string) []byte {
	b := make([]byte, 40)
	copy(b, "RIFF\x00\x00\x00\x00WEBP"+form)
	switch form {
	case "VP8X":
		b[24], b[25], b[27] = 299%256, 299/256, 199
	case "VP8L":
		b[20] = 0x2f
		binary.LittleEndian.PutUint32(b[21:], 299|199<<14)
	case "VP8 ":
		copy(b[23:], "\x9d\x01\x2a")
		binary.LittleEndian.PutUint16(b[26:], 300|1<<14) // scaled: the top bits do not count
		binary.LittleEndian.PutUint16(b[28:], 200)
	}
	return b
}

func TestSizeOfPictures(t *testing.T) {
	all := pictures(t)
	for _, form := range []string{"VP8X", "VP8L", "VP8 "} {
		all["webp "+form] = webp(form)
	}
	long := append([]byte("\xff\xd8\xff\xe1\xff\xff"), make([]byte, 0xffff-2)...) // 64 KB of what cameras write
	all["jpeg with a long head"] = append(long, all["jpeg"][2:]...)
	for name, data := range all {
		if got := sizeIn([]byte(dataURL("png", data))); got != (size{300, 200}) { // whatever type is declared
			t.Errorf("%s: got %v", name, got)
		}
		for n := range min(len(data), 60) {
			if got := sizeIn([]byte(dataURL("png", data[:n]))); got != (size{}) && got != (size{300, 200}) {
				t.Errorf("%s cut at %d: got %v", name, n, got)
			}
		}
	}
	for _, url := range []string{
		"", "data:", "data:image/png;base64", "data:image/png;base64,", "data:image/png;base64,!!!!", "data:image/png,abc",
		dataURL("png", []byte("<svg width='1' height='1'/>")), "https://example.com/a.png", dataURL("webp", make([]byte, 30)),
		dataURL("webp", append([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "), make([]byte, 20)...)),
	} {
		if got := sizeIn([]byte(url)); got != (size{}) {
			t.Errorf("%q: got %v", url, got)
		}
	}
}

func FuzzSizeOfPictures(f *testing.F) {
	for _, data := range pictures(f) {
		f.Add(data)
	}
	f.Add(webp("VP8X"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := sizeIn([]byte(dataURL("png", data)))
		if (s.w <= 0) != (s.h <= 0) || s.w < 0 {
			t.Errorf("got %v", s)
		}
		for _, detail := range []string{"", "low", "original"} {
			if tiles(s, detail, 100) < 85 || patches(s, detail) < 1 || dearest(s) < 1600 {
				t.Errorf("%v costs nothing", s)
			}
		}
	})
}

// with returns a request whose only message has one content part besides text.
func with(part string) string {
	return `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"},` + part + `]}]}`
}

// Anything that a model may see raises the estimate and its bound.
func TestNothingIsCountedAsNothing(t *testing.T) {
	picture := dataURL("png", pictures(t)["png"])
	large := strings.Repeat("A", 1<<20)
	function := `{"name":"f","description":"does it","parameters":{"type":"object","properties":{"x":{"type":"string",` +
		`"description":"what"}}}}`
	manyTools := strings.TrimSuffix(strings.Repeat(`{"type":"function","function":`+function+`},`, 200), ",")
	tests := map[string]struct {
		body  string
		least int64 // more than without it, for gpt-4o
		exact bool
	}{
		"image by address":      {with(`{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}`), 1445, false},
		"image by address, low": {with(`{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}`), 85, true},
		"image, bare":           {with(`{"type":"image_url","image_url":"https://example.com/a.png"}`), 1445, false},
		"image":                 {with(`{"type":"image_url","image_url":{"url":"` + picture + `"}}`), 255, true},
		"image, escaped slashes": {
			with(`{"type":"image_url","image_url":{"url":"` + strings.ReplaceAll(picture, "/", `\/`) + `"}}`),
			255, true,
		},
		"image of unknown format": {with(`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + large +
			`","detail":"high"}}`), 1445, false},
		"image of another provider": {with(`{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`), 10, false},
		"audio":                     {with(`{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`), 400, false},
		"long audio":                {with(`{"type":"input_audio","input_audio":{"data":"` + large + `","format":"mp3"}}`), 39_000, false},
		"file": {with(`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + large +
			`"}}`), 700_000, false},
		"small file": {with(`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` +
			large[:400] + `"}}`), 1200, false},
		"file by id":             {with(`{"type":"file","file":{"file_id":"file-123"}}`), 100_000, false},
		"video":                  {with(`{"type":"video_url","video_url":{"url":"https://example.com/a.mp4"}}`), 100_000, false},
		"video, by member alone": {with(`{"type":"","video_url":"https://example.com/a.mp4"}`), 100_000, false},
		"tools": {
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[` + manyTools + `]}`,
			200 * 15, false,
		},
		"functions": {
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"functions":[` + function + `]}`,
			20, false,
		},
		"custom tool": {`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"custom","custom":{"name":"sql",` +
			`"description":"a query"}}]}`, 20, false},
		"tool choice": {`{"model":"m","messages":[{"role":"user","content":"hi"}],"tool_choice":{"type":"function",` +
			`"function":{"name":"f"}}}`, 4, false},
		"JSON schema": {`{"model":"m","messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema",` +
			`"json_schema":{"name":"x","schema":{"type":"object"}}}}`, 20, false},
		"JSON": {`{"model":"m","messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}}`, 4, false},
		"prediction": {`{"model":"m","messages":[{"role":"user","content":"hi"}],"prediction":{"type":"content","content":"one ` +
			`two three"}}`, 4, false},
		"unknown member": {`{"model":"m","messages":[{"role":"user","content":"hi"}],"documents":[{"text":"one two three"}]}`, 4, false},
		"tool calls": {`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,` +
			`"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}]}`, 12, false},
		"function call": {`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,` +
			`"function_call":{"name":"f","arguments":"{\"x\":1}"}}]}`, 12, false},
		"refusal": {`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","refusal":"I cannot ` +
			`do that."}]}`, 8, true},
		"name": {`{"model":"m","messages":[{"role":"user","content":"hi","name":"ann"}]}`, 2, true},
	}
	base := parse(t, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := parse(t, tt.body)
			got := prompt(t, shared(), r, gpt4o)
			if more := got.Tokens - prompt(t, shared(), base, gpt4o).Tokens; more < tt.least {
				t.Errorf("costs %d tokens, want at least %d", more, tt.least)
			}
			if got.Exact != tt.exact {
				t.Errorf("exact: %v", got.Exact)
			}
			for _, tk := range []Tokenizer{gpt4o, gpt4, llama, {Encoding: O200k, Images: "openai-patch", ImageMultiplier: 162}} {
				least := prompt(t, shared(), base, tk).Tokens
				if n := prompt(t, shared(), r, tk).Tokens; n <= least {
					t.Errorf("%+v: %d tokens with it, %d without", tk, n, least)
				}
				if s := sum(t, r, tk); s > shared().Bound(r, tk) && tk.own() {
					t.Errorf("%+v: %d tokens, the bound is %d", tk, s, shared().Bound(r, tk))
				}
			}
		})
	}
}

// A request that is no larger than others must not look far larger because its image is
// included as base64.
func TestPictureIsNotCountedByItsBytes(t *testing.T) {
	r := parse(t, with(fmt.Sprintf(`{"type":"image_url","image_url":{"url":%q}}`,
		dataURL("png", append(pictures(t)["png"], make([]byte, 1<<20)...)))))
	if got := shared().Bound(r, gpt4o); got > 1000 {
		t.Errorf("the bound is %d", got)
	}
}

// sum returns what a prompt adds up to, before it is compared with the bound.
func sum(t testing.TB, r *chat.Request, tk Tokenizer) int64 {
	t.Helper()
	s, err := shared().begin(t.Context(), tk)
	if err != nil {
		t.Fatal(err)
	}
	v := s.prompt(r)
	return v.text + v.fixed
}

// FuzzBound looks for requests that have more tokens than their bound.
func FuzzBound(f *testing.F) {
	f.Add(`{"model":"m","messages":[{"role":"user","content":"hi","name":"x"}]}`)
	f.Add(`{"model":"m","messages":[],"tools":[{"function":{"name":"","parameters":{"properties":{"":{},"a":{"enum":["",""]}}}}}]}`)
	f.Add(`{"model":"m","messages":[{"role":""},{"role":""}],"functions":[{}],"response_format":{"type":"json_object"}}`)
	f.Add(with(`{"type":"image_url","image_url":{"url":"data:image/gif;base64,R0lGODlhAQABAAAAACw="}}`))
	f.Add(with(`{"type":"","file_url":""}`))
	f.Add(with(`{"type":"file","file":{"file_id":""}},{"type":"video_url","video_url":""},{"type":"input_audio","input_audio":"\u00e9"}`))
	f.Fuzz(func(t *testing.T, body string) {
		var members map[string]json.RawMessage
		if len(body) > 8192 || json.Unmarshal([]byte(body), &members) != nil {
			return
		}
		r, err := chat.ParseRequest([]byte(body))
		if err != nil {
			return
		}
		for _, tk := range []Tokenizer{gpt4o, gpt4, {Encoding: O200k, Images: "openai-patch"}} {
			if s, b := sum(t, r, tk), shared().Bound(r, tk); s > b || s < 3 {
				t.Errorf("%d tokens, the bound is %d", s, b)
			}
		}
	})
}

// sizeIn returns the size of the image in a data URL.
func sizeIn(url []byte) size {
	_, encoded, ok := bytes.Cut(url, []byte(","))
	if !ok {
		return size{}
	}
	return sizeOf(encoded)
}
