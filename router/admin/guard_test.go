package admin

import (
	"net/http"
	"testing"
)

func TestListenerAnswersOnlyForHostsThatItIs(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Hosts = []string{"tallyroute.internal"} })
	ask := func(path, host string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := g.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode
	}
	for _, path := range []string{"/metrics", "/admin/v1/keys", "/version"} {
		for host, want := range map[string]int{
			"127.0.0.1:8081": 200, "10.1.2.3": 200, "[::1]:8081": 200, "localhost": 200, "LOCALHOST:8081": 200, "localhost.:1": 200,
			"tallyroute.internal:8081": 200, "evil.example": 421, "evil.example:8081": 421, "localhost.evil.example": 421,
			"127.0.0.1.evil.example": 421,
			"tallyroute":             421,
		} {
			if got := ask(path, host); got != want {
				t.Errorf("%s at %s: %d, want %d", path, host, got, want)
			}
		}
	}
	if ask("/healthz", "evil.example") != 200 || ask("/readyz", "evil.example") != 200 {
		t.Error("probes are not answered")
	}
}

func TestWrongTokensAreTriedAFewTimesAMinute(t *testing.T) {
	g := newRig(t)
	refused := 0
	for range 400 {
		a := g.send(http.MethodGet, "/admin/v1/keys", "", "Authorization", "Bearer sk-tr-admin-nonsense")
		if a.status == http.StatusTooManyRequests {
			refused++
			if a.header.Get("Retry-After") == "" {
				t.Fatal("does not say when to try again")
			}
		} else if a.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.status, a.text)
		}
	}
	if refused < 200 {
		t.Errorf("%d of 400 were refused", refused)
	}
	if n := g.logs.Len(); n > 200 {
		t.Errorf("%d lines of the log", n)
	}
	if a := g.ask(http.MethodGet, "/admin/v1/keys", ""); a.status != http.StatusOK {
		t.Errorf("the right one: %d %s", a.status, a.text)
	}
}
