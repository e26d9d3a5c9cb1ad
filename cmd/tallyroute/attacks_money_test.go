package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	pt "tallyroute/providers/providertest"
)

// reportedUsage is what a usage must come to: the tokens that are booked and how that is known.
type reportedUsage struct {
	usage  string // as the provider reports it; the text has 2 tokens, and the prompt 8
	more   string // members of the request
	prompt int64  // -1: what was held, more than was counted
	cached int64
	output int64
	source billing.Provenance
	status string // the word about the cost
	stated int64  // provider's own cost in nano-dollars; 0: it states none
	again  bool   // the router has seen it before, and may hold enough for it by now
}

// The first provider asks 1000 nano-dollars for a token of prompt and 2000 for one of
// output; what it says that an answer cost beyond that is a fee.
func (m reportedUsage) cost(prompt int64) billing.Money {
	return billing.Money(max(prompt*1000+m.output*2000, m.stated))
}

// allowsTools lets keys with budgets ask for what no table knows the cost of.
const allowsTools = "members: {allow: [up0/tools.mcp, up0/tools.web_search, up0/cached_content, up0/mcp_servers]}\n"

// reportedUsages returns usage that providers report, correct and incorrect.
func reportedUsages() map[string]reportedUsage {
	const (
		reported, counted, bounded = billing.Reported, billing.Counted, billing.Bounded
		search                     = `,"web_search_options":{"search_context_size":"low"}`
	)
	return map[string]reportedUsage{
		"honest": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}`, prompt: 8, output: 2,
			source: reported, status: "exact",
		},
		"missing": {usage: `null`, prompt: 8, output: 2, source: counted, status: "estimated"},
		"a search, asked for": {
			usage: `{"prompt_tokens":12480,"completion_tokens":90,"total_tokens":12570}`, more: search,
			prompt: 12480, output: 90, source: reported, status: "overrun",
		},
		"a search, not asked for": {
			usage: `{"prompt_tokens":18432,"completion_tokens":2,"total_tokens":18434}`, prompt: 18432,
			output: 2, source: reported, status: "disputed",
		},
		"a tool at the provider": {
			usage: `{"prompt_tokens":60000,"completion_tokens":2,"total_tokens":60002}`,
			more:  `,"tools":[{"type":"web_search_20250305","name":"web_search"}]`, prompt: 60000, output: 2, source: reported,
			status: "overrun",
		},
		"beyond the context": {
			usage: `{"prompt_tokens":900000,"completion_tokens":2,"total_tokens":900002}`, prompt: 900000,
			output: 2, source: reported, status: "disputed",
		},
		"a cached context": {
			usage: `{"prompt_tokens":900000,"completion_tokens":2,"total_tokens":900002,` +
				`"prompt_tokens_details":{"cached_tokens":899992}}`, more: `,"cached_content":"c/1"`, prompt: 900000, cached: 899992,
			output: 2, source: reported, status: "overrun",
		},
		"more output than was asked": {
			usage: `{"prompt_tokens":8,"completion_tokens":4020,"total_tokens":4028}`, prompt: 8, output: 4020,
			source: reported, status: "disputed",
		},
		"reasoning beside, over max": {usage: `{"prompt_tokens":8,"completion_tokens":40,"total_tokens":2857,` +
			`"completion_tokens_details":{"reasoning_tokens":2809}}`, prompt: 8, output: 2849, source: reported, status: "disputed"},
		"output only in the total": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":50}`, prompt: 8, output: 42,
			source: reported, status: "disputed",
		},
		"no output": {
			usage: `{"prompt_tokens":8,"completion_tokens":0,"total_tokens":8}`, prompt: 8, output: 2,
			source: counted, status: "disputed",
		},
		"no prompt": {
			usage: `{"prompt_tokens":0,"completion_tokens":2,"total_tokens":2}`, prompt: 8, output: 2,
			source: counted, status: "disputed",
		},
		"nothing": {
			usage: `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, prompt: 8, output: 2,
			source: counted, status: "disputed",
		},
		"one token of output": {
			usage: `{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}`, prompt: 8, output: 2,
			source: counted, status: "disputed",
		},
		"negative": {
			usage: `{"prompt_tokens":-8,"completion_tokens":-2,"total_tokens":-10}`, prompt: -1, output: 50,
			source: bounded, status: "disputed",
		},
		"negative output": {
			usage: `{"prompt_tokens":8,"completion_tokens":-2,"total_tokens":6}`, prompt: 8, output: 50,
			source: bounded, status: "disputed",
		},
		"a fraction": {
			usage: `{"prompt_tokens":8.5,"completion_tokens":2,"total_tokens":10}`, prompt: -1, output: 2,
			source: bounded, status: "disputed",
		},
		"text": {
			usage: `{"prompt_tokens":"8","completion_tokens":"2"}`, prompt: -1, output: 50, source: bounded,
			status: "disputed",
		},
		"text of more": {
			usage: `{"prompt_tokens":"5000","completion_tokens":"400"}`, prompt: 5000, output: 400, source: bounded,
			status: "disputed",
		},
		"10^12": {
			usage: `{"prompt_tokens":1000000000000,"completion_tokens":1000000000000,"total_tokens":2000000000000}`, prompt: -1,
			output: 50, source: bounded, status: "disputed",
		},
		"10^9 and one": {
			usage: `{"prompt_tokens":8,"completion_tokens":1000000001}`, prompt: 8, output: 50, source: bounded,
			status: "disputed",
		},
		"2^64": {
			usage: `{"prompt_tokens":18446744073709551616,"completion_tokens":2,"total_tokens":3}`, prompt: -1,
			output: 2, source: bounded, status: "disputed",
		},
		"much prompt, no such output": {
			usage: `{"prompt_tokens":60000,"completion_tokens":-1}`, prompt: 60000, output: 50, source: bounded,
			status: "disputed",
		},
		"an impossible total": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":1e300}`, prompt: 8, output: 2,
			source: reported, status: "disputed",
		},
		"an impossible part": {usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,` +
			`"prompt_tokens_details":{"cached_tokens":-4}}`, prompt: 8, output: 2, source: reported, status: "disputed"},
		"more cached than there is": {
			usage:  `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cache_read_input_tokens":5000}`,
			prompt: 5008, cached: 5000, output: 2, source: reported, status: "disputed",
		},
		"a total below its parts": {
			usage: `{"prompt_tokens":8,"completion_tokens":20,"total_tokens":12}`, prompt: 8, output: 20,
			source: reported, status: "disputed",
		},
		"a total alone": {usage: `{"total_tokens":40}`, prompt: 8, output: 32, source: counted, status: "estimated"},
		"a total and an output": {
			usage: `{"completion_tokens":2,"total_tokens":10}`, prompt: 8, output: 2, source: reported,
			status: "exact",
		},
		"a few more cached": {usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,` +
			`"prompt_tokens_details":{"cached_tokens":40}}`, prompt: 48, cached: 40, output: 2, source: reported, status: "disputed"},
		"much more reasoning": {usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,` +
			`"completion_tokens_details":{"reasoning_tokens":40}}`, prompt: 8, output: 42, source: reported, status: "disputed"},
		"cache beside, by cost": {
			usage: `{"prompt_tokens":40,"completion_tokens":2,"total_tokens":42,` +
				`"prompt_tokens_details":{"cached_tokens":20},"cost":0.000064}`, prompt: 60, cached: 20, output: 2, source: reported,
			status: "exact", stated: 64_000,
		},
		"an absurd cost": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":1e30}`, prompt: 8,
			output: 2, source: reported, status: "disputed",
		},
		"a cost that is no number": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":"NaN"}`, prompt: 8,
			output: 2, source: reported, status: "disputed",
		},
		"a cost below nothing": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":-1}`, prompt: 8,
			output: 2, source: reported, status: "disputed",
		},
		"the cost, the same": {
			usage: `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":0.000012}`, prompt: 8,
			output: 2, source: reported, status: "exact", stated: 12_000,
		},
		"the cost, in ticks": {
			usage:  `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost_in_usd_ticks":120000}`,
			prompt: 8, output: 2, source: reported, status: "exact", stated: 12_000,
		},
		"the cost, with searches": {
			usage:  `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":{"total_cost":0.005012}}`,
			prompt: 8, output: 2, source: reported, status: "overrun", stated: 5_012_000,
		},
		"reasoning beside, by cost": {
			usage: `{"prompt_tokens":8,"completion_tokens":20,"total_tokens":28,` +
				`"completion_tokens_details":{"reasoning_tokens":15},"cost":0.000078}`, prompt: 8, output: 35, source: reported,
			status: "exact", stated: 78_000,
		},
		"reasoning within, by cost": {
			usage: `{"prompt_tokens":8,"completion_tokens":20,"total_tokens":28,` +
				`"completion_tokens_details":{"reasoning_tokens":15},"cost":0.000048}`, prompt: 8, output: 20, source: reported,
			status: "exact", stated: 48_000,
		},
		"contradiction, near beside": {
			usage: `{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12,` +
				`"completion_tokens_details":{"reasoning_tokens":30},"cost":0.00007}`, prompt: 8, output: 34, source: reported,
			status: "disputed", stated: 70_000,
		},
		"a tier that nobody knows": {
			usage:  `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10},"service_tier":"scale"`,
			prompt: 8, output: 2, source: reported, status: "disputed",
		},
		"an empty usage": {usage: `{}`, prompt: 8, output: 2, source: counted, status: "estimated"},
		"a list":         {usage: `[]`, prompt: 8, output: 2, source: counted, status: "estimated"},
		"a boolean": {
			usage: `{"prompt_tokens":true,"completion_tokens":2,"total_tokens":10}`, prompt: -1, output: 2, source: bounded,
			status: "disputed",
		},
		"an object for a number": {
			usage: `{"prompt_tokens":8,"completion_tokens":{"n":2},"total_tokens":10}`, prompt: 8, output: 50, source: bounded,
			status: "disputed",
		},
		"told twice, the larger first": {
			usage:  `{"prompt_tokens":900,"completion_tokens":40,"total_tokens":940},"usage":{"prompt_tokens":8,"completion_tokens":2}`,
			prompt: 900, output: 40, source: reported, status: "overrun",
		},
		"told twice, the larger last": {
			usage:  `{"prompt_tokens":8,"completion_tokens":2},"usage":{"prompt_tokens":900,"completion_tokens":40,"total_tokens":940}`,
			prompt: 900, output: 40, source: reported, status: "overrun",
		},
		"a member twice": {
			usage:  `{"prompt_tokens":900,"prompt_tokens":8,"completion_tokens":40,"completion_tokens":2}`,
			prompt: 900, output: 40, source: reported, status: "overrun",
		},
		"audio below nothing": {
			usage:  `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"prompt_tokens_details":{"audio_tokens":-1}}`,
			prompt: 8, output: 2, source: reported, status: "disputed",
		},
		"with exponents": {
			usage: `{"prompt_tokens":8e0,"completion_tokens":0.2e1,"total_tokens":1E1,"prompt_tokens_details":{"cached_tokens":4.0},` +
				`"completion_tokens_details":{"accepted_prediction_tokens":1e0,"audio_tokens":0e0}}`,
			prompt: 8, cached: 4, output: 2, source: reported, status: "exact",
		},
		"contradiction, no total": {usage: `{"prompt_tokens":8,"completion_tokens":4,` +
			`"completion_tokens_details":{"reasoning_tokens":30}}`, prompt: 8, output: 34, source: reported, status: "exact"},
	}
}

