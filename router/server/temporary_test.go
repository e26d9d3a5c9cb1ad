package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
)

// withTemporary has a listener that makes temporary keys, what they may use, and a clock.
func withTemporary(t *testing.T, allotted *[]billing.Allotment, now *time.Time) func(*Options) {
	t.Helper()
	p, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.Clock = func() time.Time { return *now }
		o.Temporary = &Temporary{Ring: ephemeral.New(p), Allot: func(_ context.Context, a billing.Allotment) error {
			*allotted = append(*allotted, a)
			return nil
		}}
	}
}

func TestTemporaryKeyOpensLessThanItsKey(t *testing.T) {
	var allotted []billing.Allotment
	now := time.Now()
	g := newRig(t, withTemporary(t, &allotted, &now))
	r := g.do(g.request("POST", "/v1/key/tokens", `{"expires_in":600,"policy":{"models":["m"],"max_output_tokens":7},`+
		`"budget":{"usd":"0.50"},"tags":{"run":"42"},"end_user":"eva"}`))
	var made temporaryKey
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	if made.KeyID != "key_1" || made.ExpiresIn != 600 || !strings.HasPrefix(made.Token, "sk-tr-tmp-") || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("made %+v", made)
	}
	if len(allotted) != 1 || allotted[0].ID != made.ID || *allotted[0].Money != billing.NanoPerUSD/2 || allotted[0].Tokens != nil {
		t.Errorf("allotted %+v", allotted)
	}
	key := "Bearer " + made.Token
	if self := g.do(g.request("GET", "/v1/key", "", "Authorization", key)); !strings.Contains(self.body, `"temporary_key":{"models":["m"]`) {
		t.Errorf("GET /v1/key: %d %s", self.StatusCode, self.body)
	}
	long := `{"model":"m","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}`
	if r := g.do(g.request("POST", "/v1/chat/completions", long, "Authorization", key)); r.StatusCode != http.StatusForbidden ||
		!strings.Contains(r.body, "temporary_key.max_output_tokens") {
		t.Errorf("more output than it may have: %d %s", r.StatusCode, r.body)
	}
	if r := g.do(g.request("POST", "/v1/key/tokens", `{}`, "Authorization", key)); !strings.Contains(r.body, codeTemporary) {
		t.Errorf("exchanged for another: %d %s", r.StatusCode, r.body)
	}
	if r := g.do(g.request("GET", "/v1/models", "", "Authorization", key+"x")); r.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(r.body, codeInvalidKey) {
		t.Errorf("forged: %d %s", r.StatusCode, r.body)
	}
	now = now.Add(11 * time.Minute)
	if r := g.do(g.request("GET", "/v1/models", "", "Authorization", key)); r.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(r.body, codeTemporaryOver) {
		t.Errorf("after its end: %d %s", r.StatusCode, r.body)
	}
}

func TestTemporaryKeyIsRefusedWithEveryFault(t *testing.T) {
	var allotted []billing.Allotment
	now := time.Now()
	g := newRig(t, withTemporary(t, &allotted, &now))
	for body, want := range map[string]string{
		`{"expires_in":0,"end_user":"\u0007"}`: "end_user must be plain text of at most 128 bytes; expires_in must be 1 to 3600 seconds.",
		`{"expires_in":9e99}`:                  "cannot unmarshal number 9e99",
		`{"budget":{"usd":"NaN"}}`:             "want an amount in dollars",
		`{"budget":{"usd":0.5}}`:               "cannot unmarshal number",
		`{"budget":{"tokens":-1}}`:             "budget.tokens must not be negative.",
		`{"models":["m"]}`:                     `unknown field`,
		`{} {}`:                                "not an object",
		`[]`:                                   "not an object",
	} {
		r := g.do(g.request("POST", "/v1/key/tokens", body))
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d %s, want %q", body, r.StatusCode, r.body, want)
		}
	}
	if len(allotted) != 0 {
		t.Errorf("allotted %+v", allotted)
	}
	r := g.do(g.request("GET", "/v1/models", "", "X-Tallyroute-Tags", "tallyroute.token=mine"))
	chat := g.do(g.request("POST", "/v1/chat/completions", `{"model":"m","messages":[]}`, "X-Tallyroute-Tags", "tallyroute.token=mine"))
	if !strings.Contains(chat.body, "the router's own") {
		t.Errorf("a tag of ours from a client: %d %s, %d %s", r.StatusCode, r.body, chat.StatusCode, chat.body)
	}
}
