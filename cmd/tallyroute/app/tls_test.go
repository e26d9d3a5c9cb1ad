package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/router/certificate"
	"tallyroute/router/certificate/certtest"
	"tallyroute/router/tokens"
)

// serveTLS runs a router with a certificate, in a folder of its own.
func serveTLS(t *testing.T, change func(*config.Config)) (*Service, certtest.Leaf, string) {
	t.Helper()
	dir := t.TempDir()
	leaf := certtest.New(t).Leaf(t, "router", time.Now().Add(2*time.Hour))
	cfg := config.Default()
	cfg.TLS.CertFile, cfg.TLS.KeyFile = leaf.Write(t, dir)
	cfg.AdminTLS.CertFile, cfg.AdminTLS.KeyFile = cfg.TLS.CertFile, cfg.TLS.KeyFile
	cfg.Listen, cfg.AdminListen, cfg.Journal = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "journal")
	cfg.Leaks.Listen, cfg.Database = "off", config.DSN("sqlite:"+filepath.Join(dir, "test.db"))
	cfg.Timeouts.ShutdownWait = 0
	change(&cfg)
	s, err := New(t.Context(), &cfg, Options{Log: zap.NewNop(), Tokens: tokens.New(tokens.Options{}), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := prove.Receive(t, "the end of the router", ended); err != nil {
			t.Error(err)
		}
	})
	prove.Eventually(t, "ready", func() bool { _, err := s.ready.check(ctx); return err == nil })
	return s, leaf, dir
}

