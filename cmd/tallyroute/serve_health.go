package main

import (
	"errors"
	"time"

	"tallyroute/router/health"
)

var errAdminToken = errors.New("admin_token: not an admin token; make one with: tallyroute admin token")

// healthView is how a target or provider stands, for operators.
type healthView struct {
	Name         string  `json:"name"`
	Status       string  `json:"status"`
	Cause        string  `json:"cause,omitempty"`
	RetryAfterMS float64 `json:"retry_after_ms,omitempty"`
}

func viewHealth(entries []health.Entry) any {
	views := []healthView{}
	for _, e := range entries {
		views = append(views, healthView{
			Name: e.Name, Status: e.State.Status.String(), Cause: e.State.Cause,
			RetryAfterMS: float64(e.State.RetryAfter) / float64(time.Millisecond),
		})
	}
	return map[string]any{"data": views}
}
