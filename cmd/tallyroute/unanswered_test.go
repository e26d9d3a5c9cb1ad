package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// flawed is a provider that fails in a way, works all the same, and sends a bill.
type flawed struct {
	mu     sync.Mutex
	bill   map[string]billing.Tokens // by end user and provider
	calls  map[string]int
	faults map[string]misdeed // by provider
	turn   func() bool        // where set, whether a fault happens this time
}

// misdeed is one way to fail. What a provider does after it has begun to work is billed.
type misdeed struct {
	name  string
	plays func(w http.ResponseWriter, r *http.Request, stream bool)
	bills bool
}

const (
	billedPrompt = 24
	billedOutput = 40 // of each choice
	mostOutput   = 50 // that clients allow
)

var billedCall = regexp.MustCompile(`^/(\w+)/v1/chat`)

func (b *flawed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	body := string(text)
	provider := billedCall.FindStringSubmatch(r.URL.Path)[1]
	user := hangupUser.FindStringSubmatch(body)[1] + " " + provider
	choices := int64(1)
	if strings.Contains(body, `"n":2`) {
		choices = 2
	}
	f, faulty := b.faults[provider]
	b.mu.Lock()
	if faulty && b.turn != nil {
		faulty = b.turn()
	}
	b.calls[user]++
	if !faulty || f.bills {
		t := b.bill[user]
		b.bill[user] = billing.Tokens{Input: t.Input + billedPrompt, Output: t.Output + billedOutput*choices}
	}
	b.mu.Unlock()
	stream := strings.Contains(body, `"stream":true`)
	if faulty {
		f.plays(w, r, stream)
		return
	}
	answerWell(w, stream, choices)
}

// answerWell gives a good answer.
func answerWell(w http.ResponseWriter, stream bool, choices int64) {
	usage := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, billedPrompt, billedOutput*choices,
		billedPrompt+billedOutput*choices)
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		text, _, _ := strings.Cut(attackAnswer, `"usage"`)
		_, _ = io.WriteString(w, text+usage+"}")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, data := range []string{attackWord, attackFinish, attackHead + `"choices":[],` + usage + "}", "[DONE]"} {
		_, _ = io.WriteString(w, "data: "+data+"\n\n")
	}
}

// part writes some of an answer and has it sent.
func part(w http.ResponseWriter, stream bool, text string) {
	kind := "application/json"
	if stream {
		kind, text = "text/event-stream", ": "+text+"\n\n"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
}

// reset ends the connection without a word.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// misdeeds returns the table of misdeeds.
func misdeeds() []misdeed {
	status := func(code int, text string) func(http.ResponseWriter, *http.Request, bool) {
		return func(w http.ResponseWriter, _ *http.Request, _ bool) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}
	apiError := `{"error":{"message":"no","type":"server_error"}}`
	silent := func(r *http.Request) { <-r.Context().Done() }
	return []misdeed{
		{"silence", func(_ http.ResponseWriter, r *http.Request, _ bool) { silent(r) }, true},
		{"reset before the header", func(w http.ResponseWriter, _ *http.Request, _ bool) { reset(w) }, true},
		{"cut after the header", func(w http.ResponseWriter, _ *http.Request,
			s bool,
		) {
			part(w, s, "")
			panic(http.ErrAbortHandler)
		}, true},
		{"silence after the header", func(w http.ResponseWriter, r *http.Request, s bool) { part(w, s, ""); silent(r) }, true},
		{"cut in the body", func(w http.ResponseWriter, _ *http.Request, s bool) {
			part(w, s, attackAnswer[:150])
			panic(http.ErrAbortHandler)
		}, true},
		{"silence in the body", func(w http.ResponseWriter, r *http.Request, s bool) { part(w, s, attackAnswer[:150]); silent(r) }, true},
		{"garbage", status(200, `{"choices":[{"`), true},
		{"nothing", status(200, ""), true},
		{"no choices", status(200, `{"id":"x","choices":[]}`), true},
		{"an error under 200", status(200, apiError), true},
		{"a page", func(w http.ResponseWriter, _ *http.Request, _ bool) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<p>hello")
		}, true},
		{"compressed", func(w http.ResponseWriter, _ *http.Request, _ bool) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "hello")
		}, true},
		{"too large", func(w http.ResponseWriter, _ *http.Request, s bool) {
			w.Header().Set("Content-Type", "application/json")
			for blank := []byte(strings.Repeat(" ", 1<<20)); !s; {
				if _, err := w.Write(blank); err != nil {
					return
				}
			}
		}, true},
		{"500", status(500, apiError), false},
		{"503", status(503, ""), false},
		{"529", status(529, apiError), false},
		{"400", status(400, apiError), false},
		{"401", status(401, apiError), false},
		{"402", status(402, apiError), false},
		{"404", status(404, apiError), false},
		{"408", status(408, ""), false},
		{"413", status(413, apiError), false},
		{"429", status(429, apiError), false},
		{"redirect", func(w http.ResponseWriter, r *http.Request, _ bool) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, false},
		{"refusal under 200", status(200, `{"error":{"message":"slow down","code":429}}`), false},
	}
}

