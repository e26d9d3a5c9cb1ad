package bedrock_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/chat"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: bedrock.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, bedrock.New(), func(c *providertest.Recorded) bool { return c.Family == "bedrock-embed" })
}

// titan answers one text at a time with a vector made of the text, which is a number. The
// text "bad" is refused as an invalid request.
func titan(t *testing.T, calls *atomic.Int64) providers.Target {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var body struct{ InputText string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.InputText == "bad" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"message":"Malformed input request"}`))
			return
		}
		_, _ = fmt.Fprintf(w, `{"embedding":[%s],"inputTextTokenCount":2}`, body.InputText)
	}))
	t.Cleanup(s.Close)
	return providers.Target{
		Provider: "aws", Model: "titan", Upstream: "amazon.titan-embed-text-v2:0", BaseURL: s.URL,
		Adapter: bedrock.New(), Private: true,
	}
}

// TestEmbeddings_Batches: a model that takes one text is called once per text, and the result
// is one response in the order of the texts.
func TestEmbeddings_Batches(t *testing.T) {
	var calls atomic.Int64
	target := titan(t, &calls)
	c := providers.NewClient(providers.Options{})
	defer c.Close()
	inputs, want := make([]string, 23), make([]string, 23)
	for i := range inputs {
		inputs[i], want[i] = fmt.Sprintf(`"%d"`, i), fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%[1]d]}`, i)
	}
	ask := func(list []string) (*providers.Answer, error) {
		r, err := chat.ParseEmbedding([]byte(`{"model":"m","input":[` + strings.Join(list, ",") + `],"user":"u"}`))
		if err != nil {
			t.Fatal(err)
		}
		return c.Do(t.Context(), providers.Exchange{Operation: providers.Embed, Target: target, Request: r})
	}
	a, err := ask(inputs)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(a.Response.Body); !strings.Contains(got, strings.Join(want, ",")) || a.Response.Usage.Input != 46 ||
		len(a.Dropped) != 1 {
		t.Errorf("%s %+v %v", got, a.Response.Usage, a.Dropped)
	}
	if n := calls.Load(); n != 23 {
		t.Errorf("%d calls", n)
	}
	// A provider that refuses the first text is not called again, and one refusal fails the whole request.
	for at, most := range map[int]int64{0: 1, 20: 23} {
		calls.Store(0)
		bad := append([]string(nil), inputs...)
		bad[at] = `"bad"`
		_, err := ask(bad)
		if e := (*providers.Error)(nil); !errors.As(err, &e) || e.Kind != providers.KindRequest || e.Provider != "aws" ||
			calls.Load() > most {
			t.Errorf("bad at %d: %v after %d calls", at, err, calls.Load())
		}
	}
}
