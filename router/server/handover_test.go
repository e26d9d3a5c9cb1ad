package server

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"tallyroute/billing"
)

// TestLinkOfAHandoverIsSpentByTheButtonAlone opens the page like a program that previews links,
// and then like a person.
func TestLinkOfAHandoverIsSpentByTheButtonAlone(t *testing.T) {
	opened := 0
	g := newRig(t, func(o *Options) {
		o.Handover = func(_ context.Context, token, _ string) (Handed, error) {
			if opened++; token != `tr-"x` || opened > 1 {
				return Handed{}, billing.ErrNoHandover
			}
			return Handed{KeyID: "key_1", Version: 2, Secret: "sk-tr-dev-shown"}, nil
		}
	})
	ask := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s %s: %v, %v", method, path, err, resp.Header)
		}
		return resp.StatusCode, string(text)
	}
	link := "/handover?" + url.Values{"token": {`tr-"x`}}.Encode()
	for range 3 {
		if status, text := ask("GET", link, ""); status != 200 || !strings.Contains(text, "tr-&#34;x") || opened != 0 {
			t.Errorf("the page: %d %s", status, text)
		}
	}
	form := url.Values{"token": {`tr-"x`}}.Encode()
	if status, text := ask("POST", "/handover", form); status != 200 || !strings.Contains(text, "sk-tr-dev-shown") {
		t.Errorf("the button: %d %s", status, text)
	}
	if status, text := ask("POST", "/handover", form); status != http.StatusGone || strings.Contains(text, "sk-tr") {
		t.Errorf("the button again: %d %s", status, text)
	}
}

func TestNetworksOfTheListener(t *testing.T) {
	for name, c := range map[string]struct {
		allowed, blocked, proxies, forwarded string
		want                                 int
	}{
		"all may":                  {want: 401},
		"blocked":                  {blocked: "127.0.0.0/8", want: 403},
		"not among the allowed":    {allowed: "10.0.0.0/8", want: 403},
		"allowed":                  {allowed: "127.0.0.0/8", want: 401},
		"blocked within allowed":   {allowed: "127.0.0.0/8", blocked: "127.0.0.1/32", want: 403},
		"whom a proxy speaks for":  {allowed: "10.0.0.0/8", proxies: "127.0.0.0/8", forwarded: "10.1.2.3", want: 401},
		"blocked behind a proxy":   {blocked: "10.0.0.0/8", proxies: "127.0.0.0/8", forwarded: "10.1.2.3", want: 403},
		"nobody trusts the sender": {allowed: "10.0.0.0/8", forwarded: "10.1.2.3", want: 403},
		"not to be read":           {blocked: "10.0.0.0/8", proxies: "127.0.0.0/8", forwarded: "somebody", want: 403},
	} {
		g := newRig(t, func(o *Options) {
			o.AllowedNetworks, o.BlockedNetworks, o.TrustedProxies = prefixes(c.allowed), prefixes(c.blocked), prefixes(c.proxies)
		})
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.addr+"/v1/models", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, not %d", name, resp.StatusCode, c.want)
		}
	}
}

func prefixes(text string) []netip.Prefix {
	if text == "" {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix(text)}
}
