package providers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// connects starts a proxy that records where it is asked to connect to, and refuses.
func connects(t *testing.T) (address string, asked chan string) {
	asked = make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host + " " + r.Header.Get("Authorization")
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func send(t *testing.T, c *http.Client, to string) error {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer credential")
	resp, err := c.Do(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func TestProxyIsAskedForPublicHostsAlone(t *testing.T) {
	address, asked := connects(t)
	p, err := NewProxy(address)
	if err != nil {
		t.Fatal(err)
	}
	c := TokenClient(p)
	if err := send(t, c, "https://8.8.8.8/v1"); err == nil {
		t.Error("no error although the proxy refused")
	}
	if got := <-asked; got != "CONNECT 8.8.8.8:443 " {
		t.Errorf("the proxy was asked %q", got)
	}
	for _, private := range []string{"https://127.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://localhost/"} {
		if err := send(t, c, private); !errors.Is(err, ErrNotPublic) {
			t.Errorf("%s: %v", private, err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the proxy was asked %q", <-asked)
	}
}

func TestProxyOfTheEnvironmentIsUsedOnlyWhenAskedFor(t *testing.T) {
	for _, c := range []*http.Transport{NewClient(Options{}).guarded, NewClient(Options{}).open} {
		if c.Proxy != nil {
			t.Error("a proxy is used that nobody has asked for")
		}
	}
	p, err := NewProxy(ProxyEnvironment)
	if err != nil || p == nil {
		t.Fatal(err)
	}
	c := NewClient(Options{Proxy: p})
	if c.guarded.Proxy == nil || c.open.Proxy != nil {
		t.Error("not used, or for private providers as well")
	}
	// Connections without the proxy are guarded as before.
	if conn, err := c.guarded.DialContext(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", "1")); !errors.Is(err, ErrNotPublic) {
		t.Errorf("%v %v", conn, err)
	}
}

func TestProxyThatIsNoneIsRefusedWithoutBeingRepeated(t *testing.T) {
	for _, text := range []string{"proxy:3128", "ftp://u:hunter2@p", "http://", "http://p/path", "http://u:hunter2@p\x00"} {
		if _, err := NewProxy(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if p, err := NewProxy(""); p != nil || err != nil {
		t.Errorf("%v %v", p, err)
	}
}
