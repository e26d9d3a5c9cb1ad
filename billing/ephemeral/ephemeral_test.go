package ephemeral

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func ring(t testing.TB, pepper string) *Ring {
	t.Helper()
	p, err := billing.ParsePepper(strings.Repeat(pepper, 32))
	if err != nil {
		t.Fatal(err)
	}
	return New(p)
}

func secret(t testing.TB) billing.Secret {
	t.Helper()
	s, err := billing.NewSecret("dev", zeros{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func parent() *billing.Key {
	usd, tokens := billing.Money(5*billing.NanoPerUSD), int64(1000)
	return &billing.Key{
		ID: "key_1", Name: "ci", Version: 7, Tags: map[string]string{"app": "ci"}, Models: []string{"a/*"},
		Budgets: []billing.Budget{{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodDay, Money: &usd, Tokens: &tokens}},
	}
}

func (w Wish) must(t testing.TB) Key {
	t.Helper()
	k, err := w.Key(parent(), noon)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOpensWhatRoutersOfTheSamePepperMade(t *testing.T) {
	s, k := secret(t), Wish{Policy: &policy.Policy{Models: []string{"a/b"}}, Tags: map[string]string{"run": "42"}}.must(t)
	text, err := ring(t, "p").Seal(k, s)
	if err != nil {
		t.Fatal(err)
	}
	o, err := ring(t, "p").Open(text, noon)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := billing.ParsePepper(strings.Repeat("p", 32))
	if o.ID != k.ID || o.KeyID != "key_1" || o.Parent().Hash(p) != s.Hash(p) || o.Until() != noon.Add(15*time.Minute) {
		t.Errorf("got %+v", o.Key)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", o.Parent(), ring(t, "p").pepper), "ppp") {
		t.Error("a secret is printed")
	}
}

func TestRefusesWhatNobodyMade(t *testing.T) {
	r := ring(t, "p")
	text, err := r.Seal(Wish{}.must(t), secret(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := len(prefix); i < len(text); i++ {
		forged := text[:i] + string('A'+(text[i]-'A'+1)%26) + text[i+1:]
		if _, err := r.Open(forged, noon); !errors.Is(err, billing.ErrMalformedKey) {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
	}
	for _, forged := range []string{
		prefix, prefix + "AAAA", text[:len(text)-1], text + "A", text + "=", text + "\n", prefix + strings.Repeat("A", MaxText),
		prefix + base64.RawURLEncoding.EncodeToString(make([]byte, 31)), prefix + base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
	} {
		if _, err := r.Open(forged, noon); !errors.Is(err, billing.ErrMalformedKey) {
			t.Errorf("%q: %v", forged, err)
		}
	}
	if _, err := ring(t, "q").Open(text, noon); !errors.Is(err, billing.ErrMalformedKey) {
		t.Errorf("under another pepper: %v", err)
	}
}

func TestEnds(t *testing.T) {
	r := ring(t, "p")
	life := time.Minute
	text, err := r.Seal(Wish{Life: &life}.must(t), secret(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(text, noon.Add(life-time.Second)); err != nil {
		t.Errorf("before its end: %v", err)
	}
	for range 2 { // read, and remembered
		if _, err := r.Open(text, noon.Add(life)); !errors.Is(err, ErrExpired) {
			t.Errorf("at its end: %v", err)
		}
	}
	of := parent()
	of.ExpiresAt = noon.Add(30 * time.Second)
	if k, err := (&Wish{Life: &life}).Key(of, noon); err != nil || !k.Until().Equal(of.ExpiresAt) {
		t.Errorf("of a key that ends before: %v, %v", k.Until(), err)
	}
}

func TestIsNarrowerThanItsKey(t *testing.T) {
	tokens := int64(10)
	k := Wish{Policy: &policy.Policy{MaxOutputTokens: 5}, Tags: map[string]string{"run": "42"}, EndUser: "eva", Tokens: &tokens}.must(t)
	k.Issuer, k.Subject = "https://issuer", "repo:a"
	o, of := Open(k), parent()
	n := o.Narrow(of)
	if n.Rights.MaxOutput() != 5 || n.EndUser != "eva" || *n.Allotment.Tokens != 10 || !n.Bounded() || n.ID != of.ID ||
		n.Version != of.Version {
		t.Errorf("narrowed to %+v", n)
	}
	for name, want := range map[string]string{"app": "ci", "run": "42", TagID: k.ID, TagIssuer: "https://issuer", TagSubject: "repo:a"} {
		if n.Tags[name] != want {
			t.Errorf("tag %s is %q, want %q", name, n.Tags[name], want)
		}
	}
	if len(of.Tags) != 1 || of.Rights != nil || of.Allotment != nil {
		t.Errorf("the key itself changed: %+v", of)
	}
	if o.Narrow(of) != n {
		t.Error("is narrowed anew for the same key")
	}
	again := *of
	if next := o.Narrow(&again); next == n || next.Rights != n.Rights {
		t.Error("of a key that was read again and has not changed, the rights are compiled anew")
	}
	changed := again
	changed.Version++
	changed.Policies.Team = &policy.Policy{MaxOutputTokens: 3}
	if got := o.Narrow(&changed).Rights.MaxOutput(); got != 3 {
		t.Errorf("of a key that has changed, output is bounded by %d", got)
	}
	if none := (*Opened)(nil); none.Narrow(of) != of {
		t.Error("without a temporary key, the key is not its own")
	}
}

func TestTellsEveryFaultOfAWish(t *testing.T) {
	life, tokens, usd := 2*time.Hour, int64(1001), billing.Money(-1)
	w := Wish{
		Life: &life, Tokens: &tokens, Money: &usd, EndUser: "\x00",
		Policy: &policy.Policy{Models: []string{}, Endpoints: []string{"nowhere"}},
		Tags:   map[string]string{"app": "other", "tallyroute.token": "mine"},
	}
	_, err := w.Key(parent(), noon)
	var faults *FaultsError
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range faults.Faults {
		fields = append(fields, f.Field)
	}
	want := "budget.tokens budget.usd end_user expires_in policy.endpoints[0] policy.models tags.app tags.tallyroute.token"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("faults of %s, want %s", got, want)
	}
}

func TestIsNotTooLong(t *testing.T) {
	w := Wish{Policy: &policy.Policy{Models: []string{
		strings.Repeat("m", 200), strings.Repeat("n", 200), strings.Repeat("o", 200),
		strings.Repeat("q", 200),
	}}}
	if _, err := ring(t, "p").Seal(w.must(t), secret(t)); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestRemembersOnlySoMany(t *testing.T) {
	r := ring(t, "p")
	for range most + 10 {
		text, err := r.Seal(Wish{}.must(t), secret(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open(text, noon); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.opened.all) != most {
		t.Errorf("%d are remembered", len(r.opened.all))
	}
}

func BenchmarkOpen(b *testing.B) {
	w := Wish{Policy: &policy.Policy{Models: []string{"a/b", "c/d"}, Endpoints: []string{"chat"}, MaxOutputTokens: 100}}
	k, err := w.Key(parent(), noon)
	if err != nil {
		b.Fatal(err)
	}
	r := ring(b, "p")
	text, err := r.Seal(k, secret(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.read(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	of := parent()
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			o, err := r.Open(text, noon)
			if err != nil || o.Narrow(of) == nil {
				b.Fatal(err)
			}
		}
	})
}
