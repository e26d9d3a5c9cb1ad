package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestMetricsAreOnTheAdminListenerOnly, and what is held is given back.
func TestMetricsAreOnTheAdminListenerOnly(t *testing.T) {
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", ""))
	if _, err := p.client(p.key("--budget-tokens", "100000")).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/admin/v1/keys"} {
		if status, _ := p.get("public", path); status != http.StatusNotFound {
			t.Errorf("public %s: %d", path, status)
		}
	}
	status, text := p.get("admin", "/metrics")
	for _, want := range []string{
		`tallyroute_requests_total{model="demo-b/echo",status="ok",streamed="false"} 1`,
		`tallyroute_overhead_seconds_bucket{le="5e-05"}`,
		`tallyroute_held{unit="tokens"} 0`,
		`tallyroute_target_open{target="demo-b/echo"} 0`,
		"tallyroute_build_info{", "tallyroute_requests_in_flight 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics (%d) lacks %s", status, want)
		}
	}
}
