package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/router/admin/wire"
	"tallyroute/router/idempotency"
	"tallyroute/router/identity"
	"tallyroute/router/web"
)

// Error codes of this listener.
const (
	codeDisabled     = "admin_disabled"
	codeToken        = "invalid_admin_token"
	codeTries        = "rate_limit_exceeded"
	codeHost         = "unknown_host"
	codeRole         = "insufficient_role"
	codeConflict     = "conflict"
	codeLedger       = "ledger_unavailable"
	codeUnknownModel = "unknown_model"
	codeVersion      = "version_mismatch"
	codeReused       = "idempotency_conflict"
	codeRunning      = "idempotency_in_progress"
	codeLost         = "idempotency_answer_lost"
	codeNoLogin      = "login_disabled"
	codeLogin        = "login_failed"
	codeStale        = "login_too_old"
	codeMFA          = "mfa_required"
	codeProvider     = "identity_provider_unavailable"
	codeCSRF         = "csrf_token_invalid"
	codeRule         = "rule_broken"
)

// Errors that only this listener has.
var (
	errDisabled   = errors.New("admin: no token is configured")
	errToken      = errors.New("admin: not the admin token")
	errTries      = errors.New("admin: too many wrong tokens")
	errLogins     = errors.New("admin: too many logins")
	errHost       = errors.New("admin: called by an unknown host name")
	errVirtualKey = errors.New("admin: a virtual key")
	errNoVersion  = errors.New("admin: If-Match for what has no versions")
)

// errorTable is how operators see errors.
var errorTable = &web.Errors{Rows: rows(), Codes: codes()}

