package router

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/limit"
)

// Requests whose output is only bounded by the model, at 1000 tokens.
const (
	unbounded       = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	unboundedStream = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

// after waits like a provider, unless the call is ended first.
func after(d time.Duration, then step) step {
	return func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
		select {
		case <-time.After(d):
			return then(ctx, x)
		case <-ctx.Done():
			return sentAndFails(providers.KindCanceled, 0)(ctx, x)
		}
	}
}

// What was sent and not refused is charged: the whole prompt, and the output that may have been
// generated in the time, at most what was held; all of that if we were the ones who stopped
// waiting.
func TestFailedAttemptIsChargedWithWhatMayBeBilled(t *testing.T) {
	for name, c := range map[string]struct {
		fails  step
		rate   int64
		output int64
		source billing.Provenance
	}{
		"refused":               {fails(providers.KindRate, 429), 0, 0, billing.Reported},
		"not sent":              {fails(providers.KindNetwork, 0), 0, 0, billing.Reported},
		"timed out":             {after(90*time.Second, sentAndFails(providers.KindTimeout, 0)), 3, 1000, billing.Bounded}, // it may go on
		"broken off":            {after(90*time.Second, sentAndFails(providers.KindNetwork, 0)), 3, 270, billing.Bounded},
		"broken off, as a rule": {after(90*time.Second, sentAndFails(providers.KindNetwork, 0)), 0, 1000, billing.Bounded},
		"at once":               {sentAndFails(providers.KindBroken, 200), 3, 3, billing.Bounded},
		"a second begun":        {after(1100*time.Millisecond, sentAndFails(providers.KindBroken, 200)), 3, 6, billing.Bounded},
		"too large": {func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
			_, err := sentAndFails(providers.KindBroken, 200)(ctx, x)
			pe := providerError(&x.Target, err)
			pe.Received = 2000
			return nil, pe
		}, 3, 500, billing.Bounded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := target("a", "1", "2")
				first.TokensPerSecond = c.rate
				g := newRig(t, keyWith(moneyBudget("1")), first, target("b", "2", "4"))
				g.sender.then(c.fails, plain(&chat.Usage{Input: 5, Output: 7}))
				g.ok(t, unbounded)
				rows := g.ledger.settled(t)
				if len(rows) != 2 {
					t.Fatalf("%d rows", len(rows))
				}
				row, prompt := rows[0], int64(len(unbounded)/10)
				if c.output == 0 {
					prompt = 0
				}
				if row.Tokens != (billing.Tokens{Input: prompt, Output: c.output}) || row.UsageSource != c.source ||
					row.Status != billing.StatusError || row.Final {
					t.Errorf("%+v, %s, %s", row.Tokens, row.UsageSource, row.Status)
				}
				if want := row.Price.Cost(row.Tokens).Total; row.Cost.Total != want {
					t.Errorf("costs %s, want %s", row.Cost.Total, want)
				}
				if rows[1].OverrunMoney != 0 || rows[1].OverrunTokens != 0 {
					t.Errorf("an overrun of %s, although it was granted", rows[1].OverrunMoney)
				}
			})
		})
	}
}

// An attempt after one that is charged is made only if it can be held in addition. Otherwise
// the client gets the first error, and the charge stays.
func TestNextAttemptIsMadeOnlyWhenItIsGranted(t *testing.T) {
	for _, c := range []struct {
		budget string
		calls  int
	}{{"0.0050", 1}, {"0.0100", 2}} { // $0.004 plus the prompt is held; the first attempt is charged $0.002
		g := newRig(t, keyWith(moneyBudget(c.budget)), target("a", "1", "2"), target("b", "2", "4"))
		g.sender.then(sentAndFails(providers.KindTimeout, 0), sentAndFails(providers.KindTimeout, 0))
		_, err := g.ask(t.Context(), unbounded)
		failed := wantError[*FailedError](t, err)
		if len(failed.Attempts) != c.calls || len(g.sender.seen) != c.calls {
			t.Errorf("%d attempts, %d calls, want %d: %v", len(failed.Attempts), len(g.sender.seen), c.calls, err)
		}
		rows := g.ledger.settled(t)
		if len(rows) != c.calls || !rows[len(rows)-1].Final {
			t.Fatalf("rows %+v", rows)
		}
		for _, row := range rows {
			if row.Tokens.Output != 1000 || row.Cost.Total == 0 {
				t.Errorf("%+v costs %s", row.Tokens, row.Cost.Total)
			}
		}
		if b := g.ledger.balances["bud_m"]; b.UsedMoney > *b.Budget.Money || b.HeldMoney != 0 {
			t.Errorf("used %s and held %s of %s", b.UsedMoney, b.HeldMoney, *b.Budget.Money)
		}
	}
}

