package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/sashabaranov/go-openai"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/client"
	pt "tallyroute/providers/providertest"
)

const (
	floatVectors = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5]},{"object":"embedding","index":1,` +
		`"embedding":[0.25,2]}],` +
		`"model":"vectors","usage":{"prompt_tokens":4,"total_tokens":4}}`
	base64Vectors = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL8="},{"object":"embedding",` +
		`"index":1,"embedding":"AACAPgAAAEA="}],` +
		`"model":"vectors","usage":{"prompt_tokens":4,"total_tokens":4}}`
)

// embeds starts the program with providers of vectors, each dearer than the one
// before, and of a model that chats.
func embeds(t *testing.T, replies ...pt.Reply) *attackTarget {
	t.Helper()
	g := &attackTarget{t: t, out: &attackOutput{}}
	text := "providers:\n"
	for n, r := range replies {
		u := pt.NewUpstream(t, r)
		g.ups = append(g.ups, u)
		text += fmt.Sprintf("  up%d:\n    adapter: openai\n    base_url: %s/v1\n    private: true\n    auth: {kind: bearer, secret: "+
			"\"file:CREDENTIAL\"}\n    models:\n"+
			"      - {id: vectors, context: 8191, can: [embeddings], prices: [{since: 2026-01-01, prompt: \"%d.00\", "+
			"completion: \"0\"}]}\n"+
			"      - {id: chats, context: 8191, prices: [{since: 2026-01-01, prompt: \"1\", completion: \"2\"}]}\n", n, u.URL(), n+1)
	}
	g.start(text)
	return g
}

func (g *attackTarget) goOpenAI() *openai.Client {
	c := openai.DefaultConfig(g.secret)
	c.BaseURL = "http://" + g.Address("public") + "/v1"
	return openai.NewClientWithConfig(c)
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"floats": floatVectors, "base64": base64Vectors} {
		t.Run(name, func(t *testing.T) {
			g := embeds(t, pt.JSON(200, answer))
			for _, format := range []openai.EmbeddingEncodingFormat{
				"", openai.EmbeddingEncodingFormatFloat,
				openai.EmbeddingEncodingFormatBase64,
			} {
				got, err := g.goOpenAI().CreateEmbeddings(t.Context(), openai.EmbeddingRequestStrings{
					Input: []string{"one", "two"}, Model: "vectors", EncodingFormat: format, Dimensions: 2, User: "u",
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Data) != 2 || fmt.Sprint(got.Data[0].Embedding, got.Data[1].Embedding) != "[1 -0.5] [0.25 2]" ||
					got.Usage.PromptTokens != 4 {
					t.Errorf("as %q: %+v", format, got)
				}
				h := got.Header() // the client loses it where it decodes base64
				if format != openai.EmbeddingEncodingFormatBase64 && (h.Get("X-Tallyroute-Provider") != "up0" ||
					h.Get("X-Tallyroute-Cost-Usd") != "0.000004" || h.Get("X-Tallyroute-Cost-Status") != "exact") {
					t.Errorf("headers %v", h)
				}
			}
			call := g.ups[0].Calls()[0]
			if call.Path != "/v1/embeddings" || string(call.Body) != `{"dimensions":2,"input":["one","two"],"model":"vectors","user":"u"}` {
				t.Errorf("sent %s %s", call.Path, call.Body)
			}
			for _, row := range g.rows(3) {
				if row.Kind != billing.KindUsage || row.Tokens != (billing.Tokens{Input: 4}) || row.Cost.Total != 4000 ||
					row.Status != billing.StatusOK || row.EndUser != "u" {
					t.Errorf("booked %+v", row)
				}
			}
		})
	}
}

