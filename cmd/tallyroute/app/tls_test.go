package app

import (
	"context"
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
	"tallyroute/cmd/tallyroute/config"
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
