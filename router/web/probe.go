package web

import (
	"context"
	"errors"
	"net/http"

	"tallyroute/billing"
)

// reason returns what may be disclosed about why we are not ready.
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

// Healthz reports that the process is alive.
func (x *Exchange) Healthz() { x.JSON(http.StatusOK, map[string]string{"status": "ok"}) }

// Readyz reports whether requests can be answered.
func (x *Exchange) Readyz(ctx context.Context) {
	state, err := x.Ready(ctx)
	if err != nil {
		x.Err = err
		x.JSON(http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "reason": reason(err)})
		return
	}
	x.JSON(http.StatusOK, state)
}
