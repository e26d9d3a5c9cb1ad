package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tallyroute/billing"
)

var (
	errNoRoute    = errors.New("admin: no such path")
	errNoMethod   = errors.New("admin: no such method")
	errDisabled   = errors.New("admin: no token is configured")
	errToken      = errors.New("admin: not the admin token")
	errTries      = errors.New("admin: too many wrong tokens")
	errHost       = errors.New("admin: a host that this is not")
	errAmbiguous  = errors.New("admin: more than one credential")
	errVirtualKey = errors.New("admin: a virtual key")
	errTooLarge   = errors.New("admin: body too large")
	errMediaType  = errors.New("admin: body not declared as JSON")
	errBody       = errors.New("admin: body cannot be read")
)

// syntaxError is a body that is no JSON object, or not the only one.
type syntaxError struct{ detail string }

func (e *syntaxError) Error() string { return "admin: " + e.detail }

// Types of errors, as clients read them.
const (
	kindRequest    = "invalid_request_error"
	kindAuth       = "authentication_error"
	kindPermission = "permission_error"
	kindAPI        = "api_error"
)

// problem is what an operator reads of an error.
type problem struct {
	status                   int
	code, kind, message, fix string
	param                    string // "" is null
}

const bearerFix = "Send the admin token as \"Authorization: Bearer sk-tr-admin-…\"."

// sentinels are the errors that say everything by themselves.
var sentinels = []struct {
	err error
	problem
}{
	{errNoRoute, problem{
		http.StatusNotFound, "not_found", kindRequest, "There is nothing at this path.",
		"The API is below /admin/v1; completions are on the public listener.", "",
	}},
	{errNoMethod, problem{
		http.StatusMethodNotAllowed, "method_not_allowed", kindRequest, "This path does not take that method.",
		"Use a method that the Allow header names.", "",
	}},
	{errDisabled, problem{
		http.StatusServiceUnavailable, "admin_disabled", kindAPI,
		"No admin token is configured, so the admin API is disabled.",
		"Make one with \"tallyroute admin token\", set TALLYROUTE_ADMIN_TOKEN and restart.", "",
	}},
	{errToken, problem{http.StatusUnauthorized, "invalid_admin_token", kindAuth, "The admin token is missing or wrong.", bearerFix, ""}},
	{errTries, problem{
		http.StatusTooManyRequests, "rate_limit_exceeded", kindAuth, "Too many tokens from your network were wrong.",
		bearerFix, "",
	}},
	{errHost, problem{
		http.StatusMisdirectedRequest, "unknown_host", kindRequest,
		"This listener does not answer for the host that the request names.",
		"Call it by its address or localhost, or add the name to admin_hosts.", "",
	}},
	{errAmbiguous, problem{
		http.StatusBadRequest, "ambiguous_credentials", kindRequest, "The request carries more than one credential.",
		bearerFix, "",
	}},
	{errVirtualKey, problem{http.StatusForbidden, "insufficient_role", kindPermission, "A virtual key opens nothing here.", bearerFix, ""}},
	{errTooLarge, problem{
		http.StatusRequestEntityTooLarge, "request_too_large", kindRequest,
		"The body has more than the 1048576 bytes that are allowed.", "Send less.", "",
	}},
	{errMediaType, problem{
		http.StatusUnsupportedMediaType, "unsupported_media_type", kindRequest, "The body is not declared as JSON.",
		"Send Content-Type: application/json", "",
	}},
	{errBody, problem{
		http.StatusBadRequest, "incomplete_body", kindRequest, "The body did not come, or not whole.",
		"Send as many bytes as Content-Length says.", "",
	}},
	{billing.ErrDuplicate, problem{
		http.StatusConflict, "conflict", kindRequest, "There is one with this id already.",
		"Choose another id, or leave it out.", "",
	}},
	{billing.ErrUnavailable, problem{
		http.StatusServiceUnavailable, "ledger_unavailable", kindAPI, "The database does not answer.",
		"Try again shortly.", "",
	}},
	{context.DeadlineExceeded, problem{
		http.StatusServiceUnavailable, "ledger_unavailable", kindAPI,
		"The database does not answer in time.", "Try again shortly.", "",
	}},
}

func problemOf(err error) problem {
	var syntax *syntaxError
	var field *billing.FieldError
	var none *billing.NotFoundError
	var conflict *billing.ConflictError
	var refused *billing.RowError
	switch {
	case errors.As(err, &refused):
		return problem{
			http.StatusConflict, "conflict", kindRequest, "The ledger still refuses the row: " + refused.Err.Error() + ".",
			"Mend what refuses it, such as a rule that was added to the table, and ask again.", "",
		}
	case errors.As(err, &syntax):
		return problem{
			http.StatusBadRequest, "invalid_json", kindRequest, "The body is not what it must be: " + syntax.detail + ".",
			"Send one JSON object in UTF-8.", "",
		}
	case errors.As(err, &field):
		return problem{http.StatusUnprocessableEntity, field.Code, kindRequest, sentence(err), fixOf(field), field.Field}
	case errors.As(err, &none):
		return problem{
			http.StatusNotFound, none.What + "_not_found", kindRequest, fmt.Sprintf("There is no %s %q.", none.What, none.ID),
			fmt.Sprintf("GET /admin/v1/%ss lists them.", none.What), "",
		}
	case errors.As(err, &conflict):
		return problem{
			http.StatusConflict, "conflict", kindRequest, capital(conflict.Detail) + ".",
			"Look at what is there, and change the request.", "",
		}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.problem
		}
	}
	return problem{
		http.StatusInternalServerError, "internal_error", kindAPI, "Something failed here.",
		"Look for the request id in the log.", "",
	}
}

// sentence names every fault of a request.
func sentence(err error) string {
	return strings.ReplaceAll(err.Error(), "billing: ", "")
}

func fixOf(e *billing.FieldError) string {
	switch e.Code {
	case "unknown_model":
		return "Take a name from GET /v1/models, or provider/* for all of a provider."
	case "unknown_field":
		return "Leave it out; names are written exactly as documented."
	}
	return "Change the member that param names."
}

func capital(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

// fail answers with an error, in the form of OpenAI's.
func (x *exchange) fail(err error) {
	x.err = err
	if x.c.Writer.Written() {
		return
	}
	p := problemOf(err)
	if p.code == "ledger_unavailable" {
		x.c.Header("Retry-After", "2")
	}
	if p.code == "rate_limit_exceeded" {
		x.c.Header("Retry-After", "3")
	}
	param := &p.param
	if p.param == "" {
		param = nil
	}
	_ = x.json(p.status, map[string]any{"error": map[string]any{ // which always has a JSON form
		"message": p.message, "type": p.kind, "param": param, "code": p.code, "fix": p.fix, "request_id": x.id,
	}})
}