// serveFlawed starts the program with a pair of providers for each misdeed, of which
// the cheaper one commits it, and the dearer one does so as well where alone is set.
func serveFlawed(t *testing.T, more string, faults []misdeed) (*flawed, *attackTarget) {
	t.Helper()
	b := &flawed{bill: make(map[string]billing.Tokens), calls: make(map[string]int), faults: make(map[string]misdeed)}
	upstream := httptest.NewServer(b)
	t.Cleanup(upstream.Close)
	config := "providers:\n"
	add := func(name, model string, price int) {
		config += fmt.Sprintf("  %s:\n    base_url: %s/%s/v1\n    private: true\n    auth: {kind: bearer, secret: \"file:CREDENTIAL\"}\n"+
			"    models: [{id: %s, context: 400000, max_output: 4096, can: [stream], tokenizer: {encoding: o200k_base}, "+
			"prices: [{since: 2026-01-01, prompt: \"%d\", completion: \"%d\"}]}]\n", name, upstream.URL, name, model, price, 2*price)
	}
	for i, f := range faults {
		for _, stream := range []string{"p", "s"} {
			one, both := fmt.Sprintf("m%s%d", stream, i), fmt.Sprintf("n%s%d", stream, i)
			b.faults["bad"+one], b.faults["bad"+both], b.faults["worse"+both] = f, f, f
			add("bad"+one, one, 1)
			add("good"+one, one, 2)
			add("bad"+both, both, 1)
			add("worse"+both, both, 2)
		}
	}
	g := &attackTarget{t: t, out: &attackOutput{}}
	g.start(config + more + "timeouts: {shutdown_wait: 0s, upstream_header: 4s, upstream_stream_header: 4s, upstream_idle: 2s}\n")
	return b, g
}

// within checks that the amount booked for a request at a provider is at least its bill, and at
// most the hold of each attempt.
func (b *flawed) within(rows []billing.Spend, user string, choices int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	booked := make(map[string]billing.Tokens)
	for _, row := range rows {
		if row.Tokens.Prompt() > 3*billedPrompt || row.Tokens.Output > mostOutput*choices {
			return fmt.Errorf("attempt %d at %s is booked with %+v, more than was held", row.Attempt, row.Provider, row.Tokens)
		}
		if row.Cost.Total != row.Price.Cost(row.Tokens).Total || row.OverrunMoney != 0 || row.OverrunTokens != 0 {
			return fmt.Errorf("attempt %d costs %s with an overrun of %s", row.Attempt, row.Cost.Total, row.OverrunMoney)
		}
		t := booked[row.Provider]
		booked[row.Provider] = billing.Tokens{Input: t.Input + row.Tokens.Prompt(), Output: t.Output + row.Tokens.Output}
	}
	for who, bill := range b.bill {
		provider, mine := strings.CutPrefix(who, user+" ")
		if got := booked[provider]; mine && (got.Input < bill.Input || got.Output < bill.Output) {
			return fmt.Errorf("%s bills %+v, booked is %+v", provider, bill, got)
		}
	}
	for provider, got := range booked {
		if b.bill[user+" "+provider] == (billing.Tokens{}) && got != (billing.Tokens{}) {
			return fmt.Errorf("%s bills nothing, booked is %+v: %s", provider, got, rows[len(rows)-1].ErrorKind)
		}
	}
	return nil
}

