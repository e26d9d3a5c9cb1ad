package server

import (
	"errors"
	"net/http"

	"tallyroute/billing"
)

// reason is what may be said of why we are not ready.
func reason(err error) string {
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		return r.Reason()
	case errors.Is(err, billing.ErrUnavailable):
		return "the database does not answer"
	}
	return "starting or stopping"
}

func healthz(x *exchange) { x.json(http.StatusOK, map[string]string{"status": "ok"}) }

func readyz(x *exchange) {
	state, err := x.Ready(x.ctx)
	if err != nil {
		x.err = err
		x.json(http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "reason": reason(err)})
		return
	}
	x.json(http.StatusOK, state)
}
