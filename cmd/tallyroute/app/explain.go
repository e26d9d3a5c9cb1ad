package app

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/admin"
	"tallyroute/router/health"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// Explain plans a request as the router would at this moment, without sending it.
// How the targets stand is asked of the router that is running, if one is and the
// admin token is at hand: live is then true. Otherwise all are taken to be healthy.
func Explain(ctx context.Context, c *config.Config, b Catalogue, r *chat.Request) (list []plan.Candidate, live bool, err error) {
	now := time.Now()
	told, live := AskHealth(ctx, c)
	list, err = planner(c, b, trackerOf(told, now)).Explain(ctx, r, now)
	return list, live, err
}

// planner is a router that can plan and nothing else.
func planner(c *config.Config, b Catalogue, t *health.Tracker) *router.Router {
	return router.New(router.Parts{
		Prices: billing.NewPriceBook(b.Prices()), Catalogue: b,
		Tokens: tokens.New(tokens.Options{}), Health: t,
	}, routerOptions(c))
}

func viewHealth(entries []health.Entry) admin.Health {
	h := admin.Health{Data: make([]admin.TargetHealth, len(entries))}
	for i, e := range entries {
		h.Data[i] = admin.TargetHealth{
			Name: e.Name, Status: e.State.Status.String(), Cause: e.State.Cause,
			RetryAfterMS: float64(e.State.RetryAfter) / float64(time.Millisecond),
		}
	}
	return h
}

// AskHealth asks the router that is running with this configuration how its
// targets stand; ok is false where none is running, or where it does not tell.
func AskHealth(ctx context.Context, c *config.Config) (entries []admin.TargetHealth, ok bool) {
	from, err := once(c)
	if err != nil || c.AdminOff() {
		return nil, false
	}
	token, set, err := credential(ctx, from, c.AdminToken)
	if !set || err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, AdminURL(c)+"/admin/v1/health", nil)
	if err != nil {
		return nil, false
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := (&http.Client{Transport: OwnTransport(c.AdminTLS.CertFile)}).Do(req)
	if err != nil {
		return nil, false
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Data []admin.TargetHealth }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return nil, false
	}
	return answer.Data, true
}

// trackerOf is a tracker to which everything stands as it was told.
func trackerOf(entries []admin.TargetHealth, now time.Time) *health.Tracker {
	t := health.New(health.Options{})
	for _, e := range entries {
		if e.Status != health.Open.String() {
			continue
		}
		if !strings.Contains(e.Name, "/") { // a provider as a whole
			t.Report(health.Call{Provider: e.Name}, health.Outcome{Class: health.Refused, Certain: true, Cause: e.Cause}, now)
			continue
		}
		wait := time.Duration(e.RetryAfterMS * float64(time.Millisecond))
		t.Report(health.Call{Target: e.Name}, health.Outcome{Class: health.Limited, Certain: true, Cause: e.Cause, RetryAfter: wait}, now)
	}
	return t
}
