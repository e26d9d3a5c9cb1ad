package server

import (
	"maps"
	"net/http"

	"tallyroute/router/web"
)

// The error codes that clients see.
const (
	codeInvalidKey       = "invalid_api_key"
	codeKeyInURL         = "key_in_url"
	codeAddress          = "ip_not_allowed"
	codeNetwork          = "network_not_allowed"
	codeModelNotAllowed  = "model_not_allowed"
	codeModelNotFound    = "model_not_found"
	codePolicy           = "policy_denied"
	codeRunaway          = "runaway_stopped"
	codeUnpriced         = "model_unpriced"
	codeMember           = "unpriced_member"
	codeStored           = "provider_object_not_allowed"
	codeCannot           = "unsupported_by_model"
	codeDuplicate        = "duplicate_field"
	codeInvalidValue     = "invalid_value"
	codeUnknownParam     = "unknown_parameter"
	codeUnsupported      = "unsupported_parameter"
	codeUnsupportedValue = "unsupported_value"
	codeMissing          = "missing_field"
	codeContent          = "unsupported_content"
	codeContext          = "context_length_exceeded"
	codeTight            = "output_bound_too_low"
	codeQuota            = "insufficient_quota"
	codeStopped          = "key_overrun_stopped"
	codeRotated          = "key_rotated"
	codeDisabled         = "key_disabled"
	codeRate             = "rate_limit_exceeded"
	codeBytes            = "too_many_bytes_in_flight"
	codeOverloaded       = web.CodeOverloaded
	codeNoRequest        = "request_not_found"
	codeNoResponse       = "response_not_found"
	codeNoPrevious       = "previous_response_not_found"
	codeLongPast         = "conversation_too_long"
	codeAllFailed        = "all_providers_failed"
	codeUpstreamAuth     = "upstream_auth_failed"
	codeRedirect         = "upstream_redirect"
	codeRefused          = "upstream_refused"
	codeTimeout          = "upstream_timeout"
	codeTruncated        = "upstream_truncated"
	codeBroken           = "upstream_error"
	codeOverlong         = "answer_too_long"
	codeNoProvider       = "no_healthy_provider"
	codeLedger           = "ledger_unavailable"
	codeStopping         = "router_stopping"
	codeHandoverOver     = "handover_over"
	codeTemporaryOver    = "temporary_key_expired"
	codeTemporary        = "temporary_key_not_allowed"
	codeIssuer           = "identity_issuer_unavailable"

	codeIdempotencyConflict = "idempotency_conflict"
	codeIdempotencyRunning  = "idempotency_in_progress"
	codeIdempotencyLarge    = "idempotency_answer_too_large"
)

// codes are all codes that a client can get. Each has a page under /docs/errors.
var codes = allCodes()

func allCodes() map[string]web.Code {
	all := web.Codes()
	maps.Copy(all, ownCodes)
	return all
}

