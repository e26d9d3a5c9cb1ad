package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/router/federation"
)

// written returns a recorder and the entries that it writes.
func written(t *testing.T) (*access.Recorder, chan access.Entry) {
	t.Helper()
	r, entries := &access.Recorder{}, make(chan access.Entry, 100)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx, time.Second, func(_ context.Context, list []access.Entry) error {
			for _, e := range list {
				entries <- e
			}
			return nil
		}, func(error) {})
	}()
	t.Cleanup(func() { stop(); <-ended })
	return r, entries
}

func TestEveryRequestIsRecordedTheRefusedOnesIncluded(t *testing.T) {
	recorder, entries := written(t)
	g := newRig(t, func(o *Options) { o.Access = recorder })
	g.verifier.key.Secret.Number = 3
	get := func(path string) { g.do(g.request(http.MethodGet, path, "")) }
	chat := func() { g.do(g.request(http.MethodPost, "/v1/chat/completions", hi)) }
	chat()
	get("/v1/models")
	get("/v1/key")
	get("/healthz") // tells everyone the same
	get("/v1/nowhere")
	g.verifier.err = billing.ErrRevoked
	chat()
	get("/v1/key")
	g.secret = "sk-none"
	chat()
	for _, want := range []access.Entry{
		{Decision: access.Allowed, Endpoint: "/v1/chat/completions", KeyID: "key_1", Version: 3, Status: 200, BytesIn: int64(len(hi))},
		{Decision: access.Allowed, Endpoint: "/v1/models", KeyID: "key_1", Version: 3, Status: 200},
		{Decision: access.Allowed, Endpoint: "/v1/key", KeyID: "key_1", Version: 3, Status: 200},
		{Decision: "not_found", Endpoint: "unknown", Status: 404},
		{Decision: "invalid_api_key", Endpoint: "/v1/chat/completions", KeyID: "key_1", Version: 3, Status: 401},
		{Decision: "invalid_api_key", Endpoint: "/v1/key", KeyID: "key_1", Version: 3, Status: 401},
		{Decision: "invalid_api_key", Endpoint: "/v1/chat/completions", Status: 401},
	} {
		got := prove.Receive[access.Entry](t, "an entry", entries)
		if !got.Address.IsLoopback() || got.Agent == "" || got.RequestID == "" || got.At.IsZero() || got.BytesOut == 0 {
			t.Errorf("something is missing: %+v", got)
		}
		got.Address, got.Agent, got.RequestID, got.At, got.BytesOut = want.Address, "", "", want.At, 0
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestWhoAsksAboutAKeyWithAnOldSecretIsToldItsEnd(t *testing.T) {
	g := newRig(t)
	if got := g.do(g.request(http.MethodGet, "/v1/key", "")); got.StatusCode != http.StatusOK || got.Header.Get("Sunset") != "" {
		t.Errorf("the newest secret: %d, Sunset %q", got.StatusCode, got.Header.Get("Sunset"))
	}
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	g.verifier.key.Secret = billing.SecretState{Number: 1, Until: end, Shared: true}
	got := g.do(g.request(http.MethodGet, "/v1/key", ""))
	if got.Header.Get("Sunset") != end.Format(http.TimeFormat) || got.Header.Get("X-Tallyroute-Key-Expires") != end.Format(time.RFC3339) {
		t.Errorf("an old secret: %v", got.Header)
	}
}

func TestARefusedExchangeAndAnEndedTemporaryKeyAreRecordedAsThatAndWhose(t *testing.T) {
	recorder, entries := written(t)
	var allotted []billing.Allotment
	now := time.Now()
	p := newPlatform(t)
	g := newRig(t, withTemporary(t, &allotted, &now), func(o *Options) {
		o.Access = recorder
		o.Temporary = o.Temporary.With(federation.New([]federation.Issuer{{URL: p.URL, Audience: "tallyroute"}}, p.Client()))
	})
	exchange := func(form string) {
		g.do(g.request(http.MethodPost, "/v1/oauth/token", form, "Content-Type", "application/x-www-form-urlencoded"))
	}
	exchange("grant_type=password")
	exchange(url.Values{
		"grant_type": {grantExchange}, "subject_token_type": {typePrefix + "jwt"}, "subject_token": {"forged"},
	}.Encode())
	typed := url.Values{"grant_type": {grantExchange}, "subject_token_type": {typePrefix + "jwt"}}.Encode()
	exchange(typed + "&subject_token=a&subject_token=b")
	exchange(typed + "&subject_token=a&requested_token_type=other")
	var made temporaryKey
	if err := json.Unmarshal([]byte(g.do(g.request(http.MethodPost, "/v1/key/tokens", `{"expires_in":60}`)).body), &made); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	g.do(g.request(http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+made.Token))
	for _, want := range [][2]string{
		{"unsupported_grant_type", ""},
		{"invalid_grant", ""},
		{"invalid_request", ""},
		{"invalid_request", ""},
		{access.Allowed, "key_1"},
		{"temporary_key_expired", "key_1"},
	} {
		if got := prove.Receive[access.Entry](t, "an entry", entries); got.Decision != want[0] || got.KeyID != want[1] {
			t.Errorf("%+v, want %v", got, want)
		}
	}
}

func TestStrangersDoNotFillTheRecordOfAccess(t *testing.T) {
	recorder, now := &access.Recorder{}, time.Now()
	g := newRig(t, func(o *Options) { o.Access, o.Clock = recorder, func() time.Time { return now } })
	g.secret = "sk-none"
	for range strangerEntries + 20 {
		g.do(g.request(http.MethodPost, "/v1/chat/completions", hi))
	}
	prove.Eventually(t, "all are counted", func() bool { return recorder.Waiting()+int(recorder.Dropped()) == strangerEntries+20 })
	if recorder.Dropped() != 20 {
		t.Errorf("%d are kept", recorder.Waiting())
	}
}
