package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// listener is a channel that accepts everything or nothing.
type listener struct{ fault error }

func (l listener) Notify(context.Context, billing.Notice) error { return l.fault }

func listeners(context.Context) (map[string]manage.Notifier, error) {
	return map[string]manage.Notifier{"ops": listener{}, "away": listener{billing.ErrUnavailable}}, nil
}

// alert creates an alert that could not be delivered.
func (g *rig) alert() string {
	g.t.Helper()
	a := billing.Alert{
		ID: billing.NewID("alert_"), Claim: "c", Kind: "limit", Object: "bud_1", Severity: billing.Warning, Title: "a limit",
		At: time.Now(),
	}
	if _, err := g.store.FireAlerts(g.t.Context(), billing.Firing{Alerts: []billing.Alert{a}}, time.Now()); err != nil {
		g.t.Fatal(err)
	}
	return a.ID
}

func TestALimitOfAlertsThatIsNoneIsRefused(t *testing.T) {
	g := newRig(t)
	for limit, want := range map[string]int{"-1": 422, "0": 422, "1001": 422, "1": http.StatusOK, "1000": http.StatusOK} {
		if got := g.ask("GET", base+"/alerts?limit="+limit, ""); got.status != want {
			t.Errorf("%s: %d %s", limit, got.status, got.text)
		}
	}
}

func TestAlertsThatGoNowhereAreNotReplayed(t *testing.T) {
	g := newRig(t)
	id := g.alert()
	for path, want := range map[string]int{"/alerts/" + id + "/replay": 422, "/alerts/alert_none/replay": http.StatusNotFound} {
		if got := g.ask("POST", base+path, ""); got.status != want {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
	}
	if got := g.ask("POST", base+"/alerts/"+id+"/replay", `{"channel":"nobody"}`); !strings.Contains(got.text, "away, ops") {
		t.Errorf("%s", got.text)
	}
	if got := g.ask("POST", base+"/alerts/test", `{"channel":"away"}`); got.status != http.StatusConflict {
		t.Errorf("%d %s", got.status, got.text)
	}
}
