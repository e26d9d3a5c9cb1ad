package manager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/secret"
)

// shelf is an in-memory manager.
type shelf struct {
	mu      sync.Mutex
	texts   map[string]string
	version int
	err     error
	fetches int
	hang    chan struct{} // if set, fetches block until it is closed
}

func (s *shelf) Fetch(ctx context.Context, name string) (Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if s.hang != nil {
		<-ctx.Done()
		return Secret{}, ctx.Err()
	}
	text, there := s.texts[name]
	if s.err != nil || !there {
		return Secret{}, errors.Join(s.err, &Error{Manager: "shelf", Kind: NotFound})
	}
	return Secret{Text: secret.New(text), Version: fmt.Sprint(s.version)}, nil
}

func (s *shelf) Write(context.Context, string, string, map[string]string) error { return nil }
func (s *shelf) Delete(context.Context, string) error                           { return nil }

func (s *shelf) set(name, text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.texts[name], s.err = text, err
}

// told collects reports.
type told struct {
	mu  sync.Mutex
	all []string
}

func (t *told) report(r Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, strings.TrimSpace(r.What+" "+r.Ref+" "+r.Version))
}

func (t *told) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.all = nil }()
	return strings.Join(t.all, ", ")
}

func keep(t *testing.T) (*Keeper, *shelf, *told, func(ref string) string) {
	t.Helper()
	s, heard := &shelf{texts: map[string]string{"a": `{"key":"one","n":7}`}, version: 1}, &told{}
	k := NewKeeper(map[string]Manager{"vault": s}, Options{Report: heard.report})
	return k, s, heard, func(ref string) string {
		v, err := k.Resolve(t.Context(), ref)
		if err != nil {
			return err.Error()
		}
		return v.Reveal()
	}
}

func TestRotatedSecretIsUsedAfterTheNextLook(t *testing.T) {
	k, s, heard, get := keep(t)
	for range 3 {
		if got := get("vault:a#key") + get("vault://a#n"); got != "one7" {
			t.Fatal(got)
		}
	}
	if s.fetches != 1 || heard.take() != "fetched vault:a 1, used vault:a 1" {
		t.Errorf("%d fetches for two fields", s.fetches)
	}
	s.set("a", `{"key":"two"}`, nil)
	k.Refresh(t.Context())
	if got := get("vault:a#key") + get("vault:a"); got != "twotwo" {
		t.Errorf("after a rotation: %s", got)
	}
	if got := heard.take(); got != "rotated vault:a 2, used vault:a 2" {
		t.Error(got)
	}
}

func TestOutageKeepsTheLastGoodValueAndSaysSo(t *testing.T) {
	k, s, heard, get := keep(t)
	get("vault:a#key")
	heard.take()
	away := &Error{Manager: "shelf", Kind: Unavailable, Status: 503}
	s.set("a", `{"key":"two"}`, away)
	for range 3 {
		k.Refresh(t.Context())
	}
	if got := get("vault:a#key"); got != "one" {
		t.Errorf("during an outage: %s", got)
	}
	if got := heard.take(); got != "failed vault:a 1" {
		t.Errorf("told %q", got)
	}
	if st := k.States(); len(st) != 1 || st[0].Since.IsZero() || !errors.Is(st[0].Err, away) || st[0].Version != "1" {
		t.Errorf("%+v", st)
	}
	s.set("a", `{"key":"two"}`, &Error{Manager: "shelf", Kind: Denied, Status: 403})
	k.Refresh(t.Context())
	if got := heard.take(); got != "failed vault:a 1" {
		t.Errorf("another failure: %q", got)
	}
	s.set("a", `{"key":"three"}`, nil)
	k.Refresh(t.Context())
	if got := get("vault:a#key"); got != "three" || heard.take() == "" || k.States()[0].Err != nil {
		t.Errorf("after the outage: %s", got)
	}
}