// rows maps errors to what operators read. The first row that recognises an error decides.
func rows() []web.Row {
	return append(web.Rows(),
		web.Is(errDisabled, web.Problem{Code: codeDisabled, Message: "No admin token is configured, so the admin API is disabled."}),
		web.Is(errToken, web.Problem{Code: codeToken, Message: "The admin token is missing or wrong."}),
		web.Is(errTries, web.Problem{
			Code: codeTries, Message: "Too many wrong admin tokens came from your network.", After: 3 * time.Second,
		}),
		web.Is(errLogins, web.Problem{
			Code: codeTries, Message: "Too many logins came from your network.", Fix: "Wait as long as Retry-After says, and try again.",
			After: 3 * time.Second,
		}),
		web.Is(errHost, web.Problem{Code: codeHost, Message: "This listener does not answer for the host that the request names."}),
		web.Is(errNoLogin, web.Problem{Code: codeNoLogin, Message: "Nobody can log in here: no identity provider is configured for it."}),
		web.Is(errAttempt, web.Problem{Code: codeLogin, Message: "This login was not begun here, or more than ten minutes ago."}),
		web.Is(errNoReturn, web.Problem{Code: codeLogin, Message: "The page to return to must be a path of this listener."}),
		web.Is(identity.ErrRefused, web.Problem{Code: codeLogin, Message: "The identity provider's answer is not accepted."}),
		web.Is(identity.ErrNoDevice, web.Problem{Code: codeNoLogin, Message: "The identity provider has no device flow."}),
		web.Is(identity.ErrUnavailable, web.Problem{
			Code: codeProvider, Message: "The identity provider cannot be used now.", After: 5 * time.Second,
		}),
		web.Is(manage.ErrNoUpstreams, web.Problem{Code: codeConflict, Message: "Nothing is known of providers here."}),
		web.Is(manage.ErrNoMFA, web.Problem{Code: codeMFA, Message: "The login must be by several factors."}),
		web.Is(manage.ErrNoRole, web.Problem{Code: codeRole, Message: "You are known, but no role is granted to you."}),
		web.Is(manage.ErrDisabled, web.Problem{Code: codeRole, Message: "You are disabled."}),
		web.Is(errStale, web.Problem{Code: codeStale, Message: "This needs a login that is not older than a few minutes."}),
		web.Is(errCSRF, web.Problem{
			Code:    codeCSRF,
			Message: "The request has the cookie of a login, but not what only our own pages can send.",
		}),
		web.Is(errVirtualKey, web.Problem{Code: codeRole, Message: "A virtual key gives no access to the admin API."}),
		web.As(func(e *wire.SyntaxError) web.Problem {
			return web.Problem{Code: web.CodeInvalidJSON, Message: "The body is invalid: " + e.Detail + "."}
		}),
		web.As(func(e *manage.NotAllowedError) web.Problem {
			return web.Problem{Code: codeRole, Message: "You may not do this: " + e.Detail + "."}
		}),
		web.As(func(e *governance.BrokenError) web.Problem {
			return web.Problem{
				Code: codeRule, Param: e.Findings[0].Field, Message: capital(e.Error()) + ".",
				Fix: fixText(e.Findings[0].Fix),
			}
		}),
		web.Row{Name: "*billing.FieldError", Read: wrongField},
		web.Is(manage.ErrVersion, web.Problem{
			Code: codeVersion, Message: "It has changed since the version that If-Match names.",
		}),
		web.Is(errNoVersion, web.Problem{
			Code: codeVersion, Message: "What this operation changes has no versions that If-Match could name.",
			Fix: "Leave If-Match out.",
		}),
		web.Is(manage.ErrReused, web.Problem{
			Code: codeReused, Message: "This Idempotency-Key belongs to a request with another body.",
		}),
		web.As(sentAgain),
		web.Is(billing.ErrClaimLost, web.Problem{
			Code: codeRunning, Message: "Another request with this Idempotency-Key has taken over.", After: claimEnds,
		}),
		web.As(func(e *billing.RowError) web.Problem {
			return web.Problem{
				Code: codeConflict, Message: "The ledger still refuses the row: " + e.Err.Error() + ".",
				Fix: "Remove what refuses it, such as a rule that was added to the table, and try again.",
			}
		}),
		web.As(notFound),
		web.Is(billing.ErrUnknownKey, web.Problem{Code: "key_not_found", Message: "There is no such key."}),
		web.As(func(e *billing.ConflictError) web.Problem {
			return web.Problem{Code: codeConflict, Message: capital(e.Detail) + "."}
		}),
		web.Is(billing.ErrDuplicate, web.Problem{
			Code: codeConflict, Message: "Something with this id already exists.", Fix: "Choose another id, or leave it out.",
		}),
		web.Is(billing.ErrUnavailable, web.Problem{Code: codeLedger, Message: "The database does not answer.", After: 2 * time.Second}),
		web.Is(context.DeadlineExceeded, web.Problem{
			Code: codeLedger, Message: "The database does not answer in time.", After: 2 * time.Second,
		}),
	)
}

// wrongField names everything that is wrong with a request.
func wrongField(err error) (web.Problem, bool) {
	var field *billing.FieldError
	if !errors.As(err, &field) {
		return web.Problem{}, false
	}
	p := web.Problem{Code: field.Code, Param: field.Field, Message: strings.ReplaceAll(err.Error(), "billing: ", "")}
	if field.Field == "" {
		p.Fix = "Change the request as the message says."
	}
	return p, true
}

