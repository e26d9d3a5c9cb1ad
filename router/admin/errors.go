package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
)

// problem is an error as clients see it.
type problem struct {
	status           int
	kind, code       string
	param            string
	message, fix     string
	retryAfterSecond string
}

// Error is the message, which is for clients.
func (p *problem) Error() string { return "admin: " + p.message }

var (
	errNoRoute  = &problem{status: 404, kind: "invalid_request_error", code: "not_found", message: "There is nothing at this address.", fix: "See GET /admin/v1/keys for where to begin."}
	errNoMethod = &problem{status: 405, kind: "invalid_request_error", code: "method_not_allowed", message: "This address does not take this method."}
	errQuery    = &problem{status: 422, kind: "invalid_request_error", code: "invalid_value", message: "The query string cannot be read.", fix: "Escape its values: ; is %3B, % is %25."}
	errToken    = &problem{
		status: 401, kind: "authentication_error", code: "invalid_admin_token",
		message: "The admin API wants its own token; virtual keys are not accepted here.",
		fix:     "Send Authorization: Bearer with the token that the router was started with.",
	}
	errDisabled = &problem{
		status: 503, kind: "api_error", code: "admin_disabled", message: "The admin API is switched off: no token is configured.",
		fix: "Make a token with: tallyroute admin token, set TALLYROUTE_ADMIN_TOKEN to a reference to it and restart.",
	}
	errPanic = &problem{status: 500, kind: "api_error", code: "internal_error", message: "Something went wrong here; the log knows more under this request id."}
)

func invalid(param, message string) *problem {
	return &problem{status: 422, kind: "invalid_request_error", code: "invalid_value", param: param, message: message}
}

// describe is the one table of errors.
func describe(err error) *problem {
	var (
		p        *problem
		field    *billing.FieldError
		missing  *billing.NotFoundError
		conflict *billing.ConflictError
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &field):
		return invalid(field.Field, field.Field+": "+field.Detail+".")
	case errors.As(err, &missing):
		return &problem{status: 404, kind: "invalid_request_error", code: missing.What + "_not_found", message: "There is no " + missing.What + " with this id.", fix: "List them to see which there are."}
	case errors.As(err, &conflict):
		return &problem{status: 409, kind: "invalid_request_error", code: "conflict", message: conflict.Detail}
	case errors.Is(err, billing.ErrDuplicate):
		return &problem{status: 409, kind: "invalid_request_error", code: "conflict", message: "It is there already."}
	case errors.As(err, &tooLarge):
		return &problem{status: 413, kind: "invalid_request_error", code: "request_too_large", message: "The body is larger than 1 MiB."}
	case errors.Is(err, billing.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &problem{status: 503, kind: "api_error", code: "ledger_unavailable", message: "The database does not answer.", fix: "Try again in a moment.", retryAfterSecond: "1"}
	}
	return errPanic
}

// fail answers with an error in OpenAI's shape.
func (a *api) fail(c *gin.Context, err error) {
	p := describe(err)
	id := c.Writer.Header().Get("X-Request-Id")
	if p.status >= http.StatusInternalServerError {
		a.Log.Error("admin request failed", zap.String("request_id", id), zap.Error(err))
	}
	if p.retryAfterSecond != "" {
		c.Header("Retry-After", p.retryAfterSecond)
	}
	c.AbortWithStatusJSON(p.status, gin.H{"error": gin.H{
		"message": p.message, "type": p.kind, "param": orNull(p.param), "code": p.code,
		"fix": orNull(p.fix), "doc_url": "/docs/errors/" + p.code, "request_id": orNull(id),
	}})
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
