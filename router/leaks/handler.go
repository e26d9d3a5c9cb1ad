package leaks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tallyroute/billing/manage"
)

// Bounds on what is accepted.
const (
	mostBody    = 1 << 20
	mostReports = 1000
	patience    = 20 * time.Second // for one message
)

// Options says what the listener does with reports.
type Options struct {
	Keys *Keys
	// Take handles a leak. It reports whether the secret belongs to a key.
	Take func(ctx context.Context, l manage.Leak) (known bool, err error)
	// Failed is called with what could not be done; the sender will report it again.
	Failed func(error)
}

// report is one token that was found.
type report struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

// verdict says whether a token is a key.
type verdict struct {
	Token string `json:"token_raw"`
	Type  string `json:"token_type"`
	Label string `json:"label"`
}

// Handler accepts reports at any path. No part of a body is examined before its signature.
func Handler(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		status, verdicts := o.take(ctx, w, r)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(verdicts) // a client that has gone needs no answer
	})
}

func (o Options) take(ctx context.Context, w http.ResponseWriter, r *http.Request) (int, []verdict) {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, nil
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(patience))
	_ = rc.SetWriteDeadline(time.Now().Add(2 * patience))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return http.StatusRequestEntityTooLarge, nil
		}
		return http.StatusBadRequest, nil
	}
	err = o.Keys.Verify(ctx, r.Header.Get("Github-Public-Key-Identifier"), r.Header.Get("Github-Public-Key-Signature"), body)
	if errors.Is(err, ErrSignature) {
		return http.StatusUnauthorized, nil
	}
	if err != nil {
		o.Failed(fmt.Errorf("leaks: they cannot be taken: %w", err))
		return http.StatusServiceUnavailable, nil
	}
	var reports []report
	if json.Unmarshal(body, &reports) != nil || len(reports) > mostReports {
		return http.StatusBadRequest, nil
	}
	return o.each(ctx, reports)
}

// each handles every report. A failure is reported, so that all of them are sent again:
// handling one twice changes nothing.
func (o Options) each(ctx context.Context, reports []report) (int, []verdict) {
	verdicts := make([]verdict, len(reports))
	status := http.StatusOK
	for i, r := range reports {
		verdicts[i] = verdict{r.Token, r.Type, "false_positive"}
		known, err := o.Take(ctx, manage.Leak{Secret: r.Token, URL: r.URL, Found: r.Source})
		if err != nil {
			o.Failed(fmt.Errorf("leaks: a key is not dealt with: %w", err))
			status = http.StatusServiceUnavailable
		}
		if known {
			verdicts[i].Label = "true_positive"
		}
	}
	return status, verdicts
}