// TestEmbeddings_Official: the official client sends tokens, and base64 unless it is told otherwise.
func TestEmbeddings_Official(t *testing.T) {
	t.Parallel()
	g := embeds(t, pt.JSON(200, floatVectors))
	c := openaigo.NewClient(option.WithBaseURL("http://"+g.Address("public")+"/v1"), option.WithAPIKey(g.secret))
	got, err := c.Embeddings.New(t.Context(), openaigo.EmbeddingNewParams{
		Model: "up0/vectors", Input: openaigo.EmbeddingNewParamsInputUnion{OfArrayOfTokenArrays: [][]int64{{1, 2}, {3}}},
	})
	if err != nil || len(got.Data) != 2 || got.Data[1].Embedding[1] != 2 || got.Object != "list" || got.Usage.TotalTokens != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestEmbeddings_Failover: the cheapest healthy target is called, and if it fails, the next one; the
// failure is charged for the usage that it reports.
func TestEmbeddings_Failover(t *testing.T) {
	t.Parallel()
	g := embeds(t, pt.JSON(200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"vectors",`+
		`"usage":{"prompt_tokens":4,"total_tokens":4}}`),
		pt.JSON(200, floatVectors))
	got := g.ask(http.MethodPost, "/v1/embeddings", strings.NewReader(`{"model":"vectors","input":["one","two"]}`))
	if got.status != 200 || got.header.Get("X-Tallyroute-Provider") != "up1" || got.header.Get("X-Tallyroute-Attempts") != "2" {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	rows := g.rows(2)
	slices.SortFunc(rows, func(a, b billing.Spend) int { return a.Attempt - b.Attempt })
	if bad := rows[0]; bad.Status != billing.StatusError || bad.UsageSource != billing.Reported || bad.Tokens.Input != 4 ||
		bad.Tokens.Output != 0 {
		t.Errorf("the broken answer is booked as %+v", bad)
	}
	if good := rows[1]; good.Cost.Total != 8000 || good.Tokens.Total() != 4 {
		t.Errorf("booked %+v", good)
	}
}

// TestEmbeddings_Counted: if no usage is reported, our own count is charged and reported.
func TestEmbeddings_Counted(t *testing.T) {
	t.Parallel()
	g := embeds(t, pt.JSON(200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"vectors"}`))
	got := g.ask(http.MethodPost, "/v1/embeddings", strings.NewReader(`{"model":"vectors","input":[1,2,3]}`))
	row := g.rows(1)[0]
	if row.Tokens.Input < 3 || row.Tokens.Output != 0 || row.UsageSource == billing.Reported {
		t.Errorf("booked %+v", row)
	}
	if want := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"total_tokens":%[1]d,"cost":`,
		row.Tokens.Input); !strings.Contains(got.body, want) {
		t.Errorf("told %s; want %s", got.body, want)
	}
}

func TestEmbeddings_Refused(t *testing.T) {
	t.Parallel()
	g := embeds(t, pt.JSON(200, floatVectors))
	c := g.goOpenAI()
	for name, tt := range map[string]struct {
		ask     func(ctx context.Context) error
		status  int
		code    any
		message string
	}{
		"a chat with a model of vectors": {func(ctx context.Context) error {
			_, err := c.CreateChatCompletion(ctx, client.OneMessage("vectors", "hi"))
			return err
		}, 400, "unsupported_by_model", "vectors serves embeddings and not chat"},
		"vectors of a model that chats": {func(ctx context.Context) error {
			_, err := c.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{Input: []string{"x"}, Model: "chats"})
			return err
		}, 400, "unsupported_by_model", "chats serves chat and not embeddings"},
		"no model": {func(ctx context.Context) error {
			_, err := c.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{Input: []string{"x"}, Model: "nothing"})
			return err
		}, 404, "model_not_found", "There is no model"},
		"no input": {func(ctx context.Context) error {
			_, err := c.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{Input: []string{}, Model: "vectors"})
			return err
		}, 400, "invalid_value", "at least one text"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.ask(t.Context())
			var api *openai.APIError
			if !errors.As(err, &api) || api.HTTPStatusCode != tt.status || api.Code != tt.code ||
				!strings.Contains(api.Message, tt.message) {
				t.Errorf("%+v", err)
			}
		})
	}
	if n := len(g.ups[0].Calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
	used, money := int64(1000), billing.Money(10)
	_, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &used, Money: &money})
	r := g.ask(http.MethodPost, "/v1/embeddings", strings.NewReader(`{"model":"vectors","input":"`+strings.Repeat("word ", 50)+`"}`))
	if r.status != 429 || r.code(t) != "insufficient_quota" || len(g.ups[0].Calls()) != 0 {
		t.Errorf("over the budget: %d %s", r.status, r.body)
	}
}
