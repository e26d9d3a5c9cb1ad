package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"tallyroute/router/health"
)

// askHealth asks the router that is running with this configuration how its
// targets stand; ok is false where none is running, or where it does not tell.
func (c *Config) askHealth(ctx context.Context) (entries []healthView, ok bool) {
	token, set, err := c.AdminToken.resolve(ctx)
	if !set || err != nil || c.adminOff() {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(c.AdminListen)+"/admin/v1/health", nil)
	if err != nil {
		return nil, false
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, false
	}
	defer closing(resp.Body)
	var answer struct{ Data []healthView }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return nil, false
	}
	return answer.Data, true
}

// trackerOf is a tracker to which everything stands as it was told.
func trackerOf(entries []healthView, now time.Time) *health.Tracker {
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