// ownCodes are the codes of this listener, and shared ones that it explains in its own words.
var ownCodes = map[string]web.Code{
	codeInvalidKey: {
		Status: http.StatusUnauthorized, Type: web.TypeAuth, Retry: web.Never,
		About: "The key is missing, mistyped, unknown, revoked or expired.",
		Fix: "Send the key that was shown when it was created, as \"Authorization: Bearer sk-tr-…\"; " +
			"or ask your operator for a new one: " +
			"tallyroute keys create",
	},
	codeTemporaryOver: {
		Status: http.StatusUnauthorized, Type: web.TypeAuth, Retry: web.Never,
		About: "The temporary key has ended: one lives for an hour at most.",
		Fix:   "Ask for a new one with the key itself: POST /v1/key/tokens.",
	},
	codeIssuer: {
		Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The issuer of the identity token does not answer, and its keys are not known yet.",
		Fix:   "Try again; if it persists, ask your operator whether the router reaches the issuer (identity_issuers).",
	},
	codeTemporary: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "A temporary key cannot be exchanged for another.",
		Fix:   "Send the key itself to POST /v1/key/tokens.",
	},
	web.CodeAmbiguous: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The request carries more than one credential, so it is not clear who pays.",
		Fix:   "Send one key, in one header.",
	},
	codeKeyInURL: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The key is in the URL, where it ends up in logs and histories.",
		Fix:   "Send it as \"Authorization: Bearer …\", and have this key replaced: others may have seen it.",
	},
	codeAddress: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "The key may only be used from certain addresses.",
		Fix:   "Call from an address that the key allows, or ask your operator to allow this one.",
	},
	codeNetwork: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "The router does not answer the network that the request comes from.",
		Fix:   "Call from a network that is allowed, or ask your operator about allowed_networks and blocked_networks.",
	},
	codeModelNotAllowed: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "The key may not use this model.",
		Fix:   "Ask for one of the models that GET /v1/models lists, or ask your operator to add this one to the key.",
	},
	codeRunaway: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "The session, or the key, sent the same request again and again, made more requests in one session than it may, or " +
			"spent more in one. It is stopped for a time.",
		Fix: "End the loop that sends the requests, and begin another session. Your operator can end the stop: tallyroute keys enable KEY.",
	},
	codePolicy: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "A policy of the key, of its project or of its team does not allow the request. The message names the rule.",
		Fix: "Send a request that the rule allows: GET /v1/key shows what the key may do; or ask your operator to change the rule: " +
			"tallyroute policy set",
	},
	codeModelNotFound: {
		Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
		About: "No model or alias has this name.",
		Fix:   "GET /v1/models lists the names that this key may use.",
	},
	codeUnpriced: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "A budget in money binds the key, and no price is known for this model or for the tier that was asked for.",
		Fix:   "Ask your operator to add the price to the configuration, or to let the key use models without a price (allow_unpriced).",
	},
	codeMember: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "A budget binds the key, and the cost of a member of the request cannot be known before it is answered.",
		Fix: "Leave out the member that param names; or ask your operator to allow it (members.allow) or to declare its cost " +
			"(quirks.members of the provider).",
	},
	codeStored: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "The request refers to something stored at a provider, where all keys share one account.",
		Fix:   "Send the content itself; or ask your operator for a key that may: tallyroute keys create --allow-provider-objects",
	},
	codeCannot: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "No provider of this model supports what the request asks for.",
		Fix:   "Leave it out, or choose another model.",
	},
	codeDuplicate: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "A member appears twice, or under two spellings.",
		Fix:   "Send every member once.",
	},
	codeInvalidValue: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "A value is of the wrong type or out of range.",
		Fix:   "Change the member that param names.",
	},
	codeUnknownParam: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "A member is not supported here.",
		Fix:   "Leave out the member that param names.",
	},
	codeUnsupported: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The provider, or the model there, has no such member.",
		Fix:   "Leave out the member that param names, or ask for another model.",
	},
	codeUnsupportedValue: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The provider, or the model there, has the member, but not with this value.",
		Fix:   "Give the member that param names another value, as the message says, or ask for another model.",
	},
	codeHandoverOver: {
		Status: http.StatusGone, Type: web.TypeRequest, Retry: web.Never,
		About: "The link of a hand-over has expired, was opened before, or never was one.",
		Fix:   "Ask whoever gave you the link for a new one.",
	},
	codeMissing: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "A required member is missing.",
		Fix:   "Add the member that param names.",
	},
	codeContent: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The messages have content of a kind that no provider of the model accepts.",
		Fix:   "Leave that content out, or choose another model.",
	},
	codeContext: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "Prompt and answer together are longer than the model's context.",
		Fix:   "Send a shorter prompt, ask for fewer tokens, or choose a model with a longer context.",
	},
	codeTight: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The request does not limit its output, and this router's default limit is below the smallest one that the model accepts.",
		Fix:   "Send max_completion_tokens; or ask your operator to raise defaults.max_output_tokens.",
	},
	web.CodeTooLarge: {
		Status: http.StatusRequestEntityTooLarge, Type: web.TypeRequest, Retry: web.Never,
		About: "The body is larger than this router accepts, or the request larger than its providers accept.",
		Fix:   "Send less, images above all; your operator can raise the limit of the router.",
	},
	codeQuota: {
		Status: http.StatusTooManyRequests, Type: web.TypeQuota, Retry: web.Never,
		About: "What is left of a budget that binds the key is not enough for this request. Other budgets and other keys are not affected.",
		Fix:   "Wait until the budget resets, ask for less, or ask your operator to raise it.",
	},
	codeDisabled: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "An operator has disabled the key for now. Everything else about it is unchanged.",
		Fix:   "Ask your operator to enable it again: tallyroute keys enable",
	},
	codeRotated: {
		Status: http.StatusUnauthorized, Type: web.TypeAuth, Retry: web.Never,
		About: "The key has a newer secret, and the one that was sent is no longer valid. Its limits and history are the same.",
		Fix:   "Read the key's new secret from where you keep it; ask the owner of the key if there is none.",
	},
	codeStopped: {
		Status: http.StatusForbidden, Type: web.TypePermission, Retry: web.Never,
		About: "The key was stopped because its answers used more tokens or money than was reserved for them, by more than is allowed.",
		Fix:   "Ask your operator to look into it and to enable the key again: tallyroute keys enable",
	},
	codeRate: {
		Status: http.StatusTooManyRequests, Type: web.TypeRate, Retry: web.Sensible,
		About: "The limit per minute of the key, or of every provider of the model, is exceeded.",
		Fix:   "Wait as long as Retry-After says.",
	},
	codeBytes: {
		Status: http.StatusTooManyRequests, Type: web.TypeRate, Retry: web.Sensible,
		About: "The requests of the key that are under way already hold as many bytes as those of one key may.",
		Fix: "Wait as long as Retry-After says, or send less at once: images above all. Your operator can raise " +
			"limits.bytes_in_flight_per_key.",
	},
	codeOverloaded: {
		Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The requests under way are as many, or hold as many bytes, as the router accepts at once.",
		Fix:   "Wait as long as Retry-After says.",
	},
	web.CodeNotFound: {
		Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
		About: "There is nothing at this path.",
		Fix:   "The base URL ends in /v1; completions are at POST /v1/chat/completions.",
	},
	codeNoRequest: {
		Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
		About: "This key made no request with this id.",
		Fix:   "Take the id from the x-request-id header of a completion, and ask with the key that made it.",
	},
	codeNoResponse: {
		Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
		About: "No response with this id is kept for this key: it was not stored, was deleted or has expired, or it is another key's.",
		Fix:   "Ask with the key that made it, before it expires; responses are kept unless the request says \"store\": false.",
	},
	codeNoPrevious: {
		Status: http.StatusNotFound, Type: web.TypeRequest, Retry: web.Never,
		About: "The response that the request goes on from, or one before it, is not kept for this key: " +
			"it was not stored, was deleted or has expired, or it is another key's.",
		Fix: "Send the items of the conversation in input, without previous_response_id.",
	},
	codeLongPast: {
		Status: http.StatusRequestEntityTooLarge, Type: web.TypeRequest, Retry: web.Never,
		About: "The conversation that the request goes on from is larger than a request may be.",
		Fix:   "Begin a new conversation with a summary of this one, or ask your operator to raise limits.max_body_bytes.",
	},
	codeAllFailed: {
		Status: http.StatusBadGateway, Type: web.TypeAPI, Retry: web.Sensible,
		About: "Every provider that was tried failed before it answered anything. Attempts that a provider may bill are charged " +
			"at most what " +
			"was reserved; refusals are free.",
		Fix: "Try again; if it persists, show the request id to your operator.",
	},
	codeUpstreamAuth: {
		Status: http.StatusBadGateway, Type: web.TypeAPI, Retry: web.Never,
		About: "The providers refused this router's own credentials. Your key is fine.",
		Fix:   "Tell your operator: the credential of a provider must be renewed.",
	},
	codeRedirect: {
		Status: http.StatusBadGateway, Type: web.TypeAPI, Retry: web.Never,
		About: "The provider answered with a redirect, which is never followed.",
		Fix:   "Tell your operator: the base URL of a provider is wrong.",
	},
	codeRefused: {
		Status: http.StatusBadRequest, Type: web.TypeRequest, Retry: web.Never,
		About: "The provider refused the request itself, and any other would refuse it too.",
		Fix:   "Change what the message names.",
	},
	codeTimeout: {
		Status: http.StatusGatewayTimeout, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The providers did not answer in time, or stopped in the middle.",
		Fix:   "Try again, with a shorter prompt or streamed.",
	},
	codeTruncated: {
		Status: http.StatusBadGateway, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The provider ended the stream before the answer was complete. What arrived is charged.",
		Fix:   "Do not use the answer as if it were complete; ask again.",
	},
	codeBroken: {
		Status: http.StatusBadGateway, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The provider failed in the middle of the stream. What arrived is charged.",
		Fix:   "Do not use the answer as if it were complete; ask again.",
	},
	codeOverlong: {
		Status: http.StatusBadGateway, Type: web.TypeAPI, Retry: web.Never,
		About: "The answer exceeded the longest one that was asked for, by more than differences in counting explain. It is cut " +
			"off there; " +
			"what arrived is charged.",
		Fix: "Do not use the answer as if it were complete; tell your operator which provider it was.",
	},
	codeNoProvider: {
		Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
		About: "All providers of the model have failed recently and are given time to recover.",
		Fix:   "Wait as long as Retry-After says, or choose another model.",
	},
	codeLedger: {
		Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The database does not answer, so nothing can be reserved or charged; therefore nothing was sent.",
		Fix:   "Try again shortly.",
	},
	codeStopping: {
		Status: http.StatusServiceUnavailable, Type: web.TypeAPI, Retry: web.Sensible,
		About: "The router is stopping, and the answer took longer than answers under way are given.",
		Fix:   "Send the request again: another router, or this one after its start, answers it. What had come is charged.",
	},

	codeIdempotencyConflict: {
		Status: http.StatusConflict, Type: web.TypeRequest, Retry: web.Never,
		About: "The Idempotency-Key belongs to a request with another body.",
		Fix:   "Use a new Idempotency-Key for every new request.",
	},
	codeIdempotencyRunning: {
		Status: http.StatusConflict, Type: web.TypeRequest, Retry: web.Sensible,
		About: "The first request with this Idempotency-Key is still being answered.",
		Fix:   "Wait as long as Retry-After says and send it again: the answer will be the first one's.",
	},
	codeIdempotencyLarge: {
		Status: http.StatusConflict, Type: web.TypeRequest, Retry: web.Never,
		About: "The request was answered and charged before, and the answer was too large to be kept.",
		Fix:   "Use the answer of the request that the message names, or send it again under another Idempotency-Key.",
	},
}
