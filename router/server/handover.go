package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"tallyroute/billing"
)

// Handed is a secret that a hand-over has shown.
type Handed struct {
	KeyID   billing.KeyID `json:"key_id"`
	Version int           `json:"secret_version"`
	Secret  string        `json:"secret"`
}

// Handover opens the hand-over that a token is for. billing.ErrNoHandover where it is
// over, was opened before, or there never was one.
type Handover func(ctx context.Context, token, from string) (Handed, error)

// takeHandover is POST /handover: it shows a secret once, to whoever has the token. It
// takes no GET, which programs that preview links would spend it with.
func takeHandover(x *exchange) {
	raw, err := x.Body(nil)
	if err != nil {
		x.fail(err)
		return
	}
	var in struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(raw, &in) != nil {
		in.Token = ""
	}
	handed, err := x.Handover(x.C.Request.Context(), in.Token, x.from().String())
	switch {
	case errors.Is(err, billing.ErrNoHandover):
		x.JSON(http.StatusGone, map[string]any{"error": map[string]any{
			"message": "This hand-over is over, was opened before, or never was. Ask whoever gave you the link for a new one.",
			"type":    "invalid_request_error", "param": nil, "code": codeHandoverOver, "request_id": x.ID,
		}})
	case err != nil:
		x.fail(err)
	default:
		x.JSON(http.StatusOK, handed)
	}
}