// TestWhatAProviderBillsIsBookedWhateverFails: however a provider fails, the booked amount is never
// below its bill and never above the hold. Free calls are booked at zero.
func TestWhatAProviderBillsIsBookedWhateverFails(t *testing.T) {
	t.Parallel()
	faults := misdeeds()
	for store, more := range map[string]string{
		"SQLite":      "",
		"journal off": "journal: \"off\"\n",
		"Postgres":    onPostgres(t),
	} {
		t.Run(store, func(t *testing.T) {
			b, g := serveFlawed(t, more, faults)
			type asked struct {
				user    string
				choices int64
			}
			var all []asked
			var wg sync.WaitGroup
			slots := make(chan struct{}, 24)
			for i := range faults {
				for s, stream := range map[string]string{"p": "", "s": `"stream":true,`} {
					for _, model := range []string{"m", "n"} {
						for choices := int64(1); choices <= 2; choices++ {
							user := fmt.Sprintf("%s%s%d-%d", model, s, i, choices)
							all = append(all, asked{user, choices})
							body := fmt.Sprintf(`{"model":"%s%s%d","user":%q,%s"n":%d,"max_tokens":%d,"messages":[{"role":"user",`+
								`"content":%q}]}`,
								model, s, i, user, stream, choices, mostOutput, strings.Repeat(" hello", billedPrompt-7))
							wg.Go(func() {
								slots <- struct{}{}
								defer func() { <-slots }()
								g.complete(body)
							})
						}
					}
				}
			}
			wg.Wait()
			for _, a := range all {
				rows := g.rowsOf(a.user)
				if err := b.within(rows, a.user, a.choices); err != nil {
					var i int
					_, _ = fmt.Sscanf(a.user[2:], "%d", &i)
					t.Errorf("%s (%s): %v", faults[i].name, a.user, err)
				}
			}
		})
	}
}

// rowsOf returns the rows of an end user.
func (g *attackTarget) rowsOf(user string) (rows []billing.Spend) {
	g.t.Helper()
	var all []billing.Spend
	prove.Eventually(g.t, "the rows can be read", func() bool { // a crowded database is away for moments
		var err error
		all, err = g.Reports().Events(g.t.Context(), billing.EventQuery{KeyID: g.key.ID, Limit: 1000})
		return err == nil
	})
	for _, row := range all {
		if row.EndUser == user {
			rows = append(rows, row)
		}
	}
	return rows
}

