package app

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/cmd/tallyroute/upstream"
)

// TestCredentialsSealedUnderAnotherKeyAreTold by the probe and the metric while it is so,
// and once as an event, as secrets are that cannot be fetched.
func TestCredentialsSealedUnderAnotherKeyAreTold(t *testing.T) {
	cfg, m := config.Default(), metrics.New("test")
	s, err := openSecrets(&cfg, zap.NewNop(), m)
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("sealed under another key")
	lost := &upstream.Loaded{
		Unreadable: map[string]error{"acme/main": wrong}, Held: map[string]error{"acme/spare": wrong},
	}
	s.opened(lost)
	s.opened(lost) // which is nothing new
	if text := s.stale(); !strings.HasPrefix(text, "2 of 2 cannot be fetched since ") || !strings.Contains(text, "1 never could be") {
		t.Errorf("the probe tells %q", text)
	}
	if states := s.states(); len(states) != 2 || states[0].Ref != "stored:acme/main" || states[0].Err == nil {
		t.Errorf("the metric is of %+v", states)
	}
	if len(s.happened) != 2 {
		t.Fatalf("%d events", len(s.happened))
	}
	e := (<-s.happened).event("process")
	if e.Kind != billing.EventSecret || e.Severity != billing.Warning || !strings.Contains(e.Text, "acme/main cannot be opened") {
		t.Errorf("told: %+v", e)
	}
	s.opened(&upstream.Loaded{})
	if s.stale() != "" || len(s.states()) != 0 || len(s.happened) != 1 {
		t.Errorf("when they are gone: %q, %d events", s.stale(), len(s.happened))
	}
}
