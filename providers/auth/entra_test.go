package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/auth"
)

func fixed(text string) auth.Source {
	return func(context.Context) (string, error) { return text, nil }
}

// login starts an Entra ID server on the loopback interface.
func login(t *testing.T, answer func(n int64, r *http.Request) (int, string)) (auth.Login, *http.Client) {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := answer(n.Add(1), r)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return auth.Login{Tenant: fixed("dir/1"), Client: fixed("app"), Secret: fixed("s3cret&x"), Server: s.URL}, s.Client()
}

func sign(t *testing.T, a providers.Auth) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://x.example", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	err = a.Sign(t.Context(), r)
	return r.Header.Get("Authorization"), err
}

func TestEntraTokenIsFetchedOnce(t *testing.T) {
	l, c := login(t, func(n int64, r *http.Request) (int, string) {
		if r.URL.EscapedPath() != "/dir%2F1/oauth2/v2.0/token" || r.FormValue("client_id") != "app" ||
			r.FormValue("client_secret") != "s3cret&x" ||
			r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "https://cognitiveservices.azure.com/.default" {
			t.Errorf("asked for %s with %v", r.URL.EscapedPath(), r.Form)
		}
		if n > 1 {
			t.Error("a token that is good is fetched again")
		}
		return 200, `{"token_type":"Bearer","expires_in":3599,"access_token":"tok"}`
	})
	a := auth.Entra(l, c)
	for range 3 {
		if got, err := sign(t, a); err != nil || got != "Bearer tok" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestEntraRefusedWithoutTellingTheSecret(t *testing.T) {
	l, c := login(t, func(int64, *http.Request) (int, string) {
		return 401, `{"error":"invalid_client","error_description":"the secret s3cret&x is wrong"}`
	})
	_, err := sign(t, auth.Entra(l, c))
	if err == nil || !strings.Contains(err.Error(), `"invalid_client"`) || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	l, c = login(t, func(int64, *http.Request) (int, string) { return 200, "<html>" })
	if _, err := sign(t, auth.Entra(l, c)); err == nil {
		t.Error("a page is taken for a token")
	}
	l, c = login(t, func(int64, *http.Request) (int, string) { return 502, "<html>" })
	busy := (*providers.Error)(nil)
	if _, err := sign(t, auth.Entra(l, c)); !errors.As(err, &busy) || busy.Kind != providers.KindOverload {
		t.Errorf("a server that is down is taken for a credential that was refused: %v", err)
	}
	missing := errors.New("not set")
	l.Secret = func(context.Context) (string, error) { return "", missing }
	if _, err := sign(t, auth.Entra(l, c)); !errors.Is(err, missing) {
		t.Error(err)
	}
}

// An authorization server at a non-public address is not contacted.
func TestEntraReachesOnlyPublicAddresses(t *testing.T) {
	l, _ := login(t, func(int64, *http.Request) (int, string) {
		t.Error("it was reached")
		return 200, "{}"
	})
	if _, err := sign(t, auth.Entra(l, providers.TokenClient(nil))); !errors.Is(err, providers.ErrNotPublic) {
		t.Error(err)
	}
}