func TestSecretThatAppearsLaterIsFound(t *testing.T) {
	k, s, _, get := keep(t)
	if got := get("vault:b"); !strings.Contains(got, "vault:b") || !strings.Contains(got, "no such secret") {
		t.Error(got)
	}
	get("vault:b")
	if s.fetches != 1 {
		t.Errorf("%d fetches: every request would be one", s.fetches)
	}
	s.set("b", "here", nil)
	k.Refresh(t.Context())
	if got := get("vault:b"); got != "here" {
		t.Error(got)
	}
	for ref, want := range map[string]string{
		"vault:a#none": `no field "none"`, "vault:b#f": "has no fields", "aws-sm:x": "section secrets", "canary-x": "refer",
	} {
		if got := get(ref); !strings.Contains(got, want) || strings.Contains(got, "here") {
			t.Errorf("%s: %s", ref, got)
		}
	}
}

// A manager that hangs does not delay checks of other managers' secrets.
func TestManagerThatHangsDelaysNoOther(t *testing.T) {
	slow, quick := &shelf{texts: map[string]string{"x": "1"}, version: 1}, &shelf{texts: map[string]string{"x": "1"}, version: 1}
	fetched := make(chan string, 8)
	k := NewKeeper(map[string]Manager{"vault": slow, "conjur": quick}, Options{Every: 20 * time.Millisecond, Report: func(r Report) {
		if r.What == Fetched || r.What == Rotated {
			fetched <- r.Ref + " " + r.Version
		}
	}})
	for _, ref := range []string{"vault:x", "conjur:x"} {
		if _, err := k.Resolve(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		prove.Receive(t, "the first is fetched", fetched)
	}
	slow.mu.Lock()
	slow.hang = make(chan struct{})
	slow.mu.Unlock()
	quick.set("x", "2", nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { k.Run(ctx); close(ended) }()
	if got := prove.Receive(t, "the other is looked at", fetched); got != "conjur:x 2" {
		t.Error(got)
	}
	stop()
	prove.Receive(t, "it ends", ended)
}

func TestCallsAreRepeatedWhereThatHelps(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int
		after   string
		want    Kind
		calls   int
	}{
		"throttled once":    {[]int{429, 200}, "1", "", 2},
		"away twice":        {[]int{503, 502, 200}, "", "", 3},
		"away for long":     {[]int{503, 503, 503, 200}, "", Unavailable, 3},
		"told to wait long": {[]int{429, 200}, "3600", Throttled, 1},
		"denied":            {[]int{403, 200}, "", Denied, 1},
		"not there":         {[]int{404, 200}, "", NotFound, 1},
		"a redirect":        {[]int{302, 200}, "", Invalid, 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.after)
				w.WriteHeader(c.answers[calls])
				calls++
			}))
			defer s.Close()
			caller := Caller{Name: "x", Client: s.Client(), Pause: func(context.Context, time.Duration) error { return nil }}
			_, err := caller.Do(t.Context(), Call{Method: http.MethodGet, URL: s.URL})
			if calls != c.calls || (err == nil) != (c.want == "") || err != nil && KindOf(err) != c.want {
				t.Errorf("%d calls, %v", calls, err)
			}
		})
	}
}

// An encrypted secret is decrypted only once while it stays the same, wherever it is.
func TestEncryptedSecretIsOpenedOnce(t *testing.T) {
	opened := 0
	k := NewKeeper(nil, Options{Open: func(_ context.Context, text string) (string, error) {
		opened++
		if !strings.HasSuffix(text, "sealed") {
			return "", errors.New("another identity")
		}
		return "plain\n", nil
	}})
	t.Setenv("TALLYROUTE_TEST_SEALED", "age-encryption.org/v1\nsealed")
	for _, ref := range []string{"age:sealed", "age:sealed", "env:TALLYROUTE_TEST_SEALED", "env:TALLYROUTE_TEST_SEALED"} {
		if v, err := k.Resolve(t.Context(), ref); err != nil || v.Reveal() != "plain" {
			t.Errorf("%s: %q, %v", ref, v.Reveal(), err)
		}
	}
	if opened != 2 {
		t.Errorf("opened %d times", opened)
	}
	if v, err := k.Resolve(t.Context(), "age:CANARY"); err == nil || v.Reveal() != "" || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v", err)
	}
	if v, err := NewKeeper(nil, Options{}).Resolve(t.Context(), "age:CANARY"); err == nil || v.Reveal() != "" ||
		!strings.Contains(err.Error(), "secrets.age_identity") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("without an identity: %v", err)
	}
}
