package router

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/limit"
	"tallyroute/router/plan"
)

const (
	hi       = `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":10}`
	hiOpen   = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	hiStream = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"max_tokens":10}`
)

func TestCheapestAnswersAndIsBooked(t *testing.T) {
	g := newRig(t, keyWith(), target("dear", "2", "4"), target("cheap", "1", "2"))
	out := g.ok(t, hi)
	row := out.Spend
	if row.Provider != "cheap" || row.RouteReason != billing.RouteCheapest || row.Status != billing.StatusOK {
		t.Errorf("served by %s (%s, %s)", row.Provider, row.RouteReason, row.Status)
	}
	// 5 prompt tokens at $1 and 7 output tokens at $2 per million cost 19,000 nano-dollars.
	if row.Cost.Total != 19_000 || row.Baseline != 38_000 || row.UsageSource != billing.Reported {
		t.Errorf("cost %d, baseline %d, source %s", row.Cost.Total, row.Baseline, row.UsageSource)
	}
	if rows := g.ledger.settled(t); len(rows) != 1 || !rows[0].Final {
		t.Errorf("rows: %+v", rows)
	}
	if g.counter.counted != 0 {
		t.Error("a request far from every limit was counted")
	}
}

// However a request is planned, held, cut down, retried and booked, the prices of each target
// are looked up once.
func TestPricesAreLookedUpOnceForEachCandidate(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(100), moneyBudget("5")), target("a", "1", "2"), target("b", "2", "1"), target("c", "3", "3"))
	prices := &counted{Prices: g.prices}
	g.Prices = prices
	g.sender.then(fails(providers.KindOverload, 503))
	if row := g.ok(t, strings.Replace(hiOpen, `{`, `{"service_tier":"flex",`, 1)).Spend; row.Attempt != 2 || g.counter.counted == 0 {
		t.Errorf("the request was not as hard as it should be: %+v", row)
	}
	if prices.lookups != 3 {
		t.Errorf("%d look-ups for 3 candidates", prices.lookups)
	}
}

func TestFailoverUntilTheFirstContent(t *testing.T) {
	for kind, status := range map[providers.Kind]int{
		providers.KindNetwork: 0, providers.KindTimeout: 0, providers.KindCredential: 401, providers.KindRate: 429,
		providers.KindQuota: 402, providers.KindOverload: 503, providers.KindBroken: 200, providers.KindRedirect: 302,
	} {
		t.Run(string(kind), func(t *testing.T) {
			g := newRig(t, keyWith(), target("dear", "2", "4"), target("cheap", "1", "2"))
			g.sender.then(fails(kind, status))
			out := g.ok(t, hi)
			if out.Spend.Provider != "dear" || out.Spend.RouteReason != billing.RouteFailover || out.Spend.Attempt != 2 {
				t.Errorf("served by %s as attempt %d (%s)", out.Spend.Provider, out.Spend.Attempt, out.Spend.RouteReason)
			}
			rows := g.ledger.settled(t)
			if len(rows) != 2 || rows[0].Status != billing.StatusError || rows[0].Cost.Total != 0 || rows[0].Final ||
				rows[0].ErrorKind != string(kind) {
				t.Errorf("rows: %+v", rows)
			}
		})
	}
}

func TestRefusalOfTheRequestItselfIsFinal(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "2"), target("b", "2", "4"))
	g.sender.then(fails(providers.KindRequest, 400))
	_, err := g.ask(t.Context(), hi)
	if pe := wantError[*providers.Error](t, err); pe.Status != 400 {
		t.Errorf("status %d", pe.Status)
	}
	if len(g.sender.seen) != 1 {
		t.Errorf("%d attempts", len(g.sender.seen))
	}
	if rows := g.ledger.settled(t); len(rows) != 1 || rows[0].Cost.Total != 0 || !rows[0].Final {
		t.Errorf("rows: %+v", rows)
	}
}

// A prompt that is too long for one model may not be for another with a longer context. Only if
// there is none does the client get what the provider said.
func TestPromptTooLongForOneModelGoesToALongerOne(t *testing.T) {
	sized := func(name, price string, context int64) providers.Target {
		t := target(name, price, price)
		t.Context = context
		return t
	}
	for name, c := range map[string]struct {
		contexts []int64
		calls    int
		served   string // "" means refused
	}{
		"a longer one":          {[]int64{8_000, 8_000, 200_000}, 2, "c"},
		"two longer ones":       {[]int64{8_000, 16_000, 200_000}, 3, "c"},
		"none is longer":        {[]int64{8_000, 8_000, 4_000}, 1, ""},
		"one that nobody knows": {[]int64{8_000, 0, 8_000}, 2, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, keyWith(), sized("a", "1", c.contexts[0]), sized("b", "2", c.contexts[1]), sized("c", "3", c.contexts[2]))
			for range c.calls {
				g.sender.then(fails(providers.KindContext, 400))
			}
			if c.served != "" {
				g.sender.steps[c.calls-1] = plain(&chat.Usage{Input: 5, Output: 7})
				if out := g.ok(t, hi); out.Spend.Provider != c.served {
					t.Errorf("served by %s", out.Spend.Provider)
				}
			} else {
				_, err := g.ask(t.Context(), hi)
				if pe := wantError[*providers.Error](t, err); pe.Kind != providers.KindContext || is[*FailedError](err) {
					t.Errorf("%v", err)
				}
			}
			if len(g.sender.seen) != c.calls {
				t.Errorf("%d calls, want %d", len(g.sender.seen), c.calls)
			}
		})
	}
}

// A target that cannot be asked for what the client wants does not count as an attempt: nothing
// was sent, its health is unaffected, and the next candidate is asked. Only if nobody can be
// asked does the client get the first reason.
func TestTargetThatCannotBeAskedIsPassedOver(t *testing.T) {
	unfit := func(param string) step {
		return func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
			return nil, &providers.Error{Provider: x.Target.Provider, Kind: providers.KindUnfit, Detail: chat.Error{Param: param}}
		}
	}
	answered := plain(&chat.Usage{Input: 5, Output: 7})
	for name, c := range map[string]struct {
		steps          []step
		attempts, rows int
		param          string         // in the error
		kind           providers.Kind // of the error; "" means an answer
		failed         bool           // the error covers all attempts
	}{
		"an answer after it":  {[]step{unfit("a"), answered}, 1, 1, "", "", false},
		"an answer after two": {[]step{unfit("a"), unfit("b"), answered}, 1, 1, "", "", false},
		"between two":         {[]step{fails(providers.KindOverload, 503), unfit("a"), answered}, 2, 2, "", "", false},
		"nobody can":          {[]step{unfit("a"), unfit("b"), unfit("c")}, 0, 0, "a", providers.KindUnfit, false},
		"a refusal after it":  {[]step{unfit("a"), fails(providers.KindRequest, 400)}, 1, 1, "", providers.KindRequest, false},
		"nothing but failures": {
			[]step{unfit("a"), fails(providers.KindOverload, 503), fails(providers.KindRate, 429)},
			2, 2, "",
			providers.KindRate, true,
		},
		"failures, and it at last": {
			[]step{fails(providers.KindRate, 429), fails(providers.KindOverload, 503), unfit("a")},
			2, 2, "",
			providers.KindOverload, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, keyWith(tokenBudget(100_000)), target("a", "1", "1"), target("b", "2", "2"), target("c", "3", "3"))
			g.sender.then(c.steps...)
			a, err := g.ask(t.Context(), hi)
			attempts := 0
			if c.kind == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = a.Close()
				attempts = len(a.Route.Attempts)
			} else {
				pe := wantError[*providers.Error](t, err)
				if pe.Kind != c.kind || pe.Detail.Param != c.param || is[*FailedError](err) != c.failed {
					t.Errorf("%v about %q", err, pe.Detail.Param)
				}
				attempts = c.attempts // a refused request reports none
				if failed := (*FailedError)(nil); errors.As(err, &failed) {
					attempts = len(failed.Attempts)
				}
			}
			if attempts != c.attempts || len(g.sender.seen) != len(c.steps) {
				t.Errorf("%d attempts of %d calls, want %d of %d", attempts, len(g.sender.seen), c.attempts, len(c.steps))
			}
			rows := g.ledger.settled(t)
			if len(rows) != c.rows || c.rows > 0 && (rows[c.rows-1].Attempt != c.rows || !rows[c.rows-1].Final) {
				t.Errorf("rows %+v", rows)
			}
			if b := g.ledger.balances["bud_t"]; b.HeldTokens != 0 || c.kind != "" && b.UsedTokens != 0 {
				t.Errorf("balance %+v", b)
			}
		})
	}
}

// unable is the step of a target that cannot do what the client wants.
func unable(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
	return nil, &providers.Error{Provider: x.Target.Provider, Kind: providers.KindUnfit}
}

// However many candidates cannot be asked, the one that can is asked, and held for even if it
// is more expensive than those that the hold was taken for.
func TestTargetsThatCannotBeAskedHideNoOther(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(100_000), moneyBudget("1")),
		target("a", "1", "1"), target("b", "2", "2"), target("c", "3", "3"), target("d", "4", "4"), target("e", "5000", "5000"))
	var held billing.Money
	g.sender.then(unable, unable, unable, unable, func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
		held = g.ledger.balances["bud_m"].HeldMoney
		return plain(&chat.Usage{Input: 5, Output: 7})(ctx, x)
	})
	out := g.ok(t, hi)
	if out.Spend.Provider != "e" || len(g.sender.seen) != 5 {
		t.Errorf("served by %s after %d calls", out.Spend.Provider, len(g.sender.seen))
	}
	if held < out.Spend.Cost.Total || out.Spend.OverrunMoney != 0 {
		t.Errorf("%s were held for an answer that cost %s, overrun %s", held, out.Spend.Cost.Total, out.Spend.OverrunMoney)
	}
	if b := g.ledger.balances["bud_m"]; b.HeldMoney != 0 || b.UsedMoney != out.Spend.Cost.Total {
		t.Errorf("balance %+v", b)
	}
}

func TestTargetBeyondTheHoldIsNotAskedWithoutBudget(t *testing.T) {
	g := newRig(t, keyWith(moneyBudget("0.01")), target("a", "1", "1"), target("b", "2", "2"), target("c", "3", "3"),
		target("d", "50000", "50000"))
	g.sender.then(unable, unable, unable)
	_, err := g.ask(t.Context(), hi)
	wantError[*billing.QuotaError](t, err)
	if len(g.sender.seen) != 3 {
		t.Errorf("%d calls", len(g.sender.seen))
	}
	if b := g.ledger.balances["bud_m"]; b.HeldMoney != 0 || b.UsedMoney != 0 {
		t.Errorf("balance %+v", b)
	}
}

// A candidate that is only excluded because of its health may be able to do what the others
// cannot: the client is told to wait, not to change its request.
func TestTargetThatIsDownMayBeTheOneThatCan(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "1"), target("b", "2", "2"))
	g.sender.then(unable)
	b := g.targets["b/m"][0]
	for range 100 {
		g.Health.Report(callOf(&b, health.Origin{}), health.Outcome{Class: health.Failed, Certain: true}, epoch)
	}
	_, err := g.ask(t.Context(), hi)
	if failed := wantError[*FailedError](t, err); len(failed.Attempts) != 0 || failed.RetryAfter <= 0 {
		t.Errorf("%+v", failed)
	}
}

func TestTargetThatCannotBeAskedStaysHealthy(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "1"))
	for range 20 {
		g.sender.then(fails(providers.KindUnfit, 400))
		_, err := g.ask(t.Context(), hi)
		wantError[*providers.Error](t, err)
	}
	if out := g.ok(t, hi); out.Spend.Provider != "a" || len(g.sender.seen) != 21 {
		t.Errorf("served by %s after %d calls", out.Spend.Provider, len(g.sender.seen))
	}
}

func TestAtMostThreeAttempts(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(100_000)), target("a", "1", "1"), target("b", "2", "2"), target("c", "3", "3"),
		target("d", "4", "4"))
	for range 4 {
		g.sender.then(fails(providers.KindOverload, 500))
	}
	_, err := g.ask(t.Context(), hi)
	if failed := wantError[*FailedError](t, err); len(failed.Attempts) != 3 {
		t.Errorf("%d attempts", len(failed.Attempts))
	}
	if rows := g.ledger.settled(t); len(rows) != 3 || !rows[2].Final {
		t.Errorf("rows: %+v", rows)
	}
	if b := g.ledger.balances["bud_t"]; b.UsedTokens != 0 || b.HeldTokens != 0 {
		t.Errorf("balance %+v", b)
	}
}

// Without max_tokens, the model's own maximum is sent, or as much as still fits.
func TestOutputIsBoundedWithoutMaxTokens(t *testing.T) {
	for _, c := range []struct {
		name    string
		body    string
		key     *billing.Key
		sent    int64 // the bound sent upstream; 0 leaves the client's
		lowered bool
		refused bool
	}{
		{name: "no budget", body: hiOpen, key: keyWith(), sent: 0},
		{name: "the client's own", body: hi, key: keyWith(), sent: 0},
		{name: "room for all", body: hiOpen, key: keyWith(tokenBudget(1_000_000)), sent: 0},
		{name: "100 tokens left", body: hiOpen, key: keyWith(tokenBudget(100)), sent: 100 - int64(len(hiOpen)/10), lowered: true},
		{name: "no token left", body: hiOpen, key: keyWith(tokenBudget(int64(len(hiOpen) / 10))), refused: true},
		{name: "the client's own does not fit", body: hi, key: keyWith(tokenBudget(10)), refused: true},
		// At $2 per million output tokens, 100 tokens cost $0.0002, part of which goes to the
		// prompt.
		{name: "money for a few", body: hiOpen, key: keyWith(moneyBudget("0.0002")), sent: 96, lowered: true},
		{name: "more than the model can", body: strings.Replace(hi, ":10}", ":5000}", 1), key: keyWith(), sent: 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, c.key, target("a", "1", "2"))
			a, err := g.ask(t.Context(), c.body)
			if c.refused {
				wantError[*billing.QuotaError](t, err)
				if len(g.sender.seen) != 0 {
					t.Error("was sent all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if got := g.sender.seen[0].MaxOutput; got != c.sent {
				t.Errorf("sent a bound of %d, want %d", got, c.sent)
			}
			if (a.Route.MaxOutput != 0) != c.lowered {
				t.Errorf("lowered to %d", a.Route.MaxOutput)
			}
		})
	}
}

// The body has 73 bytes, so its bound is 73 tokens; its count is 7.
func TestNearALimitThePromptIsCounted(t *testing.T) {
	for limit, counted := range map[int64]bool{
		17:     true,  // only the count fits
		1000:   true,  // the bound fits, but not twenty times over
		10_000: false, // far from the limit
	} {
		g := newRig(t, keyWith(tokenBudget(limit)), target("a", "1", "2"))
		g.ok(t, hi)
		if got := g.counter.counted > 0; got != counted {
			t.Errorf("with a budget of %d: counted is %t", limit, got)
		}
		if b := g.ledger.balances["bud_t"]; b.UsedTokens != 12 {
			t.Errorf("balance %+v", b)
		}
	}
}

func TestChoicesMultiplyTheHold(t *testing.T) {
	body := strings.Replace(hi, `"max_tokens":10`, `"n":3,"max_tokens":10`, 1)
	g := newRig(t, keyWith(tokenBudget(1_000_000)), target("a", "1", "2"))
	var held int64
	g.sender.then(func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
		g.ledger.set(func(l *ledger) { held = l.holds["req_1"].Tokens })
		return plain(&chat.Usage{Input: 1, Output: 1})(ctx, x)
	})
	g.ok(t, body)
	if want := int64(len(body) + 30); held != want {
		t.Errorf("held %d, want %d", held, want)
	}
}

func TestStaleKeyIsJudgedAnew(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "2"))
	g.ledger.stale = 1
	g.ok(t, hi)
	g.ledger.stale = 2
	if _, err := g.ask(t.Context(), hi); !errors.Is(err, billing.ErrStaleKey) {
		t.Errorf("error %v", err)
	}
	for _, c := range []struct {
		change func(*billing.Key)
		want   string
	}{
		{func(k *billing.Key) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, billing.ErrAddress.Error()},
		{func(k *billing.Key) { k.Models = []string{"another"} }, `router: model "m" is not allowed for this key`},
	} {
		fresh := keyWith()
		c.change(fresh)
		g.Verifier, g.ledger.stale = verifier{key: keyWith(), fresh: fresh}, 1
		if _, err := g.ask(t.Context(), hi); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// What the provider reports is used, including a reported zero; what it does not report is
// counted.
func TestStreamWithoutUsageIsCounted(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "2"))
	g.sender.then(streams(io.EOF, words("four", "5five")...))
	out := g.ok(t, hiStream)
	if out.Spend.UsageSource != billing.Counted || out.Spend.Tokens.Output != 9 || out.Spend.Tokens.Input != int64(len(hiStream)/10) {
		t.Errorf("%+v", out.Spend)
	}
	usage := chat.Chunk{Usage: &chat.Usage{Input: 3, Output: 2}, UsageOnly: true}
	g.sender.then(streams(io.EOF, append(words("ab"), usage)...))
	out = g.ok(t, hiStream)
	if out.Spend.UsageSource != billing.Reported || out.Spend.Tokens != (billing.Tokens{Input: 3, Output: 2}) {
		t.Errorf("%+v", out.Spend)
	}
}

func TestCutStreamIsChargedForWhatCame(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "2"))
	g.sender.then(streams(io.ErrUnexpectedEOF, words("half")...))
	a, err := g.ask(t.Context(), hiStream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("end is %v", err)
	}
	_ = a.Close()
	rows := g.ledger.settled(t)
	if len(rows) != 1 || rows[0].Status != billing.StatusUpstreamAborted || rows[0].UsageSource != billing.Counted ||
		rows[0].Tokens.Output != 4 {
		t.Errorf("rows %+v", rows)
	}
}

// Whenever the client leaves, there is exactly one row, and it is not free.
func TestClientThatHangsUpEndsTheCallAndIsCharged(t *testing.T) {
	t.Run("before anything came", func(t *testing.T) {
		g := newRig(t, keyWith(), target("a", "1", "2"), target("b", "2", "4"))
		ctx, cancel := context.WithCancel(t.Context())
		g.sender.then(func(up context.Context, x providers.Exchange) (*providers.Answer, error) {
			cancel()
			<-up.Done()
			return sentAndFails(providers.KindCanceled, 0)(up, x)
		})
		if _, err := g.ask(ctx, hi); !errors.Is(err, ErrClientGone) {
			t.Errorf("error %v", err)
		}
		rows := g.ledger.settled(t)
		if len(rows) != 1 || rows[0].Status != billing.StatusClientAborted || rows[0].Tokens.Input != int64(len(hi)/10) ||
			rows[0].UsageSource != billing.Bounded || rows[0].Tokens.Output == 0 {
			t.Errorf("rows %+v", rows)
		}
	})
	t.Run("in mid-stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, keyWith(), target("a", "1", "2"))
			g.sender.then(streams(nil, words("one", "two")...))
			ctx, cancel := context.WithCancel(t.Context())
			a, err := g.ask(ctx, hiStream)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := a.Next(); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			cancel()
			if _, err := a.Next(); err == nil {
				t.Error("no error after the client had gone")
			}
			if waited := time.Since(began); waited > linger {
				t.Errorf("upstream was cancelled after %s", waited)
			}
			_ = a.Close()
			rows := g.ledger.settled(t)
			if len(rows) != 1 || rows[0].Status != billing.StatusClientAborted || rows[0].Tokens.Output != 6 {
				t.Errorf("rows %+v", rows)
			}
		})
	})
	t.Run("closed by the server, the rest is near", func(t *testing.T) {
		g := newRig(t, keyWith(), target("a", "1", "2"))
		usage := chat.Chunk{Usage: &chat.Usage{Input: 3, Output: 2}, UsageOnly: true}
		g.sender.then(streams(io.EOF, append(words("one", "two"), usage)...))
		a, err := g.ask(t.Context(), hiStream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Next(); err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		rows := g.ledger.settled(t)
		if len(rows) != 1 || rows[0].Status != billing.StatusClientAborted || rows[0].UsageSource != billing.Reported {
			t.Errorf("rows %+v", rows)
		}
	})
}

// What a provider reports is booked unless it is below what passed through us, or impossible;
// anything doubtful about it is disputed.
func TestDoubtfulUsageIsBookedAndDisputed(t *testing.T) {
	for _, c := range []struct {
		name     string
		usage    chat.Usage
		disputed bool
		total    int64
	}{
		{"plain", chat.Usage{Input: 5, Output: 7}, false, 12},
		{"more than held, but believable", chat.Usage{Input: 5, Output: 25}, false, 30},
		{"a system prompt that we did not see", chat.Usage{Input: 900, Output: 7}, false, 907},
		{"a search that nobody asked for", chat.Usage{Input: 18_432, Output: 7}, true, 18_439},
		{"zero with text", chat.Usage{Input: 5}, true, 12},
		{"a trillion", chat.Usage{Input: 1e12, Output: 7}, true, int64(len(hi)) + 7},
		{"a trillion of output", chat.Usage{Input: 5, Output: 1e12}, true, 15},
		{"negative", chat.Usage{Invalid: true, Figures: &chat.Usage{Input: -1, Output: -1}}, true, int64(len(hi)) + 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, keyWith(), target("a", "1", "2"))
			g.sender.then(plain(&c.usage))
			row := g.ok(t, hi).Spend
			if row.Status != billing.StatusOK || row.Disputed != c.disputed || row.Tokens.Total() != c.total {
				t.Errorf("status %s, disputed %t, tokens %+v, want %t and %d in all", row.Status, row.Disputed, row.Tokens,
					c.disputed, c.total)
			}
		})
	}
}

func TestOverrunIsVisible(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(1_000_000)), target("a", "1", "2"))
	g.sender.then(plain(&chat.Usage{Input: 500, Output: 12}))
	row := g.ok(t, hi).Spend
	if want := 512 - int64(len(hi)+10); row.OverrunTokens != want {
		t.Errorf("overrun %d, want %d", row.OverrunTokens, want)
	}
	if want := row.Cost.Total - row.Price.Cost(billing.Tokens{Input: int64(len(hi)), Output: 10}).Total; row.OverrunMoney != want {
		t.Errorf("overrun of $%s, want $%s", row.OverrunMoney, want)
	}
	for _, rec := range g.records.list {
		if last := rec.Rows[len(rec.Rows)-1]; last.OverrunTokens != row.OverrunTokens || last.OverrunMoney != row.OverrunMoney {
			t.Errorf("record %+v", rec)
		}
	}
	if g.records.list[0].Event != EventBooked || g.records.list[1].Event != EventRequest {
		t.Errorf("records %+v", g.records.list)
	}
}

func TestUnpricedIsNeverFree(t *testing.T) {
	g := newRig(t, keyWith(moneyBudget("1")), target("a", "", ""))
	_, err := g.ask(t.Context(), hi)
	wantError[*plan.UnpricedError](t, err)

	g = newRig(t, keyWith(), target("a", "", ""), target("b", "9", "9"))
	if row := g.ok(t, hi).Spend; row.Provider != "b" || row.Pricing != billing.Priced {
		t.Errorf("served by %s, %s: an unknown price must not count as the cheapest", row.Provider, row.Pricing)
	}
}

func TestSettlementIsTriedUntilStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, keyWith(), target("a", "1", "2"))
		g.sender.then(func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
			g.ledger.set(func(l *ledger) { l.down = true })
			return plain(&chat.Usage{Input: 5, Output: 7})(ctx, x)
		})
		g.ok(t, hi) // the client does not pay for trouble with our database
		if rec := g.records.list[0]; rec.Event != EventSettleDelayed {
			t.Errorf("record %+v", rec)
		}
		if _, err := g.ask(t.Context(), hi); !errors.Is(err, billing.ErrUnavailable) {
			t.Errorf("error %v", err)
		}
		g.ledger.set(func(l *ledger) { l.down = false })
		if err := g.Router.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows := g.ledger.settled(t); len(rows) != 1 || rows[0].Tokens.Total() != 12 {
			t.Errorf("rows %+v", rows)
		}
		booked := func(rec Record) bool { return rec.Event == EventBooked }
		if !booked(g.records.list[len(g.records.list)-1]) || slices.ContainsFunc(g.records.list[:len(g.records.list)-1], booked) {
			t.Error("it is told as booked when it is not, or twice")
		}
	})
}

func TestDeadProviderIsLeftAlone(t *testing.T) {
	g := newRig(t, keyWith(), target("cheap", "1", "2"), target("dear", "2", "4"))
	dead := func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
		if x.Target.Provider == "cheap" {
			return fails(providers.KindOverload, 503)(ctx, x)
		}
		return plain(&chat.Usage{Input: 1, Output: 1})(ctx, x)
	}
	for range 50 {
		g.sender.then(dead)
	}
	for range 20 {
		g.ok(t, hi)
	}
	calls := 0
	for _, x := range g.sender.seen {
		if x.Target.Provider == "cheap" {
			calls++
		}
	}
	if calls > 5 {
		t.Errorf("%d calls to a dead provider", calls)
	}
}

func TestQuotaShowsAsRateLimit(t *testing.T) {
	g := newRig(t, keyWith(tokenBudget(100_000), moneyBudget("5")), target("a", "1", "2"))
	a, err := g.ask(t.Context(), hi)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	rates := a.Outcome().Rates
	if len(rates) != 1 || rates[0].Kind != "tokens" || rates[0].Limit != 100_000 || rates[0].Remaining != 100_000-12 {
		t.Errorf("rates %+v", rates)
	}
}

// A provider that has recovered is discovered by one trial, in its turn by price.
func TestRecoveredProviderComesBack(t *testing.T) {
	now := epoch
	g := newRig(t, keyWith(), target("cheap", "1", "2"), target("dear", "2", "4"))
	g.o.Clock = func() time.Time { return now }
	ask := func() string {
		result, err := g.Complete(t.Context(), Inbound{
			Caller: Caller{At: now}, RequestID: "req_x", Read: func() ([]byte, error) { return []byte(hi), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer result.Answer.Close()
		return result.Answer.Route.Target.Provider
	}
	for range 5 {
		g.sender.then(fails(providers.KindOverload, 503), plain(&chat.Usage{Input: 1, Output: 1}))
		ask()
	}
	if got := ask(); got != "dear" {
		t.Errorf("%s answered while cheap was out", got)
	}
	now = now.Add(11 * time.Second)
	if got := ask(); got != "cheap" {
		t.Errorf("%s answered after cheap had recovered", got)
	}
}

// Usage that a later chunk retracts was used all the same.
func TestUsageOfAStreamIsNotTakenBack(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "2"))
	more := chat.Chunk{Usage: &chat.Usage{Input: 30, Output: 9}, UsageOnly: true}
	less := chat.Chunk{Usage: &chat.Usage{Input: 3, Output: 2}, UsageOnly: true}
	g.sender.then(streams(io.EOF, append(words("one", "two"), more, less)...))
	a, err := g.ask(t.Context(), hiStream)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = a.Next()
	}
	_ = a.Close()
	if rows := g.ledger.settled(t); len(rows) != 1 || rows[0].Tokens.Total() != 39 {
		t.Errorf("rows %+v", rows)
	}
}

func TestLargeBodyWaitsForItsTurnToBeChecked(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "1"))
	g.Turns = limit.NewTurns(1)
	free, err := g.Turns.Of("another").Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	large := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("a", providers.Heavy) + `"}]}`
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := g.ask(gone, large); !errors.Is(err, ErrClientGone) {
		t.Errorf("got %v", err)
	}
	g.ok(t, hi)
	free()
	g.ok(t, large)
}
