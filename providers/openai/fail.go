package openai

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Fail reads a response with an error status.
func (completions) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	return fail(status, body)
}

func fail(status int, body []byte) *providers.Error {
	d, ok := chat.ParseError(body)
	if !ok {
		err := fmt.Errorf("openai: status %d with a body that is not an error object", status)
		return &providers.Error{Kind: providers.KindOf(status), Status: status, Err: err}
	}
	e := failure(status, d)
	if jsonraw.Text(jsonraw.Lookup(body, "error", "innererror", "code")) == "ResponsibleAIPolicyViolation" {
		e.Kind = providers.KindContent // Azure's code for it
	}
	return named(e)
}

func failure(status int, d chat.Error) *providers.Error {
	return named(&providers.Error{Kind: classify(status, d), Status: status, Detail: d, Err: &d})
}

// named sets OpenAI's code for what a content filter refuses, if the provider sent none.
func named(e *providers.Error) *providers.Error {
	if e.Kind == providers.KindContent && (e.Detail.Code == "" || e.Detail.Code == "400") {
		e.Detail.Code = "content_filter"
	}
	return e
}

// inBody returns the error for an error object that arrived in place of an answer, under a
// status that says nothing. Some providers put the real status into the code.
func inBody(d chat.Error) *providers.Error {
	status, err := strconv.Atoi(d.Code)
	if err != nil || status < 400 || status > 599 {
		status = 0
	}
	e := failure(status, d)
	if status == 0 && !e.Kind.Failover() {
		e.Status = http.StatusBadRequest
	}
	return e
}

// sign is how providers signal one particular kind of failure.
type sign struct {
	kind  providers.Kind
	codes []string // of the code or the type
	says  []string // phrases in the message, in lower case
}

// signs are tried in order, all codes before the first message.
var signs = []sign{
	{
		kind: providers.KindContext,
		codes: []string{
			"context_length_exceeded", "context_window_exceeded", "exceed_context_size_error", "prompt_too_long",
			"string_above_max_length", "model_max_prompt_tokens_exceeded", "tokens_limit_reached",
		},
		says: []string{
			"context length", "context window", "context size", "maximum context", "prompt is too long", "input is too long",
			"prompt length", "reduce the length of the messages", "too many input tokens", "input token count",
			"too many tokens", "input validation error: `inputs` tokens",
		},
	},
	{
		kind: providers.KindContent,
		codes: []string{
			"content_filter", "contentfilter", "content_policy_violation", "responsibleaipolicyviolation", "content_policy",
			"moderation_blocked", "invalid_prompt", "data_inspection_failed",
		},
		says: []string{
			"content management policy", "content policy", "content filter", "usage policies", "usage policy", "was flagged",
			"content exists risk", "inappropriate content", "safety system", "usage guidelines", "safety_check_type",
		},
	},
	{
		kind: providers.KindQuota,
		codes: []string{
			"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance", "insufficient_credits",
			"exceeded_current_quota_error", "arrearage",
		},
		says: []string{"insufficient balance", "credit balance", "insufficient credits", "account is in arrears"},
	},
	{
		kind:  providers.KindCredential,
		codes: []string{"invalid_api_key", "authentication_error", "invalid_authentication_error", "account_deactivated"},
		says:  []string{"incorrect api key", "invalid api key", "api key not valid"},
	},
	{
		kind: providers.KindUnknown,
		codes: []string{
			"model_not_found", "model_not_exist", "invalid_model", "unknown_model", "model_not_available", "model_decommissioned",
			"deploymentnotfound",
		},
		says: []string{"model not found", "model not exist", "no such model", "unknown model", "is not a valid model", "invalid model:"},
	},
	{
		kind:  providers.KindRate,
		codes: []string{"rate_limit_exceeded", "rate_limit_error", "rate_limited", "ratelimitreached", "too_many_requests"},
	},
	{
		kind: providers.KindOverload,
		codes: []string{
			"server_error", "internal_server_error", "internal_error", "overloaded_error", "engine_overloaded_error",
			"service_unavailable", "capacity_exceeded",
		},
	},
}

// classify returns the kind of an error; status is 0 if there is none.
func classify(status int, d chat.Error) providers.Kind {
	for _, s := range signs {
		for _, code := range s.codes {
			if strings.EqualFold(d.Code, code) || strings.EqualFold(d.Type, code) {
				return s.kind
			}
		}
	}
	message := strings.ToLower(d.Message)
	for _, s := range signs {
		if status >= 500 || status == http.StatusTooManyRequests && s.kind != providers.KindQuota {
			continue // there, a message about too many tokens means too many at once
		}
		for _, words := range s.says {
			if strings.Contains(message, words) {
				return s.kind
			}
		}
	}
	switch {
	case (status == http.StatusNotFound || status == http.StatusForbidden) && d.Param != "" && d.Param != "model":
		return providers.KindRequest // something else that the request names
	case status != 0:
		return providers.KindOf(status)
	case strings.HasPrefix(d.Type, "invalid_request"):
		return providers.KindRequest
	}
	return providers.KindOverload
}