func capital(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

// codes returns all codes of this listener. Each has a page under /docs/errors.
func codes() map[string]web.Code {
	all := web.Codes()
	maps.Copy(all, ownCodes())
	maps.Copy(all, loginCodes())
	for what, fix := range found {
		all[notFoundCode(what)] = web.Code{
			Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
			About: fmt.Sprintf("There is no %s with this id or name.", what), Fix: fix,
		}
	}
	return all
}

// found says where to look up each kind of object that may not exist.
var found = map[string]string{
	"alert":      "GET " + base + "/alerts lists them.",
	"budget":     "GET " + base + "/budgets lists them.",
	"ceiling":    "PUT " + base + "/teams/{id}/ceiling sets the ceiling of a team.",
	"credential": "GET " + base + "/credentials lists them.",
	"end user":   "GET " + base + "/spend?group_by=end_user lists those that made requests.",
	"grant":      "GET " + base + "/principals shows each principal with its grants.",
	"incident":   "GET " + base + "/incidents lists them.",
	"key":        "GET " + base + "/keys lists them.",
	"principal":  "GET " + base + "/principals lists them.",
	"project":    "GET " + base + "/projects lists them.",
	"provider":   "GET " + base + "/providers lists them.",
	"raise":      "GET " + base + "/raises lists them.",
	"reject":     "GET " + base + "/rejects lists them.",
	"replica":    "GET " + base + "/replicas lists them.",
	"review":     "GET " + base + "/reviews lists the reviews of access, and GET " + base + "/leavers those of people who left.",
	"session":    "GET " + base + "/sessions lists them.",
	"sink":       "GET " + base + "/sinks lists the keys that are delivered to one.",
	"team":       "GET " + base + "/teams lists them.",
	"token":      "GET " + base + "/principals shows each principal with its tokens.",
	"version":    "GET " + base + "/governance/versions and GET " + base + "/keys/{id}/versions list them.",
}

func notFound(e *billing.NotFoundError) web.Problem {
	return web.Problem{
		Code: notFoundCode(e.What), Status: http.StatusNotFound, Type: web.TypeRequest,
		Message: fmt.Sprintf("There is no %s %q.", e.What, e.ID), Fix: found[e.What],
	}
}

func notFoundCode(what string) string { return strings.ReplaceAll(what, " ", "_") + "_not_found" }

func ownCodes() map[string]web.Code {
	const bearer = "Send the admin token as \"Authorization: Bearer sk-tr-admin-…\"."
	// wrong describes an invalid member: what has happened, and what to do.
	wrong := func(about, fix string) web.Code {
		return web.Code{Status: http.StatusUnprocessableEntity, Type: web.TypeRequest, Retry: web.Never, About: about, Fix: fix}
	}
	return map[string]web.Code{
		codeDisabled: {
			Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Never,
			About: "No admin token is configured, so the admin API is disabled.",
			Fix:   "Make one with \"tallyroute admin token\", set TALLYROUTE_ADMIN_TOKEN and restart.",
		},
		codeToken: {
			Status: http.StatusUnauthorized, Type: web.TypeAuth, Retry: web.Never,
			About: "The admin token is missing or wrong.", Fix: bearer,
		},
		codeTries: {
			Status: http.StatusTooManyRequests, Type: web.TypeAuth, Retry: web.Sensible,
			About: "Too many wrong admin tokens came from one network. The right one is accepted all the same.", Fix: bearer,
		},
		codeHost: {
			Status: http.StatusMisdirectedRequest, Type: web.TypeRequest, Retry: web.Never,
			About: "The request names a host for which this listener does not answer, so that no web page can reach it by a name " +
				"of its own.",
			Fix: "Call it by its address or localhost, or add the name to admin_hosts.",
		},
		codeRole: {
			Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
			About: "The credential has no right to do this.",
			Fix:   "Ask an owner for a role that has the permission; GET /admin/v1/me says which roles you have. Virtual keys have none.",
		},
		codeConflict: {
			Status: http.StatusConflict, Type: web.TypeRequest, Retry: web.Never,
			About: "The change does not fit what exists.", Fix: "Look at what exists, and change the request.",
		},
		codeLedger: {
			Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
			About: "The database does not answer.", Fix: "Try again shortly.",
		},
		web.CodeNotFound: {
			Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never, About: "There is nothing at this path.",
			Fix: "The API is below /admin/v1, and GET /admin/v1/openapi.json describes it; completions are on the public listener.",
		},
		codeVersion: {
			Status: http.StatusPreconditionFailed, Type: web.TypeRequest, Retry: web.Never,
			About: "What is to be changed has changed since it was read.",
			Fix:   "Read it again, look at what is different, and send the change with the new ETag in If-Match.",
		},
		codeReused: {
			Status: http.StatusUnprocessableEntity, Type: web.TypeRequest, Retry: web.Never,
			About: "The Idempotency-Key belongs to a request with another body.",
			Fix:   "Use a new Idempotency-Key for every new request.",
		},
		codeRunning: {
			Status: http.StatusConflict, Type: web.TypeRequest, Retry: web.Sensible,
			About: "The first request with this Idempotency-Key is still being answered, or its router died.",
			Fix:   "Send it again after as long as Retry-After says.",
		},
		codeLost: {
			Status: http.StatusConflict, Type: web.TypeRequest, Retry: web.Never,
			About: "The request with this Idempotency-Key was carried out, and its answer is not there any more.",
			Fix:   "Look at what the message names; for a secret that was lost, make another.",
		},
		wire.CodeInvalidValue: wrong("A member or parameter has an invalid value.", "Change the member that param names."),
		codeUnknownModel: wrong("No model or alias has this name.",
			"Use a name from GET /v1/models, or provider/* for all models of a provider."),
		wire.CodeUnknownField: wrong("The body has a member that does not exist here.",
			"Leave it out; names are written exactly as documented."),
		wire.CodeUnknownParam: wrong("The query has a parameter that does not exist here.",
			"Leave it out; names are written exactly as documented."),
		codeRule: wrong("One of the organisation's rules for keys does not allow it; the message says which.",
			"Do what the message says of each rule; \"tallyroute governance show\" has them all."),
		wire.CodeDuplicate: wrong("A member appears twice.", "Send every member once."),
	}
}

// fixText returns a fix as a sentence; a command is returned as it has to be typed.
func fixText(fix string) string {
	if strings.HasPrefix(fix, "tallyroute ") {
		return fix
	}
	return capital(fix) + "."
}

// loginCodes returns the codes of logins.
func loginCodes() map[string]web.Code {
	return map[string]web.Code{
		codeNoLogin: {
			Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
			About: "Nobody can log in in this way.", Fix: "Configure login, or use a token.",
		},
		codeLogin: {
			Status: http.StatusForbidden, Type: web.TypeAuth, Retry: web.Never,
			About: "A login was not begun here, is over, or the identity provider's answer is not accepted; the log says why.",
			Fix:   "Begin again with \"tallyroute login\" or at /login.",
		},
		codeStale: {
			Status: http.StatusForbidden, Type: web.TypeAuth, Retry: web.Never,
			About: "What reveals, exports, or changes roles or prices needs a login of the last minutes; a token of a person is none.",
			Fix:   "Run \"tallyroute login --fresh\", or go to /login?fresh=true, and try again.",
		},
		codeMFA: {
			Status: http.StatusForbidden, Type: web.TypeAuth, Retry: web.Never,
			About: "The identity provider does not say that the login was by several factors (login.mfa).",
			Fix:   "Set up a second factor at the identity provider and log in again.",
		},
		codeProvider: {
			Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
			About: "The identity provider does not answer as it should; the log says how.", Fix: "Try again shortly, or use a token.",
		},
		codeCSRF: {
			Status: http.StatusForbidden, Type: web.TypeAuth, Retry: web.Never,
			About: "The cookie of a login came from a page that is not ours, or without the token that belongs to it.",
			Fix:   "Send X-CSRF-Token with csrf_token of GET /admin/v1/me.",
		},
	}
}

// sentAgain returns the problem for a request whose Idempotency-Key was used by another one.
func sentAgain(e *idempotency.DuplicateError) web.Problem {
	switch e.Reason {
	case idempotency.DuplicateOther:
		return web.Problem{
			Code: codeReused, Message: fmt.Sprintf("This Idempotency-Key belongs to %s, which had another path or body.", e.RequestID),
		}
	case idempotency.DuplicateRunning:
		return web.Problem{
			Code: codeRunning, Message: fmt.Sprintf("Request %s with this Idempotency-Key is not answered yet.", e.RequestID),
			After: claimEnds,
		}
	case idempotency.DuplicateDone, idempotency.DuplicateLarge:
	}
	done := ""
	if e.Object != "" {
		done = fmt.Sprintf(" What it made or changed is %s.", e.Object)
	}
	return web.Problem{
		Code: codeLost, Message: fmt.Sprintf("Request %s was carried out, but its answer was not kept.%s", e.RequestID, done),
	}
}
