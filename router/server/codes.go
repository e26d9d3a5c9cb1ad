package server

import (
	"fmt"
	"net/http"
	"strings"
)

// The codes of errors, as clients read them.
const (
	codeInvalidKey      = "invalid_api_key"
	codeAmbiguous       = "ambiguous_credentials"
	codeKeyInURL        = "key_in_url"
	codeAddress         = "ip_not_allowed"
	codeModelNotAllowed = "model_not_allowed"
	codeModelNotFound   = "model_not_found"
	codeUnpriced        = "model_unpriced"
	codeMember          = "unpriced_member"
	codeStored          = "provider_object_not_allowed"
	codeCannot          = "unsupported_by_model"
	codeInvalidJSON     = "invalid_json"
	codeDuplicate       = "duplicate_field"
	codeInvalidValue    = "invalid_value"
	codeUnknownParam    = "unknown_parameter"
	codeMissing         = "missing_field"
	codeContent         = "unsupported_content"
	codeContext         = "context_length_exceeded"
	codeTight           = "output_bound_too_low"
	codeTooLarge        = "request_too_large"
	codeTooManyHeaders  = "too_many_headers"
	codeMediaType       = "unsupported_media_type"
	codeEncoding        = "unsupported_content_encoding"
	codeBodyTimeout     = "request_timeout"
	codeBodyCut         = "incomplete_body"
	codeQuota           = "insufficient_quota"
	codeStopped         = "key_overrun_stopped"
	codeRate            = "rate_limit_exceeded"
	codeBytes           = "too_many_bytes_in_flight"
	codeOverloaded      = "overloaded"
	codeNotFound        = "not_found"
	codeNoMethod        = "method_not_allowed"
	codeNoRequest       = "request_not_found"
	codeAllFailed       = "all_providers_failed"
	codeUpstreamAuth    = "upstream_auth_failed"
	codeRedirect        = "upstream_redirect"
	codeRefused         = "upstream_refused"
	codeTimeout         = "upstream_timeout"
	codeTruncated       = "upstream_truncated"
	codeBroken          = "upstream_error"
	codeOverlong        = "answer_too_long"
	codeNoProvider      = "no_healthy_provider"
	codeLedger          = "ledger_unavailable"
	codeInternal        = "internal_error"

	codeIdempotencyConflict = "idempotency_conflict"
	codeIdempotencyRunning  = "idempotency_in_progress"
	codeIdempotencyLarge    = "idempotency_answer_too_large"
)

// A client that has gone reads nothing; these are for the log.
const (
	codeClientGone   = "client_gone"
	statusClientGone = 499
)

// Types of errors, as clients read them.
const (
	kindRequest    = "invalid_request_error"
	kindAuth       = "authentication_error"
	kindPermission = "permission_error"
	kindQuota      = "insufficient_quota"
	kindRate       = "rate_limit_error"
	kindAPI        = "api_error"
)

// code is what all errors of one code have in common.
type code struct {
	status int
	kind   string
	retry  retry
	about  string // what has happened, for the page of the code
	fix    string // what to do
}

type retry int

const (
	never    retry = iota // the same request would be refused again
	sensible              // later it may succeed
)

