package main

import (
	"errors"
	"time"

	"go.uber.org/zap"

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

// tellProviders logs who takes part. A router without any is of little use.
func (s *service) tellProviders() {
	var taking, missing []string
	for _, p := range s.book.Providers() {
		if p.Configured {
			taking = append(taking, p.Name)
		} else {
			missing = append(missing, p.Name)
		}
	}
	if len(taking) == 0 {
		s.log.Warn("no provider has its credential; set one, such as OPENAI_API_KEY, or demo: true", zap.Strings("known", missing))
		return
	}
	s.log.Info("providers", zap.Strings("taking_part", taking), zap.Int("without_credential", len(missing)))
}
