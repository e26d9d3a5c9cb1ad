package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/postgres/pgtest"
)

// billers is two providers that keep their own bill, by the id of each request.
type billers struct {
	mu   sync.Mutex
	bill map[string]billLine
	n    int
}

// billLine is a line of the bill, with what the client said of itself.
type billLine struct {
	provider, model, user string
	nano                  int64
	input, cached, output int64
}

// answer bills a request and answers it. Of a prompt of 1,000 tokens 400 are cached.
func (b *billers) answer(provider string, input, cached, output int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var in struct {
			Model, User string
			Stream      bool
		}
		_ = json.Unmarshal(raw, &in)
		if strings.Contains(string(raw), "fail at "+provider) {
			http.Error(w, `{"error":{"message":"busy"}}`, http.StatusServiceUnavailable)
			return
		}
		b.mu.Lock()
		b.n++
		id := fmt.Sprintf("%s-%d", provider, b.n)
		line := billLine{provider: provider, model: in.Model, user: in.User, input: 600, cached: 400, output: 50}
		if strings.HasSuffix(r.URL.Path, "/embeddings") {
			line.input, line.cached, line.output = 7, 0, 0
		}
		line.nano = line.input*input + line.cached*cached + line.output*output // rates are nano-dollars
		b.bill[id] = line
		b.mu.Unlock()
		usage := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`,
			line.input+line.cached, line.output, line.input+line.cached+line.output, line.cached)
		head := fmt.Sprintf(`{"id":%q,"created":1767225600,"model":%q,`, id, in.Model)
		text := strings.TrimSpace(strings.Repeat("word ", 50))
		switch {
		case strings.HasSuffix(r.URL.Path, "/embeddings"):
			w.Header().Set("x-request-id", id)
			fmt.Fprintf(w, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,2]}],"model":%q,`+
				`"usage":{"prompt_tokens":7,"total_tokens":7}}`, in.Model)
		case in.Stream:
			w.Header().Set("Content-Type", "text/event-stream")
			chunk := head + `"object":"chat.completion.chunk",`
			fmt.Fprintf(w, "data: %s\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":%q},"+
				"\"finish_reason\":\"stop\"}]}\n\n"+
				"data: %s\"choices\":[],\"usage\":%s}\n\ndata: [DONE]\n\n", chunk, text, chunk, usage)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `%s"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":%q},`+
				`"finish_reason":"stop"}],"usage":%s}`, head, text, usage)
		}
	}
}

const financeProvider = `  %s:
    adapter: openai
    base_url: %s/v1
    private: true
    auth: {kind: bearer, secret: "file:CREDENTIAL"}
    models:
      - {id: chat, context: 100000, max_output: 4096, can: [stream],
         prices: [{since: 2026-01-01, prompt: "%d", cache_read: "%d", completion: "%d"}]}
      - {id: vectors, context: 8191, can: [embeddings], prices: [{since: 2026-01-01, prompt: "%d", completion: "0"}]}
`