func TestListenersSpeakTLSAndTellOfFilesThatAreBad(t *testing.T) {
	s, leaf, dir := serveTLS(t, func(*config.Config) {})
	get := func(listener, path string) (int, string) {
		t.Helper()
		c := http.Client{Transport: OwnTransport(s.now().cfg.TLS.CertFile)}
		defer c.CloseIdleConnections()
		resp, err := c.Get("https://" + s.Address(listener) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		if resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s: no Strict-Transport-Security", listener)
		}
		return resp.StatusCode, string(text)
	}
	for _, listener := range []string{"public", "admin"} {
		if status, body := get(listener, "/readyz"); status != http.StatusOK || strings.Contains(body, "tls") {
			t.Errorf("%s: %d %s", listener, status, body)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), leaf.Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	prove.Eventually(t, "the probe tells", func() bool { return s.certs.stale() != "" })
	if status, body := get("admin", "/readyz"); status != http.StatusOK ||
		!strings.Contains(body, `"tls":"the certificate files of the public`) ||
		strings.Contains(body, dir) {
		t.Errorf("a bad key: %d %s", status, body)
	}
	if _, body := get("admin", "/metrics"); !strings.Contains(body, `tallyroute_tls_certificate_failing{listener="public"} 1`) {
		t.Error("the metrics do not tell")
	}
	leaf.Write(t, dir)
	prove.Eventually(t, "the files are taken", func() bool { return s.certs.stale() == "" })
}

func TestKeyThatCameInClearIsNamedAndRevoked(t *testing.T) {
	s, _, _ := serveTLS(t, func(c *config.Config) { c.RequireTLS, c.ExposedKeys = true, "revoke" })
	key, secret, err := s.Actions().CreateKey(t.Context(), manage.KeyRequest{Name: "app", Team: "t", Project: "p"},
		manage.By{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	r.RemoteAddr = "203.0.113.9:1"
	r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	w := httptest.NewRecorder()
	s.answers.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	var events []billing.Event
	prove.Eventually(t, "the event", func() bool {
		events, err = s.store.ListEvents(t.Context(), billing.EventFilter{Kind: billing.EventLeak})
		return err == nil && len(events) == 1
	})
	e := events[0]
	if e.Object != string(key.ID) || e.Severity != billing.Critical || !strings.Contains(e.Text, "plain HTTP") ||
		!strings.Contains(e.Data["url"], "203.0.113.0/24") || strings.Contains(e.Text+e.Data["url"], secret.Reveal()) {
		t.Errorf("%+v", e)
	}
	if now, err := s.Actions().Key(t.Context(), key.ID); err != nil || !strings.Contains(fmt.Sprint(now.InForce(time.Now())), "revoked") {
		t.Errorf("the key goes on: %+v, %v", now, err)
	}
}

func TestKeysOfCertificatesThatEverybodyMayReadAreTold(t *testing.T) {
	var cfg config.Config
	cfg.TLS.CertFile, cfg.TLS.KeyFile = certtest.New(t).Leaf(t, "router", time.Now().Add(time.Hour)).Write(t, t.TempDir())
	certs, err := openCertificates(&cfg)
	if err != nil || len(certs.open()) != 0 {
		t.Fatalf("a private key: %v, %v", certs.open(), err)
	}
	if err := os.Chmod(cfg.TLS.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := certs.open(); len(got) != 1 || got[0] != cfg.TLS.KeyFile {
		t.Errorf("of a key that everybody may read: %v", got)
	}
}

func TestTokenOfTheAdminAPIThatCameInClearIsTold(t *testing.T) {
	s, _, _ := serveTLS(t, func(c *config.Config) { c.RequireTLS = true })
	by := manage.By{Actor: "test"}
	p, err := s.Actions().CreatePrincipal(t.Context(), manage.PrincipalRequest{Kind: billing.PrincipalService, Name: "pipeline"}, by)
	if err != nil {
		t.Fatal(err)
	}
	token, secret, err := s.Actions().CreateToken(t.Context(), p.ID, "ci", time.Hour, by)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/admin/v1/keys", nil)
	r.Host = "127.0.0.1"
	r.RemoteAddr = "203.0.113.9:1"
	r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	w := httptest.NewRecorder()
	s.now().admin.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	prove.Eventually(t, "the event", func() bool {
		events, err := s.store.ListEvents(t.Context(), billing.EventFilter{Kind: billing.EventLeak})
		return err == nil && len(events) == 1 && events[0].Object == p.ID && events[0].Data["token"] == token.ID &&
			!strings.Contains(events[0].Text, secret.Reveal())
	})
}

// TestCertificatesArePrincipals: the certificate of a connection opens what the principal may do whom
// the configuration names for it, as long as that is not disabled, and for no page of another site.
func TestCertificatesArePrincipals(t *testing.T) {
	dir, authority := t.TempDir(), certtest.New(t)
	ca := filepath.Join(dir, "clients.pem")
	if err := os.WriteFile(ca, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, _ := serveTLS(t, func(c *config.Config) {
		c.AdminTLS.ClientCAFile = ca
		c.AdminCertificates = []config.Certified{
			{Name: "deploy", Principal: "ci"},
			{Name: "CN=reader", Principal: "reader"},
			{Name: "both", Principal: "ci"},
			{Name: "CN=both", Principal: "reader"},
			{Name: "gone", Principal: "nobody"},
		}
	})
	by := manage.By{Actor: "test", Access: rbac.Everything()}
	ids := map[string]string{}
	for name, role := range map[string]string{"ci": "admin", "reader": "read-only"} {
		p, err := s.Actions().CreatePrincipal(t.Context(), manage.PrincipalRequest{Name: name}, by)
		if err == nil {
			_, err = s.Actions().Grant(t.Context(), p.ID, manage.GrantRequest{Role: role}, by)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = p.ID
	}
	ask := func(name, method, path string, header ...string) int {
		t.Helper()
		leaf := authority.Leaf(t, name, time.Now().Add(time.Hour))
		pair, err := tls.X509KeyPair(leaf.Cert, leaf.Key)
		if err != nil {
			t.Fatal(err)
		}
		settings, err := certificate.Pin(s.now().cfg.TLS.CertFile)
		if err != nil {
			t.Fatal(err)
		}
		settings.Certificates = []tls.Certificate{pair}
		to := &http.Transport{TLSClientConfig: settings}
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.Address("admin")+"/admin/v1"+path, strings.NewReader(`{"name":"web"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := (&http.Client{Transport: to}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		to.CloseIdleConnections()
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for name, want := range map[string][2]int{
		"deploy": {http.StatusOK, http.StatusCreated}, "reader": {http.StatusOK, http.StatusForbidden},
		"both": {http.StatusUnauthorized, http.StatusUnauthorized}, "gone": {http.StatusUnauthorized, http.StatusUnauthorized},
		"stranger": {http.StatusUnauthorized, http.StatusUnauthorized},
	} {
		if got := [2]int{ask(name, "GET", "/keys"), ask(name, "POST", "/teams")}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Authorization", "Bearer x"}} {
		if got := ask("deploy", "POST", "/teams", header...); got != http.StatusForbidden && got != http.StatusUnauthorized {
			t.Errorf("%v: %d", header, got)
		}
	}
	if _, err := s.Actions().DisablePrincipal(t.Context(), ids["ci"], by); err != nil {
		t.Fatal(err)
	}
	if got := ask("deploy", "GET", "/keys"); got != http.StatusUnauthorized {
		t.Errorf("disabled: %d", got)
	}
}
