package jsonraw_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

func TestObject(t *testing.T) {
	var o, empty jsonraw.Object
	o.Text("a", "x\"\n\u2028<é")
	o.Raw("n", []byte("1.50"))
	o.Raw("no", nil)
	o.Object("empty", empty)
	o.Array("none", nil)
	if got := string(o.Bytes()); got != `{"a":"x\"\n\u2028<é","n":1.50}` {
		t.Errorf("%s", got)
	}
	if got := string(jsonraw.Extend([]byte(` { } `), o)); got != `{"a":"x\"\n\u2028<é","n":1.50 }` {
		t.Errorf("%s", got)
	}
	if got := string(jsonraw.Extend([]byte(`{"z":1 }`), o)); got != `{"z":1,"a":"x\"\n\u2028<é","n":1.50 }` {
		t.Errorf("%s", got)
	}
}

func TestObjectIsWrittenInOneBuffer(t *testing.T) {
	var o, more jsonraw.Object
	o.Int("i", -1)
	o.Key("list")
	o.Open('[')
	o.Open('{')
	o.Inside("raw", []byte(`a\u003c`))
	o.Word("null", "null")
	o.Close('}')
	o.Value([]byte("2"))
	o.Open('{')
	o.Close('}')
	o.Close(']')
	o.Some("none", "")
	more.Array("x", [][]byte{[]byte("1"), []byte(`"b"`)})
	o.Join(more)
	o.Join(jsonraw.Object{})
	const want = `{"i":-1,"list":[{"raw":"a\u003c","null":null},2,{}],"x":[1,"b"]}`
	if got := string(o.Bytes()); got != want || string(o.Bytes()) != want {
		t.Errorf("%s", got)
	}
}

// FuzzQuote compares our quoting with that of encoding/json.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{
		"", "plain", "<a&b>", "\x00\x1f\x7f\b\f\n\r\t\"\\/", "é😀\u2028\u2029\ufffd", "\xff a\xc3",
		"\xed\xa0\x80",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := jsonraw.Quote(text)
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(text); err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSuffix(b.String(), "\n"); string(quoted) != want {
			t.Errorf("%q: %s, want %s", text, quoted, want)
		}
		if got := jsonraw.Text(quoted); utf8.ValidString(text) && got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	})
}
