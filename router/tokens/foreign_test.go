package tokens

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// scripts are what random texts are made of: what vocabularies differ in.
var scripts = []string{
	"the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her " +
		"she there would their ",
	"abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcXYZ019_-. ", "0123456789", "0123456789abcdef", " ", "\n\t ",
	"!?.,;:()[]{}<>/\\|@#$%^&*~`'\"",
	"äöüßéèêñçàøåłžčřő", "абвгдежзиклмнопрстуфхцчшыэюя ", "αβγδεζηθικλμνξοπρστυφχψω", "你好世界今天天气很好我们去公园散步吧", "こんにちは世界カタカナ", "안녕하세요세계날씨",
	"नमस्ते दुनिया", "مرحبا بالعالم", "שלום עולם", "สวัสดีชาวโลก", "😀🎉👩‍💻🇩🇪❤️", "\u0301\u0302\u200d\ufeff", "𝒜𝔅ℂ𝟘",
	"func(){if x==nil{return}} ", "=-=-=-=- ________ ",
}

// mixedText mixes words and letters of some scripts.
func mixedText(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(6) {
		alphabet := scripts[r.IntN(len(scripts))]
		words, runes := strings.Fields(alphabet), []rune(alphabet)
		for range 1 + r.IntN(40) {
			if len(words) > 5 && r.IntN(4) > 0 {
				b.WriteString(words[r.IntN(len(words))] + " ")
				continue
			}
			b.WriteRune(runes[r.IntN(len(runes))])
		}
	}
	return b.String()
}

// Whatever vocabulary a model has, what is counted for it is not below what it makes of
// the text: shown with the vocabularies that can be had, of which two are older than
// any model that is still served.
func TestCountsForAnyVocabularyAreBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	unknown := Tokenizer{}
	for range 4000 {
		text := mixedText(r)
		got, err := shared().Text(t.Context(), text, unknown)
		if err != nil || !utf8.ValidString(text) {
			t.Fatal(err)
		}
		for name, encoding := range reference() {
			if want := int64(len(encoding.EncodeOrdinary(text))); got.Tokens < want {
				t.Fatalf("%q: %d tokens, %s makes %d of it", text, got.Tokens, name, want)
			}
		}
		if got.Tokens > int64(len(text)) || got.Exact {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Of the encodings that are known, counts are exact and bounds are not below them,
// whatever stands in a message.
func TestBoundsAreNotBelowCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		text := mixedText(r)
		for name, tk := range map[string]Tokenizer{O200k: {Encoding: O200k}, Cl100k: {Encoding: Cl100k}} {
			got, err := shared().Text(t.Context(), text, tk)
			if want := int64(len(reference()[name].EncodeOrdinary(text))); err != nil || got.Tokens != want {
				t.Fatalf("%q: %+v, %s makes %d of it: %v", text, got, name, want, err)
			}
		}
		body := parse(t, `{"model":"m","messages":[{"role":"user","content":`+string(jsonraw.Quote(text))+`}]}`)
		for _, tk := range []Tokenizer{gpt4o, gpt4, llama, {}, {Percent: 300}} {
			if bound, counted := shared().Bound(body, tk), prompt(t, shared(), body, tk).Tokens; bound < counted {
				t.Fatalf("%q, %+v: a bound of %d, counted %d", text, tk, bound, counted)
			}
		}
	}
}

// The hold for an exact count is never below it, however little a provider reports; and
// for a bound never below half.
func TestLearnedHoldsKeepToExactCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		c := NewCalibration()
		for range 1 + r.IntN(3000) {
			n := 1 + r.Int64N(100_000)
			s := Sample{
				Provider: "p", Model: "m", Basis: Basis(r.IntN(int(bases))), Media: r.IntN(2) == 0,
				Hosted: r.IntN(2) == 0, Tokens: n,
			}
			c.Observe(s, 1+r.Int64N(n*6))
			if held := c.Hold(s); s.Basis == Exact && held < n || held < n/2 {
				t.Fatalf("%+v is held with %d", s, held)
			}
		}
	}
}
