package router

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/brake"
	"tallyroute/router/fingerprint"
)

// braked returns a rig with a brake, whose key has a policy.
func braked(t *testing.T, most policy.Runaway, p *policy.Policy) *rig {
	t.Helper()
	key := keyWith(moneyBudget("1000"))
	key.Rights = policy.Layers{Key: p}.Compile(policy.KeyFacts{})
	g := newRig(t, key, target("a", "1000", "1000"))
	g.Brake, g.Fingerprint, g.o.Brake = brake.New(), fingerprint.New([32]byte{1}), Brake{Most: most}
	return g
}

// askIn sends a request in a session.
func (g *rig) askIn(ctx context.Context, session, body string) error {
	result, err := g.Complete(ctx, Inbound{
		Caller:    Caller{From: netip.MustParseAddr("127.0.0.1"), At: epoch},
		RequestID: fmt.Sprintf("req_%d", g.ledger.next()), Session: session,
		Read: func() ([]byte, error) { return []byte(body), nil },
	})
	if err == nil {
		err = result.Answer.Close()
	}
	return err
}

func TestTheSameRequestThatComesAgainAndAgainIsNotSent(t *testing.T) {
	for name, g := range map[string]*rig{
		"by the configuration": braked(t, policy.Runaway{Repeats: 4}, nil),
		"by a policy":          braked(t, policy.Runaway{Repeats: 9}, &policy.Policy{MaxRepeats: 4}),
	} {
		for i := range 4 {
			if err := g.askIn(t.Context(), "", hi); err != nil {
				t.Fatalf("%s: request %d: %v", name, i, err)
			}
		}
		e := wantError[*brake.StoppedError](t, g.askIn(t.Context(), "", hi))
		if e.Key != "key_1" || !strings.Contains(e.Cause, "5 times") || len(g.sender.seen) != 4 || len(g.ledger.settled(t)) != 4 {
			t.Errorf("%s: %+v, %d were sent", name, e, len(g.sender.seen))
		}
		if word := refusalWord(e); word != "runaway" {
			t.Errorf("%s: the record says %q", name, word)
		}
		if err := g.askIn(t.Context(), "another", hi); err != nil {
			t.Errorf("%s: another session: %v", name, err)
		}
	}
}

func TestASessionIsStoppedAtItsRequestsAndDollars(t *testing.T) {
	for name, g := range map[string]*rig{
		"requests": braked(t, policy.Runaway{SessionRequests: 3}, nil),
		"dollars":  braked(t, policy.Runaway{}, &policy.Policy{MaxSessionCents: 3}), // each request costs 1.2 cents
	} {
		for i := range 3 {
			if err := g.askIn(t.Context(), "s", strings.Replace(hi, "hi", fmt.Sprint("hi ", i), 1)); err != nil {
				t.Fatalf("%s: request %d: %v", name, i, err)
			}
		}
		if e := wantError[*brake.StoppedError](t, g.askIn(t.Context(), "s", hi)); e.Session != "s" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestWithoutLimitsNothingIsCounted(t *testing.T) {
	g := braked(t, policy.Runaway{}, nil)
	for range 50 {
		if err := g.askIn(t.Context(), "s", hi); err != nil {
			t.Fatal(err)
		}
	}
	if len(g.Brake.Stops()) != 0 {
		t.Error("something was stopped")
	}
}

// TestConversationsThatGrowAreNotStopped runs 300 conversations of up to 40 turns, with every
// request sent three times, as by clients whose connection fails, and with many that begin and
// continue alike: all with one key, within a minute.
func TestConversationsThatGrowAreNotStopped(t *testing.T) {
	b, prints := brake.New(), fingerprint.New([32]byte{1})
	limits := brake.Limits{Repeats: 10, Within: 5 * time.Minute}
	now, requests := epoch, 0
	for c := range 300 {
		text := `{"role":"system","content":"You help."},{"role":"user","content":"question ` + fmt.Sprint(c) + `"}`
		for turn := range 1 + c%40 {
			r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[` + text + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			print, _ := prints.Of("proj", now, r)
			for range 3 {
				now = now.Add(2 * time.Millisecond)
				requests++
				for _, session := range []string{"", fmt.Sprint("s", c)} {
					if err := b.Begin(brake.Request{Key: "key_1", Session: session, Print: print}, limits, now); err != nil {
						t.Fatalf("conversation %d, turn %d: %v", c, turn, err)
					}
				}
			}
			text += `,{"role":"assistant","content":"yes"},{"role":"user","content":"go on"}` // any text will do
		}
	}
	t.Logf("%d requests, none stopped", requests)
}

// TestEachRouterCountsForItself checks the documented bound: each of two routers lets the full
// number through.
func TestEachRouterCountsForItself(t *testing.T) {
	sent := 0
	for range 2 {
		g := braked(t, policy.Runaway{SessionRequests: 5}, nil)
		for range 20 {
			if g.askIn(t.Context(), "s", hi) == nil {
				sent++
			}
		}
	}
	if sent != 10 {
		t.Errorf("%d requests were sent by two routers of 5 each", sent)
	}
}

// TestTriesAfterFailuresAreNotStopped: repeating a request because it failed, was refused by
// its budget, or met a key that had just changed, is not a runaway.
func TestTriesAfterFailuresAreNotStopped(t *testing.T) {
	g := braked(t, policy.Runaway{Repeats: 2, SessionRequests: 2}, nil)
	for range 9 {
		g.sender.then(fails(providers.KindRequest, 400)) // this says nothing about the provider's health
		wantError[*providers.Error](t, g.askIn(t.Context(), "s", hi))
	}
	g.ledger.set(func(l *ledger) { l.down = true })
	for range 5 {
		if err := g.askIn(t.Context(), "s", hi); err == nil {
			t.Fatal("it was answered without a ledger")
		}
	}
	g.ledger.set(func(l *ledger) { l.down, l.stale = false, 1 })
	for i := range 2 {
		if err := g.askIn(t.Context(), "s", hi); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	wantError[*brake.StoppedError](t, g.askIn(t.Context(), "s", hi))
}