// TestFlakyProviderCannotPassABudget: if some answers are cut off and failover works, the providers' bills
// stay within the budget.
func TestFlakyProviderCannotPassABudget(t *testing.T) {
	t.Parallel()
	for store, more := range map[string]string{
		"SQLite":                "",
		"SQLite, journal off":   "journal: \"off\"\n",
		"Postgres":              onPostgres(t),
		"Postgres, journal off": "journal: \"off\"\ndatabase: \"" + pgtest.DSN(t) + "\"\n",
	} {
		t.Run(store, func(t *testing.T) {
			b, g := serveFlawed(t, more, misdeeds()[1:2])
			turns := 0
			b.turn = func() bool { turns++; return turns%3 == 0 }
			limit := billing.Money(20_000_000) // $0.02, some 130 answers
			key, secret := g.issue(billing.Budget{Period: billing.PeriodDay, Money: &limit})
			var wg sync.WaitGroup
			for client := range 6 {
				wg.Go(func() {
					for n := range 200 {
						user := fmt.Sprintf("u%d-%d", client, n)
						body := fmt.Sprintf(`{"model":"mp0","user":%q,"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`,
							user, mostOutput, strings.Repeat(" hello", billedPrompt-7))
						ctx, cancel := context.WithTimeout(t.Context(), prove.Patience)
						req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Address("public")+"/v1/chat/completions",
							strings.NewReader(body))
						req.Header.Set("Authorization", "Bearer "+secret)
						resp, err := http.DefaultClient.Do(req)
						if err != nil {
							t.Error(err)
							cancel()
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						cancel()
						if resp.StatusCode == http.StatusTooManyRequests {
							return
						}
					}
				})
			}
			wg.Wait()
			var bill billing.Money
			for who, tokens := range b.bill {
				price := billing.Money(1)
				if strings.Contains(who, "good") {
					price = 2
				}
				bill += price * billing.Money(1000*tokens.Input+2000*tokens.Output)
			}
			balances, err := g.Actions().Store.Balances(t.Context(), &key, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if used := balances[0].UsedMoney; bill > used || used > limit || bill < limit/2 {
				t.Errorf("the providers bill $%s, $%s is booked of a budget of $%s", bill, used, limit)
			}
		})
	}
}

// TestHangUpBeforeTheFirstWordIsBooked: if the client of any request leaves before the first word
// arrived, at least the bill is booked.
func TestHangUpBeforeTheFirstWordIsBooked(t *testing.T) {
	t.Parallel()
	slow := misdeed{"slow", func(w http.ResponseWriter, r *http.Request, stream bool) {
		select {
		case <-time.After(250 * time.Millisecond):
			answerWell(w, stream, 1)
		case <-r.Context().Done():
		}
	}, true}
	b, g := serveFlawed(t, "journal: \""+filepath.Join(t.TempDir(), "journal")+"\"\n", []misdeed{slow})
	var wg sync.WaitGroup
	var users []string
	for _, way := range []struct{ name, model, more, header string }{
		{"plain", "mp0", "", ""},
		{"kept", "mp0", "", "yes"},
		{"stream", "ms0", `"stream":true,`, ""},
		{"keptstream", "ms0", `"stream":true,`, "yes"},
	} {
		for n := range 6 {
			user := fmt.Sprintf("%s%d", way.name, n)
			users = append(users, user)
			body := fmt.Sprintf(`{"model":%q,"user":%q,%s"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`,
				way.model, user, way.more, mostOutput, strings.Repeat(" hello", billedPrompt-7))
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Address("public")+"/v1/chat/completions",
					strings.NewReader(body))
				req.Header.Set("Authorization", "Bearer "+g.secret)
				if way.header != "" {
					req.Header.Set("Idempotency-Key", user)
				}
				if resp, err := http.DefaultClient.Do(req); err == nil {
					_ = resp.Body.Close()
				}
			})
		}
	}
	wg.Wait()
	prove.Eventually(t, "nothing is under way", func() bool { return g.Idle() })
	finished := 0
	for _, user := range users {
		rows := g.rowsOf(user)
		if err := b.within(rows, user, 1); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		for _, row := range rows {
			if row.UsageSource == billing.Reported && row.Tokens.Output == billedOutput {
				finished++
			}
		}
	}
	if finished == 0 || finished > len(users)/2 {
		t.Errorf("%d of %d were finished; of one key four may be at once", finished, len(users))
	}
}

// onPostgres returns a configuration with a new database, and with a journal outside
// the source tree.
func onPostgres(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("database: %q\njournal: %q\n", pgtest.DSN(t), filepath.Join(t.TempDir(), "journal"))
}