// Whatever a provider reports: the rows, the client's usage and cost, the header, the
// receipt, the metrics and the budget say the same to the nano-dollar, never below what
// the provider did, and they say how they know.
func TestUsageIsBookedAndToldAsTheProviderWillBillIt(t *testing.T) {
	for name, tt := range reportedUsages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.attack(t, allowsTools)
		})
	}
}

// The same in PostgreSQL, one router after the other on one database.
func TestUsageIsBookedInPostgresAsTheProviderWillBillIt(t *testing.T) {
	t.Parallel()
	dsn, usages := pgtest.DSN(t), reportedUsages()
	names := slices.Sorted(maps.Keys(usages))
	step := max(1, len(names)/prove.Size(t, "USAGES", 8))
	for i := 0; i < len(names); i += step {
		tt := usages[names[i]]
		t.Run(names[i], func(t *testing.T) { tt.attack(t, fmt.Sprintf("%sdatabase: %q\n", allowsTools, dsn)) })
	}
}

// attack has a provider report it of a plain answer and of a stream, to keys with every
// kind of budget.
func (m reportedUsage) attack(t *testing.T, config string) {
	before, _, _ := strings.Cut(attackAnswer, `"usage":`)
	chunk, _, _ := strings.Cut(attackUsage, `"usage":`)
	g := attacked(t, config+"overrun: {stop_usd: 0}\n", pt.JSON(200, before+`"usage":`+m.usage+"}"))
	earlier, err := g.Reports().Events(t.Context(), billing.EventQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	g.booked = len(earlier)
	var rows []billing.Spend
	for i, budgets := range attackBudgets(t, m) {
		m.again = i > 0
		g.key, g.secret = g.issue(budgets...)
		rows = append(rows, g.answersAs(m, before, chunk)...)
	}
	g.metersAgree(rows)
}

// attackBudgets returns the budgets of the keys that make requests: one limits tokens and dollars,
// the others only one of them, or nothing. Of the others, each usage gets one, or all if $USAGES is
// set. They are so large that no overrun here reaches the 5 percent that stop a key.
func attackBudgets(t *testing.T, m reportedUsage) [][]billing.Budget {
	tokens, dollars := int64(1_000_000_000), billing.Money(1000*billing.NanoPerUSD)
	const day = billing.PeriodDay
	all := [][]billing.Budget{
		{{Period: day, Tokens: &tokens, Money: &dollars}}, {{Period: day, Tokens: &tokens}}, {{Period: day, Money: &dollars}}, nil,
	}
	if prove.Size(t, "USAGES", 1) == 1 {
		one := 1 + len(m.usage)%3
		return [][]billing.Budget{all[0], all[one]}
	}
	return all
}

// answersAs has the key ask for a plain answer and a stream, and is its rows.
func (g *attackTarget) answersAs(m reportedUsage, before, chunk string) []billing.Spend {
	g.t.Helper()
	g.ups[0].Set(pt.JSON(200, before+`"usage":`+m.usage+"}"))
	g.booksAs(m, strings.TrimSuffix(attackPlain, "}")+m.more+"}")
	g.ups[0].Set(pt.Stream(attackWord, attackFinish, chunk+`"usage":`+m.usage+"}"))
	g.booksAs(m, strings.TrimSuffix(attackStream, "}")+m.more+`,"stream_options":{"include_usage":true}}`)
	rows, err := g.Reports().Events(g.t.Context(), billing.EventQuery{KeyID: g.key.ID, Limit: 1000})
	if err != nil || len(rows) != 2 {
		g.t.Fatalf("%d rows: %v", len(rows), err)
	}
	if len(g.key.Budgets) > 0 {
		g.balances()
	}
	return rows
}

// booksAs asks once, and compares everything that tells of it.
func (g *attackTarget) booksAs(want reportedUsage, body string) {
	g.t.Helper()
	r := g.complete(body)
	if r.status != 200 || !strings.Contains(r.body, "hello there") {
		g.t.Fatalf("%d %s", r.status, r.body)
	}
	row := g.rows(1)[0]
	if want.again && want.status == "overrun" && row.OverrunTokens == 0 && row.OverrunMoney == 0 {
		want.status = "exact"
	}
	prompt := want.prompt
	if prompt < 0 {
		if prompt = row.Tokens.Prompt(); prompt <= 8 || prompt > 200 {
			g.t.Errorf("%d tokens of prompt are not what was held", prompt)
		}
	}
	if row.Tokens.Prompt() != prompt || row.Tokens.CacheRead != want.cached || row.Tokens.Output != want.output ||
		row.Cost.Total != want.cost(prompt) {
		g.t.Errorf("booked %+v for $%s, want %+v", row.Tokens, row.Cost.Total, want)
	}
	if row.Status != billing.StatusOK || row.UsageSource != want.source || row.Disputed != (want.status == "disputed") {
		g.t.Errorf("booked as %s, %s, disputed %t", row.Status, row.UsageSource, row.Disputed)
	}
	if row.Disputed && row.Reported == nil {
		g.t.Error("nobody can see what was reported")
	}
	if row.Disputed && row.Reported != nil && *row.Reported == (billing.Tokens{}) &&
		want.usage != `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}` {
		g.t.Error("what was reported is shown as nothing")
	}
	if (row.ProviderCost != nil) != (want.stated > 0) || row.ProviderCost != nil && int64(*row.ProviderCost) != want.stated {
		g.t.Errorf("the provider's own cost is %v, want %d", row.ProviderCost, want.stated)
	}
	if beyond := row.OverrunTokens > 0 || row.OverrunMoney > 0; beyond != (want.status == "overrun") && want.status != "disputed" {
		g.t.Errorf("an overrun of %d tokens", row.OverrunTokens)
	}
	streamed := strings.HasPrefix(r.body, "data:")
	if got := r.header.Get("X-Tallyroute-Cost-Status"); !streamed && got != want.status {
		g.t.Errorf("the cost is %q, want %q", got, want.status)
	}
	if got := r.header.Get("X-Tallyroute-Cost-Usd"); !streamed && got != row.Cost.Total.Short() {
		g.t.Errorf("the header says $%s, the row $%s", got, row.Cost.Total)
	}
	g.clientSees(r.body, row, streamed && want.usage == "null")
	g.receiptSays(row, want.status)
}

// clientSees compares the client's usage with the row. Where neither the provider nor
// the format has one, there is none.
func (g *attackTarget) clientSees(body string, row billing.Spend, none bool) {
	g.t.Helper()
	var got struct {
		Usage *struct {
			Prompt     int64       `json:"prompt_tokens"`
			Completion int64       `json:"completion_tokens"`
			Total      int64       `json:"total_tokens"`
			Cost       json.Number `json:"cost"`
		} `json:"usage"`
	}
	for line := range strings.Lines(body) {
		data := strings.TrimPrefix(strings.TrimSpace(line), "data: ")
		if strings.Contains(data, `"usage":{`) {
			if err := json.Unmarshal([]byte(data), &got); err != nil {
				g.t.Errorf("%v: %s", err, data)
			}
		}
	}
	if none && got.Usage == nil {
		return
	}
	u := got.Usage
	if u == nil || u.Completion != row.Tokens.Output || u.Cost.String() != row.Cost.Total.Short() {
		g.t.Fatalf("the client sees %+v, the row has %+v for $%s: %s", u, row.Tokens, row.Cost.Total, body)
	}
	if own := row.Tokens.Input + row.Tokens.CacheWrite; u.Prompt != row.Tokens.Prompt() && u.Prompt != own {
		g.t.Errorf("the client sees a prompt of %d tokens, the row has %+v", u.Prompt, row.Tokens)
	}
}

// receiptSays compares the receipt with the row.
func (g *attackTarget) receiptSays(row billing.Spend, status string) {
	g.t.Helper()
	var got struct {
		CostUSD  string `json:"cost_usd"`
		Tokens   int64
		Attempts []struct {
			Disputed    bool
			CostStatus  string `json:"cost_status"`
			UsageSource string `json:"usage_source"`
			Tokens      billing.Tokens
			Reported    *billing.Tokens
			Overrun     struct{ Tokens int64 }
			Provider    *string `json:"provider_cost_usd"`
		}
	}
	r := g.ask(http.MethodGet, "/v1/requests/"+row.RequestID, http.NoBody)
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || len(got.Attempts) != 1 {
		g.t.Fatalf("%v: %s", err, r.body)
	}
	a := got.Attempts[0]
	if got.CostUSD != row.Cost.Total.Short() || got.Tokens != row.Tokens.Total() || a.Tokens != row.Tokens ||
		a.UsageSource != string(row.UsageSource) {
		g.t.Errorf("the receipt says %s; the row %+v for $%s", r.body, row.Tokens, row.Cost.Total)
	}
	if a.Disputed != row.Disputed || (a.Reported == nil) != (row.Reported == nil) || a.Overrun.Tokens != row.OverrunTokens ||
		(a.Provider == nil) != (row.ProviderCost == nil) || a.CostStatus != status {
		g.t.Errorf("the receipt says %s; want %s of %+v", r.body, status, row)
	}
}

// metersAgree sees that the metrics are the sum of the rows.
func (g *attackTarget) metersAgree(rows []billing.Spend) {
	g.t.Helper()
	var input, cached, output, cost, overrun, disputed float64
	for _, row := range rows {
		input += float64(row.Tokens.Input)
		cached += float64(row.Tokens.CacheRead)
		output += float64(row.Tokens.Output)
		cost += float64(row.Cost.Total)
		overrun += float64(row.OverrunTokens)
		if row.Disputed {
			disputed++
		}
	}
	text := g.metrics()
	for line, want := range map[string]float64{
		`tallyroute_tokens_total{kind="input",model="m",provider="up0"}`:      input,
		`tallyroute_tokens_total{kind="cache_read",model="m",provider="up0"}`: cached,
		`tallyroute_tokens_total{kind="output",model="m",provider="up0"}`:     output,
		`tallyroute_cost_nano_usd_total{model="m",provider="up0"}`:            cost,
		`tallyroute_overrun_tokens_total{model="m",provider="up0"}`:           overrun,
		`tallyroute_disputed_attempts_total{model="m",provider="up0"}`:        disputed,
		`tallyroute_attempts_total{kind="",model="m",provider="up0"}`:         float64(len(rows)),
	} {
		_, rest, _ := strings.Cut(text, "\n"+line+" ")
		value, _, _ := strings.Cut(rest, "\n")
		if got, err := strconv.ParseFloat(cmp.Or(value, "0"), 64); err != nil || got != want {
			g.t.Errorf("%s is %v, %v; want %v", line, got, err, want)
		}
	}
	for _, line := range []string{"usage disputed", "overrun"} {
		if disputed > 0 && line == "usage disputed" && !strings.Contains(g.out.String(), `"`+line+`"`) {
			g.t.Errorf("the log has no line %q", line)
		}
	}
}

// A key ends with the answer that shows that far more was used than was held, and that
// answer is booked whole.
func TestOverrunEndsAKeyAndIsBookedWhole(t *testing.T) {
	before, _, _ := strings.Cut(attackAnswer, `"usage":`)
	g := attacked(t, allowsTools, pt.JSON(200, before+`"usage":{"prompt_tokens":60000,"completion_tokens":2,"total_tokens":60002}}`))
	limit := billing.Money(100_000_000) // a tenth of a dollar; each answer is billed at 6 cents
	g.key, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Money: &limit})
	body := strings.TrimSuffix(attackPlain, "}") + `,"tools":[{"type":"web_search_20250305","name":"web_search"}]}`
	answered := 0
	for range 36 {
		if g.complete(body).status == 200 {
			answered++
		}
	}
	var used billing.Money
	for _, row := range g.rows(answered) {
		used = used.Add(row.Cost.Total)
	}
	if bill := billing.Money(answered) * 60_004_000; used != bill || answered != 1 {
		t.Errorf("%d answers, $%s booked of a bill of $%s", answered, used, bill)
	}
}