// TestFinanceQuestionsAgainstTheBill: after plain and streamed answers, failovers, embeddings and
// refusals of two teams, reports, views and budgets equal the providers' bills to the nano-dollar.
func TestFinanceQuestionsAgainstTheBill(t *testing.T) {
	t.Parallel()
	b := &billers{bill: make(map[string]billLine)}
	near := httptest.NewServer(b.answer("near", 2000, 1000, 8000))
	far := httptest.NewServer(b.answer("far", 3000, 2000, 9000))
	t.Cleanup(near.Close)
	t.Cleanup(far.Close)
	g := &attackTarget{t: t, out: &attackOutput{}}
	dsn := pgtest.DSN(t)
	g.start(fmt.Sprintf("database: %q\njournal: %q\nproviders:\n", dsn, filepath.Join(t.TempDir(), "journal")) +
		fmt.Sprintf(financeProvider, "near", near.URL, 2, 1, 8, 2) + fmt.Sprintf(financeProvider, "far", far.URL, 3, 2, 9, 3))

	tokens, money := int64(1_000_000), billing.Money(billing.NanoPerUSD)
	owners := []struct {
		request manage.KeyRequest
		secret  string
		key     billing.Key
		spent   int64
	}{
		{request: manage.KeyRequest{
			Name: "checkout", Team: "search", Project: "shop", CostCenter: "CC-1", Environment: "prod",
			Tags: map[string]string{"feature": "checkout"},
		}},
		{request: manage.KeyRequest{Name: "nightly", Team: "data", Project: "lake", CostCenter: "CC-2", Environment: "dev"}},
	}
	want := make(map[string]int64) // dimension/value → nano
	for i := range owners {
		o := &owners[i]
		o.request.Budgets = []billing.Budget{{Period: billing.PeriodMonth, Tokens: &tokens, Money: &money}}
		key, secret, err := g.Actions().CreateKey(t.Context(), o.request, manage.By{Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		o.key, o.secret = key, secret.Reveal()
		for n := range 12 {
			user := fmt.Sprintf("user-%d-%d", i, n%3)
			path, body := "/v1/chat/completions",
				fmt.Sprintf(`{"model":"chat","user":%q,"max_tokens":100,"stream":%t,"messages":[{"role":"user",`+
					`"content":"%s%s"}]}`, user, n%2 == 1, map[bool]string{true: "fail at near "}[n%4 == 3], strings.Repeat("a word ", 480))
			if n%6 == 5 {
				path, body = "/v1/embeddings", fmt.Sprintf(`{"model":"vectors","user":%q,"input":"some words to be a vector"}`, user)
			}
			if r := g.ask(http.MethodPost, path, strings.NewReader(body), "Authorization", "Bearer "+o.secret); r.status != 200 {
				t.Fatalf("%s: %d %s", path, r.status, r.body)
			}
		}
	}
	for range 3 { // refusals: of a model that is not there, and of a budget that cannot hold so much
		g.ask(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"chta","messages":[{"role":"user","content":"x"}]}`),
			"Authorization", "Bearer "+owners[1].secret)
	}
	prove.Eventually(t, "nothing is under way", g.Idle)
	sum := int64(0)
	for _, l := range b.bill {
		o := &owners[int(l.user[len("user-")]-'0')]
		o.spent += l.nano
		sum += l.nano
		for _, at := range []string{
			"team/" + o.request.Team, "cost_center/" + o.request.CostCenter, "environment/" + o.request.Environment,
			"project/" + o.request.Project,
			"key/" + o.request.Name, "provider/" + l.provider, "model/" + l.model, "end_user/" + l.user,
			"tag:feature/" + map[bool]string{true: "checkout", false: billing.NoneGroup}[o.request.Team == "search"],
		} {
			want[at] += l.nano
		}
	}
	for _, by := range []billing.Dimension{
		"team", "cost_center", "environment", "project", "key", "provider", "model", "end_user", "tag:feature", "month", "status",
	} {
		report, err := manage.Spend(t.Context(), g.Reports(), billing.SpendQuery{GroupBy: []billing.Dimension{by}}, time.Now(), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		got, word := make(map[string]billing.Money), string(by)
		for _, l := range report.Data {
			cost, _ := billing.ParseMoney(l.CostUSD)
			got[l.Group[word]] += cost
		}
		for at, nano := range want {
			if value, ok := strings.CutPrefix(at, word+"/"); ok && got[value] != billing.Money(nano) {
				t.Errorf("%s: $%s, billed $%s", at, got[value], billing.Money(nano))
			}
		}
		if report.Total.CostUSD != billing.Money(sum).Short() {
			t.Errorf("by %s the total is $%s, billed $%s", by, report.Total.CostUSD, billing.Money(sum).Short())
		}
	}
	financeViews(t, pgtest.Connect(t, dsn), b, sum)
	usage, err := manage.Usage(t.Context(), g.Reports(), billing.UsageQuery{By: "key"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var requests, attempts, failed int64
	for _, l := range usage.Data {
		requests, attempts, failed = requests+l.Requests, attempts+l.Attempts, failed+l.Errors
	}
	if requests != int64(len(b.bill)) || attempts-failed != requests || failed == 0 {
		t.Errorf("%d requests, %d attempts, %d failed; %d were billed", requests, attempts, failed, len(b.bill))
	}
	corrections(t, g, pgtest.Connect(t, dsn), owners[0].key, sum)
}

// financeViews compares what finance reads with the bill.
func financeViews(t *testing.T, c *pgtest.Session, b *billers, sum int64) {
	t.Helper()
	c.Exec("SET ROLE finance; SET search_path = finance")
	for _, row := range c.Rows("SELECT provider_request_id, cost_nano, model, cache_read_tokens, input_cost_nano, cache_read_cost_nano, " +
		"output_cost_nano " +
		"FROM spend WHERE status = 'ok' AND model = 'chat'") {
		line, ok := b.bill[row[0]]
		if !ok || row[1] != fmt.Sprint(line.nano) || row[3] != fmt.Sprint(line.cached) {
			t.Errorf("the row %v is on the bill as %+v", row, line)
		}
	}
	for sql, want := range map[string]string{
		"SELECT (SELECT sum(cost_nano) FROM spend) || ' ' || (SELECT sum(cost_nano) FROM spend_by_day)": fmt.Sprint(sum, " ", sum),
		"SELECT sum(used_nano)::text FROM budget_status WHERE name IN ('checkout', 'nightly')":          fmt.Sprint(sum),
		"SELECT coalesce(bool_and(forecast_usd >= used_usd), true) FROM budget_status":                  "true",
		"SELECT count(*) FROM unpriced_usage":                                                           "0",
		"SELECT bool_and(cache_savings_usd = 0.0004) FROM spend WHERE cache_read_tokens > 0":            "true",
		"SELECT count(DISTINCT provider_request_id) FROM spend WHERE model = 'chat'":                    "20",
	} {
		if got := c.Rows(sql); len(got) != 1 || got[0][0] != want {
			t.Errorf("%s\n got %v, want %s", sql, got, want)
		}
	}
	prove.Eventually(t, "what was refused is written down", func() bool {
		got := c.Rows("SELECT key_name, code, sum(requests)::text FROM refused_requests GROUP BY 1, 2")
		return fmt.Sprint(got) == "[[nightly model_not_found 3]]"
	})
}

// corrections: a refund and a month that was closed are in every sum.
func corrections(t *testing.T, g *attackTarget, c *pgtest.Session, k billing.Key, sum int64) {
	t.Helper()
	by := manage.By{Actor: "ann", Reason: "agreed"}
	if _, err := g.Actions().Adjust(t.Context(), manage.Adjustment{KeyID: k.ID, Kind: billing.KindRefund, Amount: 1000}, by); err != nil {
		t.Fatal(err)
	}
	last := billing.MonthOf(time.Now().UTC().AddDate(0, 0, -time.Now().UTC().Day()).Format(time.DateOnly))
	for range 2 { // into an open month, and once it is closed into the next
		if _, err := g.Actions().Adjust(t.Context(), manage.Adjustment{KeyID: k.ID, Kind: billing.KindFee, Amount: 70, Month: string(last)},
			by); err != nil {
			t.Fatal(err)
		}
		_, _ = g.Actions().ClosePeriod(t.Context(), manage.Closing{Month: string(last)}, by)
	}
	c.Exec("SET ROLE finance; SET search_path = finance")
	got := fmt.Sprint(c.Rows("SELECT (SELECT sum(cost_nano) FROM spend)::text, (SELECT sum(cost_nano) FROM spend_by_day)::text, " +
		"(SELECT string_agg(kind || ' ' || cost_nano || ' ' || (adjusts_period IS NOT NULL), ',' ORDER BY cost_nano, adjusts_period) " +
		"FROM spend WHERE kind <> 'usage')"))
	if want := fmt.Sprintf("[[%d %d refund -1000 ", sum-1000+140, sum-1000+140); !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s…", got, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), prove.Patience)
	defer cancel()
	if r, err := g.Actions().CheckIntegrity(ctx, manage.Check{}); err != nil || r.Breaches > 0 {
		t.Errorf("the ledger does not add up: %v, %s", err, r.First)
	}
}