// codes are all that a client can meet. Each has a page under /docs/errors.
var codes = map[string]code{
	codeInvalidKey: {
		http.StatusUnauthorized, kindAuth, never, "The key is missing, mistyped, unknown, revoked or expired.",
		"Send the key that was shown when it was created, as \"Authorization: Bearer sk-tr-…\"; or have a new one made with: tallyroute " +
			"keys create",
	},
	codeAmbiguous: {
		http.StatusBadRequest, kindRequest, never,
		"The request carries more than one credential, so it is not clear who pays.", "Send one key, in one header.",
	},
	codeKeyInURL: {
		http.StatusBadRequest, kindRequest, never, "The key is in the URL, where it ends up in logs and histories.",
		"Send it as \"Authorization: Bearer …\", and replace this key: it must be taken as known to others.",
	},
	codeAddress: {
		http.StatusForbidden, kindPermission, never, "The key may only be used from certain addresses.",
		"Call from an address that the key allows, or have this one added to it.",
	},
	codeModelNotAllowed: {
		http.StatusForbidden, kindPermission, never, "The key may not use this model.",
		"Ask for one of the models that GET /v1/models lists, or have this one added to the key.",
	},
	codeModelNotFound: {
		http.StatusNotFound, kindRequest, never, "No model or alias has this name.",
		"GET /v1/models lists the names that this key may use.",
	},
	codeUnpriced: {
		http.StatusBadRequest, kindRequest, never, "The key has a budget in money, and no price is known for this model.",
		"Have the price added to the configuration, or the key marked as one that may use models without a price.",
	},
	codeMember: {
		http.StatusBadRequest, kindRequest, never,
		"The key has a budget, and the request has a member that may cost what nobody can know before it is answered.",
		"Leave out the member that param names; or have the operator allow it (members.allow) or declare what it costs (quirks.members " +
			"of the provider).",
	},
	codeStored: {
		http.StatusForbidden, kindPermission, never,
		"The request names something that is stored at a provider, where all keys share one account.",
		"Send the content itself; or have the key made one that may: tallyroute keys create --allow-provider-objects",
	},
	codeCannot: {
		http.StatusBadRequest, kindRequest, never, "No provider of this model can do what the request asks for.",
		"Leave it out, or choose another model.",
	},
	codeInvalidJSON: {
		http.StatusBadRequest, kindRequest, never,
		"The body is no JSON object, or one that two parsers could read differently.", "Send one JSON object in UTF-8.",
	},
	codeDuplicate: {
		http.StatusBadRequest, kindRequest, never, "A member appears twice, or under two spellings.",
		"Send every member once.",
	},
	codeInvalidValue: {
		http.StatusBadRequest, kindRequest, never, "A value is of the wrong type or out of bounds.",
		"Change the member that param names.",
	},
	codeUnknownParam: {
		http.StatusBadRequest, kindRequest, never, "A member is not supported here.",
		"Leave out the member that param names.",
	},
	codeMissing: {
		http.StatusBadRequest, kindRequest, never, "A member that is required is missing.",
		"Add the member that param names.",
	},
	codeContent: {
		http.StatusBadRequest, kindRequest, never,
		"The messages hold content of a kind that no provider of the model takes.", "Leave that content out, or choose another model.",
	},
	codeContext: {
		http.StatusBadRequest, kindRequest, never, "Prompt and answer together are longer than the model's context.",
		"Send a shorter prompt, ask for fewer tokens, or choose a model with a longer context.",
	},
	codeTight: {
		http.StatusBadRequest, kindRequest, never,
		"The request does not bound its output, and the bound that this router has for such requests is below what the model takes.",
		"Send max_completion_tokens; or have the operator raise defaults.max_output_tokens.",
	},
	codeTooLarge: {
		http.StatusRequestEntityTooLarge, kindRequest, never,
		"The body is larger than this router takes, or the request larger than its providers take.",
		"Send less, images above all; the operator may raise the limit of the router.",
	},
	codeTooManyHeaders: {
		http.StatusRequestHeaderFieldsTooLarge, kindRequest, never, "The request has too many header fields.",
		"Send fewer header fields.",
	},
	codeMediaType: {
		http.StatusUnsupportedMediaType, kindRequest, never, "The body is not declared as JSON.",
		"Send Content-Type: application/json",
	},
	codeEncoding: {
		http.StatusUnsupportedMediaType, kindRequest, never, "The body is compressed, and not by gzip.",
		"Send it uncompressed, without Content-Encoding, or compressed by gzip.",
	},
	codeBodyTimeout: {
		http.StatusRequestTimeout, kindRequest, sensible, "The body did not come in time.",
		"Send the request again, over a faster connection.",
	},
	codeBodyCut: {
		http.StatusBadRequest, kindRequest, never, "The body ended before it was complete, or its chunks are malformed.",
		"Send as many bytes as Content-Length says.",
	},
	codeQuota: {
		http.StatusTooManyRequests, kindQuota, never,
		"A budget that binds the key has no room for this request. Other budgets and other keys are not concerned.",
		"Wait until the budget starts afresh, ask for less, or have it raised.",
	},
	codeStopped: {
		http.StatusForbidden, kindPermission, never,
		"The key was stopped, because its answers took more tokens or money than was held for them, beyond what is allowed.",
		"Have the operator look into it and let the key go on: tallyroute keys enable",
	},
	codeRate: {
		http.StatusTooManyRequests, kindRate, sensible,
		"More was asked for in a minute than the key, or every provider of the model, allows.", "Wait as long as Retry-After says.",
	},
	codeBytes: {
		http.StatusTooManyRequests, kindRate, sensible,
		"The requests of the key that are under way hold as many bytes as those of one key may.",
		"Wait as long as Retry-After says, or send less at once: images above all. The operator may raise limits.bytes_in_flight_per_key.",
	},
	codeOverloaded: {
		http.StatusServiceUnavailable, kindAPI, sensible,
		"All requests that are under way hold as many bytes as the router takes at once.", "Wait as long as Retry-After says.",
	},
	codeNotFound: {
		http.StatusNotFound, kindRequest, never, "There is nothing at this path.",
		"The base URL ends in /v1; completions are at POST /v1/chat/completions.",
	},
	codeNoMethod: {
		http.StatusMethodNotAllowed, kindRequest, never, "The path exists, but not for this method.",
		"Use a method that the Allow header names.",
	},
	codeNoRequest: {
		http.StatusNotFound, kindRequest, never, "This key has caused no request with this id.",
		"Take the id from the x-request-id header of a completion, and ask with the key that made it.",
	},
	codeAllFailed: {
		http.StatusBadGateway, kindAPI, sensible,
		"Every provider that was tried failed before it had answered anything. Attempts that a provider may bill are charged by a bound; " +
			"refusals are free.", "Try again; if it stays, show the request id to the operator.",
	},
	codeUpstreamAuth: {
		http.StatusBadGateway, kindAPI, never, "The providers refused this router's own credentials. Your key is fine.",
		"Tell the operator: the credential of a provider must be renewed.",
	},
	codeRedirect: {
		http.StatusBadGateway, kindAPI, never, "The provider answered with a redirect, which is never followed.",
		"Tell the operator: the base URL of a provider is wrong.",
	},
	codeRefused: {
		http.StatusBadRequest, kindRequest, never, "The provider refused the request itself, and so would any other.",
		"Change what the message names.",
	},
	codeTimeout: {
		http.StatusGatewayTimeout, kindAPI, sensible, "The providers did not answer in time, or stopped in the middle.",
		"Try again, with a shorter prompt or streamed.",
	},
	codeTruncated: {
		http.StatusBadGateway, kindAPI, sensible,
		"The provider ended the stream before the answer was complete. What came is charged.",
		"Do not use the answer as if it were whole; ask again.",
	},
	codeBroken: {
		http.StatusBadGateway, kindAPI, sensible,
		"The provider failed in the middle of the stream. What came is charged.", "Do not use the answer as if it were whole; ask again.",
	},
	codeOverlong: {
		http.StatusBadGateway, kindAPI, never,
		"The provider went on beyond the longest answer that was asked for, far enough that counts do not explain it. The answer is cut " +
			"off there; what came is charged.", "Do not use the answer as if it were whole; tell the operator which provider it was.",
	},
	codeNoProvider: {
		http.StatusServiceUnavailable, kindAPI, sensible,
		"All providers of the model have failed lately and are given time to recover.",
		"Wait as long as Retry-After says, or choose another model.",
	},
	codeLedger: {
		http.StatusServiceUnavailable, kindAPI, sensible,
		"The database does not answer, so nothing can be held or charged; therefore nothing was sent.", "Try again shortly.",
	},
	codeInternal: {
		http.StatusInternalServerError, kindAPI, sensible, "Something failed that should not have.",
		"Show the request id to the operator: the log says more.",
	},

	codeIdempotencyConflict: {
		http.StatusConflict, kindRequest, never, "The Idempotency-Key belongs to a request with another body.",
		"Use a new Idempotency-Key for every new request.",
	},
	codeIdempotencyRunning: {
		http.StatusConflict, kindRequest, sensible,
		"The first request with this Idempotency-Key is still being answered.",
		"Wait as long as Retry-After says and send it again: the answer will be the first one's.",
	},
	codeIdempotencyLarge: {
		http.StatusConflict, kindRequest, never,
		"The request was answered and charged before, and the answer was too large to be kept.",
		"Use the answer of the request that the message names, or send it anew under another Idempotency-Key.",
	},
}

// explainCode is GET /docs/errors/{code}: the page that doc_url names.
func explainCode(x *exchange) {
	name := x.c.Param("code")
	c, ok := codes[name]
	if !ok {
		x.fail(errNoRoute)
		return
	}
	again := "Sending the same request again does not help; the answer says so with x-should-retry: false."
	if c.retry == sensible {
		again = "Sending the same request again later may help; where it is known when, Retry-After says so."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nStatus %d, type %s.\n\n%s\n\n", name, c.status, c.kind, c.about)
	fmt.Fprintf(&b, "## What to do\n\n%s\n\n%s\n", c.fix, again)
	x.write(http.StatusOK, "text/markdown; charset=utf-8", []byte(b.String()))
}

func docURL(code string) *string {
	if _, ok := codes[code]; !ok {
		return nil // a provider's own
	}
	return textOrNull("/docs/errors/" + code)
}
