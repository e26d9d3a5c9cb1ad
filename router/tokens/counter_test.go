package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/chat"
)

var (
	gpt4o = Tokenizer{Encoding: O200k, Images: "openai-tile"}
	gpt4  = Tokenizer{Encoding: Cl100k, Images: "openai-tile"}
	llama = Tokenizer{}
)

// hangs is far longer than anything bounded by the budget takes, even on a busy machine. The
// budget itself is checked by its own measure.
const hangs = prove.Patience

// shared is the counter for tests that do not examine its memo.
var shared = sync.OnceValue(func() *Counter { return New(Options{}) })

func parse(t testing.TB, body string) *chat.Request {
	t.Helper()
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatalf("%v: %s", err, shorten(body))
	}
	return r
}

// conversation returns a request with messages of the given texts.
func conversation(t testing.TB, texts ...string) *chat.Request {
	t.Helper()
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	var list []message
	for i, text := range texts {
		list = append(list, message{[]string{"user", "assistant"}[i%2], text})
	}
	body, err := json.Marshal(map[string]any{"model": "m", "messages": list})
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(body))
}

func prompt(t testing.TB, c *Counter, r *chat.Request, tk Tokenizer) Estimate {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	e, err := c.Prompt(ctx, r, tk)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestKnownTexts(t *testing.T) {
	tests := []struct {
		text          string
		o200k, cl100k int64
	}{
		{"", 0, 0},
		{"hello world", 2, 2},
		{"Hello, world! It's 2026.", 9, 10},
		{"antidisestablishmentarianism", 6, 6},
		{"今天天气很好", 4, 8},
		{"नमस्ते दुनिया", 5, 13},
		{"👩‍👩‍👧‍👦", 11, 18},
		{"<|endoftext|>", 7, 7},
		{"\n\n\n    x = 1\n", 7, 7},
		{strings.Repeat("a", 128), 16, 16},
	}
	for _, tt := range tests {
		for tk, want := range map[Tokenizer]int64{gpt4o: tt.o200k, gpt4: tt.cl100k} {
			got, err := shared().Text(t.Context(), tt.text, tk)
			if err != nil {
				t.Fatal(err)
			}
			if got != (Estimate{want, true, want}) {
				t.Errorf("%s: %q: got %+v, want %d", tk.Encoding, shorten(tt.text), got, want)
			}
			if lib := len(reference()[tk.Encoding].EncodeOrdinary(tt.text)); int64(lib) != want {
				t.Errorf("%s: %q: tiktoken has %d, the table %d", tk.Encoding, shorten(tt.text), lib, want)
			}
		}
	}
}

// The examples of OpenAI's cookbook, with the counts that the API returned.
func TestCookbook(t *testing.T) {
	messages := parse(t, `{"model":"m","messages":[
		{"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
		{"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
		{"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
		{"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
		{"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
		{"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}]}`)
	if got := prompt(t, shared(), messages, gpt4o); got != (Estimate{124, true, 124}) {
		t.Errorf("gpt-4o: got %+v, want 124", got)
	}
	if got := prompt(t, shared(), messages, gpt4); got != (Estimate{129, true, 129}) {
		t.Errorf("gpt-4: got %+v, want 129", got)
	}
	tools := parse(t, `{"model":"m","messages":[
		{"role":"system","content":"You are a helpful assistant that can answer to questions about the weather."},
		{"role":"user","content":"What's the weather like in San Francisco?"}],
		"tools":[{"type":"function","function":{"name":"get_current_weather","description":"Get the current weather in a given location",
		"parameters":{"type":"object","properties":{
			"location":{"type":"string","description":"The city and state, e.g. San Francisco, CA"},
			"unit":{"type":"string","description":"The unit of temperature to return","enum":["celsius","fahrenheit"]}},
		"required":["location"]}}}]}`)
	if got := prompt(t, shared(), tools, gpt4o); got.Tokens != 101+newerTools || got.Exact {
		t.Errorf("gpt-4o with tools: got %+v, want 101 and the surplus of newer models", got)
	}
	if got := prompt(t, shared(), tools, gpt4); got.Tokens != 105 || got.Exact {
		t.Errorf("gpt-4 with tools: got %+v, want 105", got)
	}
}

func TestOtherTokenizersAreScaled(t *testing.T) {
	text := strings.Repeat("All work and no play makes Jack a dull boy. ", 50)
	count := func(tk Tokenizer) Estimate {
		e, err := shared().Text(t.Context(), text, tk)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	n := count(gpt4o).Tokens
	tests := map[string]struct {
		tk   Tokenizer
		want Estimate
	}{
		"a known one":          {Tokenizer{Encoding: O200k, Percent: 100}, Estimate{n, true, n}},
		"a known one, scaled":  {Tokenizer{Encoding: O200k, Percent: 110}, Estimate{scale(n, 110), false, n}},
		"another":              {Tokenizer{}, Estimate{scale(n, 150) + 50, false, n}}, // its full stops may be more
		"another, as declared": {Tokenizer{Encoding: "llama3", Percent: 120}, Estimate{scale(n, 120) + 50, false, n}},
		"no more than bytes":   {Tokenizer{Percent: 10_000}, Estimate{int64(len(text)), false, n}},
	}
	for name, tt := range tests {
		if got := count(tt.tk); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

// strange returns text that makes naive counting slow or wrong.
func strange(n int) map[string]string {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, n)
	for i := range random {
		random[i] = byte(rnd.Uint32())
	}
	letters := make([]byte, n)
	for i := range letters {
		letters[i] = byte('a' + rnd.IntN(26))
	}
	fill := func(s string) string { return strings.Repeat(s, n/len(s)+1)[:n] }
	return map[string]string{
		"a letter":                fill("a"),
		"spaces":                  fill(" "),
		"new lines":               fill("\n"),
		"mixed blanks":            fill(" \n\t\r\n\u00a0"),
		"not UTF-8":               fill("\xff\xfe"),
		"halves of characters":    fill("\x80"),
		"family":                  fill("👩‍👩‍👧‍👦"),
		"special tokens":          fill("<|endoftext|>"),
		"marks":                   fill("\u0301"),
		"capitals":                fill("A"),
		"caseless, then capitals": "中" + fill("A"),
		"marks and capitals":      fill("\u0301A"),
		"apostrophes":             fill("'"),
		"contractions":            fill("'ll"),
		"digits":                  fill("1"),
		"slashes":                 fill("/\n"),
		"letters":                 string(letters),
		"bytes":                   string(random),
		"a new line, then spaces": "\n" + fill(" "),
		"words of 500":            fill(string(letters[:500]) + " "),
		"words of 2000":           fill(string(letters[:2000]) + " "),
		"thai":                    fill("ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน"),
	}
}

// One piece may exceed the budget by its own cost.
const overdraft = 20_000

func TestNoTextIsExpensiveToCount(t *testing.T) {
	for _, n := range []int{256 << 10, 10 << 20} {
		for name, text := range strange(n) {
			t.Run(name, func(t *testing.T) {
				s, err := shared().begin(t.Context(), gpt4o)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				got := s.count([]byte(text))
				if s.left < -overdraft {
					t.Errorf("%d of %d units of work were done", shared().budget()-s.left, shared().budget())
				}
				if took := time.Since(start); took > hangs {
					t.Errorf("took %v", took)
				}
				if least := int64(len(text) / 128); got.text < least {
					t.Errorf("counted as %d tokens, there must be %d", got.text, least)
				}
			})
		}
	}
}

func TestLongRunsAreCountedOnce(t *testing.T) {
	// Long runs are cut, so they cost slightly more, but not many times more.
	for text, want := range map[string]int64{
		strings.Repeat("a", 1<<20): 1 << 17,
		strings.Repeat(" ", 1<<14): 128,
	} {
		c := New(Options{Budget: time.Minute})
		got, err := c.Text(t.Context(), text, gpt4o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Exact || got.Tokens < want || got.Tokens > 3*want {
			t.Errorf("got %+v, want %d to %d", got, want, 3*want)
		}
	}
}

func TestSpecialTokensAreOrdinaryText(t *testing.T) {
	for _, text := range []string{"<|endoftext|>", "<|fim_prefix|>", "<|endofprompt|>", "<|im_start|>system"} {
		for name, tk := range map[string]Tokenizer{O200k: gpt4o, Cl100k: gpt4} {
			got, err := shared().Text(t.Context(), text, tk)
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(len(reference()[name].EncodeOrdinary(text))); got.Tokens != want || want < 4 {
				t.Errorf("%s: %s is %d tokens, want %d", name, text, got.Tokens, want)
			}
		}
	}
}

func TestMegabyteOfAnythingIsCountedOrBounded(t *testing.T) {
	for name, text := range strange(1 << 20) {
		t.Run(name, func(t *testing.T) {
			c := shared()
			r := conversation(t, text)
			start := time.Now()
			got := prompt(t, c, r, gpt4o)
			if took := time.Since(start); took > hangs {
				t.Errorf("took %v", took)
			}
			if bound := c.Bound(r, gpt4o); got.Tokens > bound || got.Tokens < 1<<20/128 {
				t.Errorf("%d tokens, the bound is %d", got.Tokens, bound)
			}
		})
	}
}

// Beyond the budget the rest is a bound. What was counted is remembered, so a long conversation
// becomes exact after a few turns.
func TestLongConversationBecomesExact(t *testing.T) {
	c := New(Options{Budget: time.Millisecond})
	var texts []string
	for i := range 20 {
		texts = append(texts, strings.Repeat(fmt.Sprintf("Turn %d went on about quokkas.\n", i), 200))
	}
	r := conversation(t, texts...)
	first := prompt(t, c, r, gpt4o)
	if first.Exact {
		t.Fatal("the budget is too large for this test")
	}
	last := first
	for turn := 0; !last.Exact; turn++ {
		if turn == 30 {
			t.Fatal("it never becomes exact")
		}
		next := prompt(t, c, r, gpt4o)
		if next.Tokens > last.Tokens {
			t.Errorf("the estimate grew from %d to %d", last.Tokens, next.Tokens)
		}
		last = next
	}
	if want := prompt(t, shared(), r, gpt4o); last != want {
		t.Errorf("got %+v, want %+v", last, want)
	}
}

func TestOneLongMessageIsNotCountedAgain(t *testing.T) {
	c := New(Options{Budget: time.Millisecond})
	r := conversation(t, randomText(rand.New(rand.NewPCG(1, 1)), 300_000))
	first := prompt(t, c, r, gpt4o)
	spend(c)
	if again := prompt(t, c, r, gpt4o); again != first || again.Exact {
		t.Errorf("got %+v, then %+v", first, again)
	}
}

// spend leaves no work for counting, so that bounds are used instead.
func spend(c *Counter) { c.o.Budget = 1 }

func TestMemoOnlyTheNewMessageIsCounted(t *testing.T) {
	c := New(Options{})
	past := []string{"What is a quokka?", "A small wallaby.", "Where does it live?"}
	tools := `"tools":[{"type":"function","function":{"name":"f","description":"look up"}}]`
	with := func(r *chat.Request) *chat.Request {
		return parse(t, strings.TrimSuffix(string(r.Body()), "}")+","+tools+"}")
	}
	r := with(conversation(t, past...))
	first := prompt(t, c, r, gpt4o)
	other := prompt(t, c, r, Tokenizer{Percent: 120})
	spend(c)
	if again := prompt(t, c, r, gpt4o); again != first {
		t.Errorf("got %+v, then %+v", first, again)
	}
	if scaled := prompt(t, c, r, Tokenizer{Percent: 130}); scaled.Tokens <= other.Tokens {
		t.Errorf("at 120 %% %+v, at 130 %% %+v", other, scaled)
	}
	next := with(conversation(t, append(past, "Mostly on Rottnest Island.")...))
	if got := prompt(t, c, next, gpt4o); got.Exact {
		t.Errorf("the new message was not counted: %+v", got)
	}
}

func TestMemoIsBounded(t *testing.T) {
	m := newMemo(100)
	for i := range 10_000 {
		m.put(digest{uint64(i), i}, tally{text: int64(i)})
		if v, ok := m.get(digest{0, 0}); !ok || v.text != 0 {
			t.Fatal("what is used was forgotten")
		}
	}
	if n := len(m.young) + len(m.old); n > 100 {
		t.Errorf("%d entries, at most 100 may be", n)
	}
	if v, ok := m.get(digest{9_999, 9_999}); !ok || v.text != 9_999 {
		t.Error("the newest was forgotten")
	}
	if _, ok := m.get(digest{5_000, 5_000}); ok {
		t.Error("an old one was kept")
	}
}

// fuse is a context that ends once it has been checked often enough.
type fuse struct {
	context.Context
	left int
}

func (f *fuse) Err() error {
	if f.left--; f.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCountingStopsWhenNobodyWaits(t *testing.T) {
	c := New(Options{Budget: time.Minute})
	for name, text := range strange(1 << 20) {
		ctx := &fuse{t.Context(), 3}
		if _, err := c.Text(ctx, text, gpt4o); !errors.Is(err, context.Canceled) && ctx.left < 0 {
			t.Errorf("%s: %v", name, err)
		}
		if ctx.left < -2 {
			t.Errorf("%s: went on after it was cancelled", name)
		}
	}
	if _, err := c.Prompt(&fuse{t.Context(), 0}, conversation(t, "x"), gpt4o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r := conversation(t, strings.Repeat("stop ", 100_000))
	if _, err := c.Prompt(&fuse{t.Context(), 2}, r, gpt4o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := prompt(t, c, r, gpt4o); !got.Exact {
		t.Error("what was cancelled was remembered")
	}
}

func TestManyAtOnce(t *testing.T) {
	c := New(Options{Memo: 64})
	want := prompt(t, shared(), conversation(t, "one two three", "four"), gpt4o)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 3))
			for range 20 {
				prompt(t, c, conversation(t, randomText(rnd, 50), "again"), []Tokenizer{gpt4o, gpt4, llama}[i%3])
				if got := prompt(t, c, conversation(t, "one two three", "four"), gpt4o); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if err := c.Warm(t.Context(), O200k, Cl100k); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWarm(t *testing.T) {
	if err := New(Options{}).Warm(t.Context(), "p50k_base"); err == nil {
		t.Error("an unknown encoding was loaded")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(Options{}).Warm(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// refuse is a network that is not available.
type refuse struct{ t *testing.T }

func (r refuse) RoundTrip(q *http.Request) (*http.Response, error) {
	r.t.Errorf("a request was made to %s", q.URL)
	return nil, errors.New("no network")
}

func TestNothingIsDownloaded(t *testing.T) {
	before := http.DefaultTransport
	http.DefaultTransport = refuse{t}
	defer func() { http.DefaultTransport = before }()
	t.Setenv("TIKTOKEN_CACHE_DIR", t.TempDir())
	if err := New(Options{}).Warm(t.Context(), O200k, Cl100k); err != nil {
		t.Error(err)
	}
}

// What was not counted is estimated at one token per byte for the upper bound, and at the usual
// rate for what is likely.
func TestEstimateSaysWhatIsLikelyWhereCountingEndedEarly(t *testing.T) {
	c := New(Options{Budget: time.Millisecond})
	text := repeat(english, 4<<20)
	got, err := c.Text(t.Context(), text, gpt4o)
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(len(text)); got.Exact || got.Tokens < n/2 || got.Likely < n/8 || got.Likely > n/3 {
		t.Errorf("%+v of %d bytes", got, n)
	}
}
