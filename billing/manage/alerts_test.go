package manage

import (
	"context"
	"testing"
	"time"

	"tallyroute/billing"
)

// refusing is a store with one budget that has used almost all of its limit and refused a
// request of no key that is known.
type refusing struct {
	billing.Alerts
	billing.AlertSources

	standing billing.BudgetStanding
	event    billing.Event
}

func (s refusing) Standings(context.Context, billing.StandingQuery) ([]billing.BudgetStanding, error) {
	return []billing.BudgetStanding{s.standing}, nil
}

func (s refusing) UnjudgedEvents(context.Context, int) ([]billing.Event, error) {
	return []billing.Event{s.event}, nil
}
func (refusing) UnjudgedChanges(context.Context, int) ([]billing.Change, error) { return nil, nil }
func (refusing) Expiries(context.Context, time.Time, time.Time) ([]billing.Expiry, error) {
	return nil, nil
}

func (refusing) UnpricedSince(context.Context, string) ([]billing.UnpricedModel, error) {
	return nil, nil
}

func (refusing) FailingDeliveries(context.Context, int) ([]billing.Delivery, error) { return nil, nil }

func (refusing) FireAlerts(_ context.Context, f billing.Firing, _ time.Time) ([]billing.Alert, error) {
	return f.Alerts, nil
}

func TestABudgetThatRefusesIsTold(t *testing.T) {
	limit := int64(1000)
	b := billing.Balance{Budget: billing.Budget{ID: "bud_1", Period: billing.PeriodOnce, Tokens: &limit}, UsedTokens: 997}
	var d billing.Denials
	e, _ := d.Event(billing.Hold{}, &billing.QuotaError{Balance: b, AskedTokens: 10}, time.Now())
	s := refusing{standing: billing.BudgetStanding{Balance: b}, event: e}
	fired, err := Actions{Store: billing.Store{Alerts: s, AlertSources: s}}.JudgeAlerts(t.Context(), Watch{Told: &Told{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range fired {
		if a.Data["threshold"] == "100" {
			return
		}
	}
	t.Errorf("told %+v", fired)
}
