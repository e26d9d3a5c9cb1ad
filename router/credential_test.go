package router

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// key is a credential that identifies itself in a header.
type key string

func (k key) Sign(_ context.Context, r *http.Request) error {
	r.Header.Set("Key", string(k))
	return nil
}

func withKeys(weights ...int) providers.Target {
	t := target("a", "1", "4")
	for i, w := range weights {
		name := string(rune('1' + i))
		t.Credentials = append(t.Credentials, providers.Credential{Name: name, Auth: key(name), Weight: w})
	}
	return t
}

// used returns the credentials of the calls that were made.
func (g *rig) used() (names string) {
	for _, x := range g.sender.seen {
		name := x.Target.Account
		if x.Target.Auth != nil && string(x.Target.Auth.(key)) != name {
			name = "mixed up"
		}
		names += name + " "
	}
	return strings.TrimSpace(names)
}

func TestCredentialsShareCallsByWeight(t *testing.T) {
	g := newRig(t, keyWith(), withKeys(3, 0, 1))
	for range 10_000 {
		g.ok(t, hi)
	}
	first, none, last := strings.Count(g.used(), "1"), strings.Count(g.used(), "2"), strings.Count(g.used(), "3")
	if none != 0 || first+last != 10_000 || first < 7200 || first > 7800 {
		t.Errorf("three to none to one became %d to %d to %d", first, none, last)
	}
}

func TestCredentialThatFailsIsCooledAndAnotherTried(t *testing.T) {
	for kind, status := range map[providers.Kind]int{
		providers.KindCredential: 401, providers.KindQuota: 402, providers.KindRate: 429,
	} {
		g := newRig(t, keyWith(), withKeys(1, 1))
		now := epoch
		g.o.Clock = func() time.Time { return now }
		g.o.Random = func(int64) int64 { return 0 } // the first of those left
		g.sender.then(fails(kind, status))
		out := g.ok(t, hi)
		if got := g.used(); got != "1 2" || out.Spend.Attempt != 2 || out.Spend.Status != billing.StatusOK {
			t.Errorf("%s: %s, %+v", kind, got, out.Spend)
		}
		g.ok(t, hi)
		if got := g.used(); got != "1 2 2" {
			t.Errorf("%s: the one that failed is not left alone: %s", kind, got)
		}
		now = now.Add(2 * time.Minute)
		g.ok(t, hi)
		if got := g.used(); got != "1 2 2 2" && got != "1 2 2 1" {
			t.Errorf("%s: later %s", kind, got)
		}
	}
}

// A failure that is not the credential's fault is not retried with another credential.
func TestOtherFailuresGoToAnotherProvider(t *testing.T) {
	b := target("b", "2", "8")
	g := newRig(t, keyWith(), withKeys(1, 1), b)
	g.o.Random = func(int64) int64 { return 0 }
	g.sender.then(fails(providers.KindOverload, 500))
	if out := g.ok(t, hi); out.Spend.Provider != "b" || g.used() != "1" {
		t.Errorf("%s by %s", g.used(), out.Spend.Provider)
	}
	g.sender.then(fails(providers.KindRate, 429), fails(providers.KindQuota, 402))
	if out := g.ok(t, hi); out.Spend.Provider != "b" || out.Spend.Attempt != 3 {
		t.Errorf("%s by %s, attempt %d", g.used(), out.Spend.Provider, out.Spend.Attempt)
	}
	// Both are cooling down now, so the provider as a whole is.
	g.sender.seen = nil
	if out := g.ok(t, hi); out.Spend.Provider != "b" || out.Spend.Attempt != 1 {
		t.Errorf("%s by %s", g.used(), out.Spend.Provider)
	}
}

func TestRequestThatIsAtFaultIsNotTriedAgain(t *testing.T) {
	g := newRig(t, keyWith(), withKeys(1, 1))
	g.sender.then(fails(providers.KindRequest, 400))
	if _, err := g.ask(t.Context(), hi); err == nil || len(g.sender.seen) != 1 {
		t.Errorf("%v after %s", err, g.used())
	}
	// Only a few are tried.
	g = newRig(t, keyWith(), withKeys(1, 1, 1, 1, 1, 1))
	g.sender.then(fails(providers.KindRate, 429), fails(providers.KindRate, 429), fails(providers.KindRate, 429),
		fails(providers.KindRate, 429))
	if _, err := g.ask(t.Context(), hi); err == nil || len(g.sender.seen) != 3 {
		t.Errorf("%v after %s", err, g.used())
	}
}