// A plain call whose client leaves is finished, and booked as reported, as long as there is
// room; other calls are cancelled and charged with a bound.
func TestPlainCallIsFinishedWithoutItsClient(t *testing.T) {
	ask := func(t *testing.T, change func(g *rig), body string) billing.Spend {
		var row billing.Spend
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, keyWith(moneyBudget("1")), target("a", "1", "2"), target("b", "2", "4"))
			change(g)
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			g.sender.then(after(time.Minute, plain(&chat.Usage{Input: 5, Output: 7})))
			if a, err := g.ask(ctx, body); err == nil {
				_ = a.Close()
			} else if !errors.Is(err, ErrClientGone) {
				t.Errorf("error %v", err)
			}
			rows := g.ledger.settled(t)
			if len(rows) != 1 || len(g.sender.seen) != 1 || g.Background.Running() != 0 {
				t.Fatalf("%d rows, %d calls, %d running", len(rows), len(g.sender.seen), g.Background.Running())
			}
			row = rows[0]
		})
		return row
	}
	room := func(g *rig) { g.Background = limit.NewCalls(1, 1) }
	if row := ask(t, room, unbounded); row.Status != billing.StatusClientAborted || row.UsageSource != billing.Reported ||
		row.Tokens.Output != 7 {
		t.Errorf("%s, %s, %+v", row.Status, row.UsageSource, row.Tokens)
	}
	for name, row := range map[string]billing.Spend{
		"no room":  ask(t, func(g *rig) { g.Background = limit.NewCalls(0, 9) }, unbounded),
		"stopping": ask(t, func(g *rig) { room(g); g.Background.Stop() }, unbounded),
		"a stream": ask(t, room, unboundedStream),
		"it stops": ask(t, func(g *rig) { room(g); g.targets["m"][0].Billing.Stops = true }, unbounded),
	} {
		if row.Status != billing.StatusClientAborted || row.UsageSource != billing.Bounded || row.Tokens.Output != 1000 {
			t.Errorf("%s: %s, %s, %+v", name, row.Status, row.UsageSource, row.Tokens)
		}
	}
}

// At shutdown, background calls are cut and booked with a bound.
func TestCutCallsInTheBackgroundAreBooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, keyWith(), target("a", "1", "2"))
		g.Background = limit.NewCalls(4, 4)
		g.sender.then(after(time.Hour, plain(nil)))
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := g.ask(ctx, unbounded)
			done <- err
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		if n := g.Background.Running(); n != 1 {
			t.Errorf("%d are running", n)
		}
		g.Background.Cut()
		if err := <-done; !errors.Is(err, ErrClientGone) {
			t.Errorf("error %v", err)
		}
		if rows := g.ledger.settled(t); len(rows) != 1 || rows[0].UsageSource != billing.Bounded || rows[0].Tokens.Output == 0 ||
			g.Background.Running() != 0 {
			t.Errorf("rows %+v", rows)
		}
	})
}

// If a stream is cut, the reasoning that a model may have done before its first words is
// charged, too, if the model reasons and its provider does not report the usage.
func TestHiddenReasoningOfACutStreamIsBounded(t *testing.T) {
	for _, reasoning := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			to := target("a", "1", "2")
			to.TokensPerSecond, to.Can.Reasoning = 10, reasoning
			g := newRig(t, keyWith(), to)
			g.sender.then(after(20*time.Second, streams(io.ErrUnexpectedEOF, words("four")...)))
			a, err := g.ask(t.Context(), unboundedStream)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = a.Next()
			}
			_ = a.Close()
			row, want := g.ledger.settled(t)[0], int64(4)
			if reasoning {
				want += 200
			}
			if row.Tokens.Output != want || row.Cost.Total != row.Price.Cost(row.Tokens).Total {
				t.Errorf("reasoning %v: %+v costs %s, want %d", reasoning, row.Tokens, row.Cost.Total, want)
			}
		})
	}
}
