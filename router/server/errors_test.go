package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/brake"
	"tallyroute/router/federation"
	"tallyroute/router/idempotency"
	"tallyroute/router/limit"
	"tallyroute/router/plan"
	"tallyroute/router/web"
)

// perMinute returns the refusal of one request more than a key may make in a minute.
func perMinute(limit int64, resets time.Duration) *billing.QuotaError {
	return &billing.QuotaError{AskedRequests: 1, Balance: billing.Balance{
		Budget: billing.Budget{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodMinute, Requests: &limit}, UsedRequests: limit,
		Window: billing.Window{End: time.Now().Add(resets)},
	}}
}

// tokensPerMinute returns a refusal because of tokens, of which a team may use 1000 in a
// minute.
func tokensPerMinute(used, asked int64) *billing.QuotaError {
	limit := int64(1000)
	return &billing.QuotaError{AskedTokens: asked, Holder: `team "payments"`, Balance: billing.Balance{
		Budget: billing.Budget{ID: "bud_1", Scope: billing.ScopeTeam, Period: billing.PeriodMinute, Tokens: &limit}, UsedTokens: used,
		Window: billing.Window{End: time.Now().Add(time.Second)},
	}}
}

func quota(tokens int64, money billing.Money) *billing.QuotaError {
	b := billing.Budget{ID: "bud_7", Scope: billing.ScopeTeam, ScopeID: "team_3", Period: billing.PeriodDay}
	if tokens > 0 {
		b.Tokens = &tokens
	}
	if money > 0 {
		b.Money = &money
	}
	return &billing.QuotaError{
		Balance: billing.Balance{
			Budget: b, Window: billing.Window{Start: day(2026, 11, 24), End: day(2026, 11, 25)},
			UsedTokens: 950, HeldTokens: 20, UsedMoney: 1_500_000_000, HeldMoney: 250_000_000,
		},
		AskedTokens: 40, AskedMoney: 500_000_000, Holder: `team "payments"`,
	}
}

func stoppedKey() error { return (&billing.Key{StoppedAt: day(2026, 11, 1)}).InForce(day(2026, 11, 2)) }

func failedBy(kinds ...providers.Kind) *router.FailedError {
	e := &router.FailedError{Err: &providers.Error{Kind: kinds[len(kinds)-1], Err: errors.New("secret-host.internal")}}
	for i, k := range kinds {
		e.Attempts = append(e.Attempts, router.Attempt{
			Provider: fmt.Sprintf("p%d", i+1), Model: "m", Status: 500 + i, Kind: k,
			Took: 12 * time.Millisecond,
		})
	}
	return e
}

// examples are errors with what a client must read about them. Every row of the table has at
// least one.
var examples = []struct {
	row    string // in the table; "" for none
	err    error
	status int
	code   string
	kind   string
	param  string
	says   []string // in the message or fix
	retry  string   // "no", or the Retry-After header, or "" for neither
}{
	{"billing: not a key of ours, or mistyped", billing.ErrMalformedKey, 401, "invalid_api_key", "authentication_error", "", nil, "no"},
	{"billing: unknown key", fmt.Errorf("x: %w", billing.ErrUnknownKey), 401, "invalid_api_key", "authentication_error", "", nil, "no"},
	{
		"billing: key is revoked", revokedKey(), 401, "invalid_api_key", "authentication_error", "",
		[]string{"has been revoked since 2026-11-01T00:00:00Z", "LAST4"},
		"no",
	},
	{
		"billing: key was rotated", (&billing.Key{Secret: billing.SecretState{Until: day(2026, 11, 1)}}).InForce(day(2026, 11, 2)), 401,
		"key_rotated", "authentication_error", "",
		[]string{"replaced by a newer one", "ended on 2026-11-01T00:00:00Z"},
		"no",
	},
	{
		"billing: key has expired", expiredKey(), 401, "invalid_api_key", "authentication_error", "",
		[]string{") expired on 2026-11-01T00:00:00Z", "LAST4"},
		"no",
	},
	{
		billing.ErrRotated.Error(), fmt.Errorf("%w; this secret ended on 2026-11-01T00:00:00Z", billing.ErrRotated), 401, "key_rotated",
		"authentication_error", "",
		[]string{"has been replaced by a newer one; this secret ended on 2026-11-01T00:00:00Z", "LAST4"},
		"no",
	},
	{
		billing.ErrDisabled.Error(), fmt.Errorf("%w since 2026-11-01T00:00:00Z", billing.ErrDisabled), 403, "key_disabled",
		"permission_error", "",
		[]string{"is disabled since 2026-11-01T00:00:00Z", "keys enable"},
		"no",
	},
	{
		billing.ErrStopped.Error(), stoppedKey(), 403, "key_overrun_stopped", "permission_error", "",
		[]string{"has been stopped since 2026-11-01T00:00:00Z", "keys enable"},
		"no",
	},
	{
		"server: network not allowed", errNetwork, 403, "network_not_allowed", "permission_error", "",
		[]string{"Requests from your network are not answered."},
		"no",
	},
	{
		ephemeral.ErrExpired.Error(), fmt.Errorf("%w on 2026-11-03T12:00:00Z", ephemeral.ErrExpired), 401, "temporary_key_expired",
		"authentication_error", "",
		[]string{"This temporary key expired on 2026-11-03T12:00:00Z."},
		"no",
	},
	{
		federation.ErrRefused.Error(), federation.ErrRefused, 401, "invalid_api_key", "authentication_error", "",
		[]string{"missing, mistyped or unknown"},
		"no",
	},
	{
		federation.ErrUnavailable.Error(), federation.ErrUnavailable, 503, "identity_issuer_unavailable", "api_error", "",
		[]string{"does not answer, so it cannot be verified"},
		"",
	},
	{
		errTemporary.Error(), errTemporary, 403, "temporary_key_not_allowed", "permission_error", "",
		[]string{"A temporary key cannot be exchanged for another."},
		"no",
	},
	{
		ephemeral.ErrTooLong.Error(), ephemeral.ErrTooLong, 400, "invalid_value", "invalid_request_error", "policy",
		[]string{"The temporary key would have more than 1024 bytes."},
		"no",
	},
	{
		"*web.MemberError", &web.MemberError{Param: "budget.usd", Detail: "must be a text, not number"}, 400, "invalid_value",
		"invalid_request_error", "budget.usd",
		[]string{"must be a text, not number"},
		"no",
	},
	{
		"*web.MemberError", &web.MemberError{Param: "usd", Twice: true, Detail: "is there twice"}, 400, "duplicate_field",
		"invalid_request_error", "usd",
		[]string{"is there twice"},
		"no",
	},
	{
		"*ephemeral.FaultsError", &ephemeral.FaultsError{Faults: []policy.Fault{{Field: "end_user", Detail: "must be plain"}}}, 400,
		"invalid_value",
		"invalid_request_error", "end_user",
		[]string{"end_user must be plain."},
		"no",
	},
	{
		billing.ErrNoHandover.Error(), billing.ErrNoHandover, 410, "handover_over", "invalid_request_error", "",
		[]string{"This hand-over is over, was opened before, or never was."},
		"no",
	},
	{
		"billing: address not allowed for this key", billing.ErrAddress, 403, "ip_not_allowed", "permission_error", "",
		[]string{"127.0.0.1"},
		"no",
	},
	{"web: a credential came in clear", web.ErrClear, 403, "tls_required", "permission_error", "", nil, "no"},
	{"web: more than one credential", web.ErrAmbiguous, 400, "ambiguous_credentials", "invalid_request_error", "", nil, "no"},
	{"server: key in the URL", errKeyInURL, 400, "key_in_url", "invalid_request_error", "", nil, "no"},
	{"web: no such path", web.ErrNoRoute, 404, "not_found", "invalid_request_error", "", nil, "no"},
	{"web: no such method", web.ErrNoMethod, 405, "method_not_allowed", "invalid_request_error", "", nil, "no"},
	{
		"*server.pastError", &pastError{"resp_1"}, 404, "previous_response_not_found", "invalid_request_error", "previous_response_id",
		[]string{"Previous response with id resp_1 not found."},
		"no",
	},
	{
		billing.ErrLongConversation.Error(), billing.ErrLongConversation, 413, "conversation_too_long", "invalid_request_error",
		"previous_response_id",
		[]string{"max_body_bytes"},
		"no",
	},
	{billing.ErrNoResponse.Error(), billing.ErrNoResponse, 404, "response_not_found", "invalid_request_error", "", nil, "no"},
	{"server: no such request", errNoRequest, 404, "request_not_found", "invalid_request_error", "", nil, "no"},
	{
		"*web.FieldsError", &web.FieldsError{Got: 101, Limit: 100}, 431, "too_many_headers", "invalid_request_error", "",
		[]string{"101", "100"},
		"no",
	},
	{
		"*web.TooLargeError", &web.TooLargeError{Got: 11, Limit: 10}, 413, "request_too_large", "invalid_request_error", "",
		[]string{"11 bytes", "10"},
		"no",
	},
	{
		"*web.TooLargeError", &web.TooLargeError{Got: 0, Limit: 10}, 413, "request_too_large", "invalid_request_error", "",
		[]string{"10 bytes"},
		"no",
	},
	{
		"*web.MediaTypeError", &web.MediaTypeError{Got: "text/plain"}, 415, "unsupported_media_type", "invalid_request_error", "",
		[]string{"text/plain"},
		"no",
	},
	{
		"*web.EncodingError", &web.EncodingError{Got: "gzip"}, 415, "unsupported_content_encoding", "invalid_request_error", "",
		[]string{"gzip"},
		"no",
	},
	{"web: the body did not come in time", web.ErrBodyTimeout, 408, "request_timeout", "invalid_request_error", "", nil, ""},
	{
		"web: the body is cut short or malformed", fmt.Errorf("%w: %w", web.ErrBodyCut, io.ErrUnexpectedEOF), 400, "incomplete_body",
		"invalid_request_error", "", nil, "no",
	},
	{
		"*jsonraw.FieldError", &chat.FieldError{Code: "invalid_value", Param: "messages[0].role", Message: "must be one of user"}, 400,
		"invalid_value", "invalid_request_error", "messages[0].role",
		[]string{"must be one of user"},
		"no",
	},
	{
		"*jsonraw.FieldError", &chat.FieldError{Code: "invalid_json", Message: "bad"}, 400, "invalid_json", "invalid_request_error", "",
		nil, "no",
	},
	{
		"*router.ModelError", &router.ModelError{Asked: "gtp-4o", Nearest: "gpt-4o"}, 404, "model_not_found",
		"invalid_request_error", "model",
		[]string{`"gtp-4o"`, `"gpt-4o"`, "GET /v1/models"},
		"no",
	},
	{
		"*router.ForbiddenModelError", &router.ForbiddenModelError{Asked: "x", Allowed: []string{"a", "b/*"}}, 403, "model_not_allowed",
		"permission_error", "model",
		[]string{"a, b/*"},
		"no",
	},
	{
		"*policy.Denied", &policy.Denied{Level: policy.Team, Rule: "models", Detail: `"x" is not among the models a`}, 403, "policy_denied",
		"permission_error", "model",
		[]string{"team.models", `"x" is not among the models a`},
		"no",
	},
	{
		"*brake.StoppedError", &brake.StoppedError{
			Key: "key_1", Session: "s1",
			Cause: "the session has made 9 requests, as many as one may",
		},
		403, "runaway_stopped",
		"permission_error", "",
		[]string{"s1", "9 requests", "0001-01-01T00:00:00Z"},
		"no",
	},
	{
		"*plan.AbilityError", &plan.AbilityError{Model: "m", Needs: []string{"tools"}}, 400, "unsupported_by_model",
		"invalid_request_error",
		"model",
		[]string{"tools"},
		"no",
	},
	{
		"*policy.Denied", &policy.Denied{Level: policy.Team, Rule: "models", Detail: `"x" is not among the models a`}, 403, "policy_denied",
		"permission_error", "model",
		[]string{"team.models", `"x" is not among the models a`},
		"no",
	},
	{
		"*plan.AbilityError", &plan.AbilityError{Model: "m", Needs: []string{"tools", "audio"}}, 400, "unsupported_content",
		"invalid_request_error", "messages",
		[]string{"tools, audio"},
		"no",
	},
	{
		"*idempotency.DuplicateError", &idempotency.DuplicateError{RequestID: "req_1", Reason: idempotency.DuplicateOther}, 409,
		"idempotency_conflict", "invalid_request_error", "",
		[]string{"req_1"},
		"no",
	},
	{
		"*idempotency.DuplicateError", &idempotency.DuplicateError{RequestID: "req_1", Reason: idempotency.DuplicateRunning}, 409,
		"idempotency_in_progress", "invalid_request_error", "",
		[]string{"req_1"},
		"1",
	},
	{
		"*idempotency.DuplicateError", &idempotency.DuplicateError{RequestID: "req_1", Reason: idempotency.DuplicateLarge}, 409,
		"idempotency_answer_too_large", "invalid_request_error", "",
		[]string{"req_1"},
		"no",
	},
	{"server: malformed idempotency key", errIdempotencyKey, 400, "invalid_value", "invalid_request_error", "Idempotency-Key", nil, "no"},
	{
		"*plan.UnpricedError", &plan.UnpricedError{Model: "m", Tier: "priority"}, 400, "model_unpriced", "invalid_request_error",
		"service_tier",
		[]string{`No price is known for m with service_tier "priority"`, "Leave out service_tier"},
		"no",
	},
	{"*plan.UnpricedError", &plan.UnpricedError{Model: "m"}, 400, "model_unpriced", "invalid_request_error", "model", []string{"m"}, "no"},
	{
		"*plan.MemberError", &plan.MemberError{Model: "m", Bar: providers.Bar{Class: providers.Refused, Member: "plugins[0].id"}}, 400,
		"unpriced_member", "invalid_request_error", "plugins[0].id",
		[]string{"cost of plugins[0].id at m", "members.allow"},
		"no",
	},
	{
		"*plan.MemberError", &plan.MemberError{Model: "m", Bar: providers.Bar{Class: providers.Selects, Member: "models"}}, 403,
		"model_not_allowed", "permission_error", "models",
		[]string{"Leave out models."},
		"no",
	},
	{
		"*plan.MemberError", &plan.MemberError{Model: "m", Bar: providers.Bar{Class: providers.Stored, Member: "prompt"}}, 403,
		"provider_object_not_allowed", "permission_error", "prompt",
		[]string{"allow-provider-objects"},
		"no",
	},
	{
		"*plan.ContextError", &plan.ContextError{Model: "m", Prompt: 9000, Output: 500, Context: 8192}, 400, "context_length_exceeded",
		"invalid_request_error", "messages",
		[]string{"9000", "500", "8192"},
		"no",
	},
	{
		"*plan.TightError", &plan.TightError{Model: "m", Bound: 5, Least: 16}, 400, "output_bound_too_low", "invalid_request_error",
		"max_completion_tokens",
		[]string{"5 tokens", "16", "max_output_tokens"},
		"no",
	},
	{
		"*billing.QuotaError", quota(1000, 0), 429, "insufficient_quota", "insufficient_quota", "",
		[]string{
			`The daily budget of team "payments" is not enough for this request: used 950 of 1000 tokens, with 20 more held by requests ` +
				`under way; this request may need 40. It resets at 2026-11-25T00:00:00Z. Wait until 2026-11-25T00:00:00Z, `,
			`ask your operator to raise the daily budget of team "payments".`,
		},
		"no",
	},
	{
		"*billing.QuotaError", quota(0, 2_000_000_000), 429, "insufficient_quota", "insufficient_quota", "",
		[]string{"used $1.5 of $2, with $0.25 more held by requests under way; this request may cost up to $0.5."},
		"no",
	},
	{
		"*billing.QuotaError", quota(5000, 2_000_000_000), 429, "insufficient_quota", "insufficient_quota", "",
		[]string{"used $1.5 of $2"},
		"no",
	},
	{
		"*billing.QuotaError", quota(30, 0), 429, "insufficient_quota", "insufficient_quota", "",
		[]string{"resets at 2026-11-25T00:00:00Z, which would not be enough either. Ask for less"},
		"no",
	},
	{
		"*billing.QuotaError", perMinute(60, 0), 429, "rate_limit_exceeded", "rate_limit_error", "",
		[]string{"This key may make 60 requests per minute; this would be the 61st."},
		"1",
	},
	{
		"*billing.QuotaError", perMinute(2, time.Second), 429, "rate_limit_exceeded",
		"rate_limit_error", "",
		[]string{"may make 2 requests per minute; this would be the third."},
		"1",
	},
	{
		"*billing.QuotaError", tokensPerMinute(880, 400), 429, "rate_limit_exceeded", "rate_limit_error", "",
		[]string{"may use 1000 tokens per minute, of which 120 are left; this request may need 400."},
		"1",
	},
	{
		"*billing.QuotaError", tokensPerMinute(0, 5000), 429, "rate_limit_exceeded", "rate_limit_error", "",
		[]string{"Team \"payments\" may use 1000 tokens per minute; this request alone may need 5000. Ask for less"},
		"no",
	},
	{
		"*limit.FullError", &limit.FullError{Key: true, Limit: 64 << 20}, 429, "too_many_bytes_in_flight", "rate_limit_error", "",
		[]string{"67108864 bytes", "LAST4", "bytes_in_flight_per_key"},
		"1",
	},
	{"*limit.FullError", &limit.FullError{Limit: 256 << 20}, 503, "overloaded", "api_error", "", nil, "1"},
	{"billing: key has changed since it was read", billing.ErrStaleKey, 503, "ledger_unavailable", "api_error", "", nil, "1"},
	{
		"router: the process is stopping", fmt.Errorf("x: %w", router.ErrStopping), 503, "router_stopping", "api_error", "",
		[]string{"again"},
		"1",
	},
	{
		"billing: database unavailable", fmt.Errorf("%w: dial secret-host.internal", billing.ErrUnavailable), 503, "ledger_unavailable",
		"api_error", "", nil, "2",
	},
	{"*server.streamError", &streamError{io.ErrUnexpectedEOF}, 502, "upstream_truncated", "api_error", "", nil, ""},
	{"*server.streamError", &streamError{&providers.Error{Kind: providers.KindTimeout}}, 504, "upstream_timeout", "api_error", "", nil, ""},
	{
		"*server.streamError", &streamError{&router.OverlongError{Most: 50}}, 502, "answer_too_long", "api_error", "",
		[]string{"50 tokens"},
		"no",
	},
	{"*server.streamError", &streamError{errors.New("secret-host.internal")}, 502, "upstream_error", "api_error", "", nil, ""},
	{
		"*router.FailedError", failedBy(providers.KindOverload, providers.KindTimeout), 502, "all_providers_failed", "api_error", "",
		[]string{"p1 (500 overload, 12 ms)", "p2 (501 timeout, 12 ms)"},
		"",
	},
	{"*router.FailedError", failedBy(providers.KindTimeout, providers.KindTimeout), 504, "upstream_timeout", "api_error", "", nil, ""},
	{"*router.FailedError", failedBy(providers.KindCredential), 502, "upstream_auth_failed", "api_error", "", nil, "no"},
	{"*router.FailedError", failedBy(providers.KindRedirect), 502, "upstream_redirect", "api_error", "", nil, "no"},
	{
		"*router.FailedError", failedBy(providers.KindUnknown), 404, "model_not_found", "invalid_request_error", "model",
		[]string{"does not know the model", "Tried: p1"},
		"no",
	},
	{"*router.FailedError", &router.FailedError{
		Attempts: []router.Attempt{{Provider: "p1", Kind: providers.KindUnknown, Status: 400}},
		Err:      &providers.Error{Kind: providers.KindUnknown, Status: 400, Detail: chat.Error{Message: "Invalid model: m"}},
	}, 400, "model_not_found", "invalid_request_error", "model", []string{"Invalid model: m Tried"}, "no"},
	{
		"*router.FailedError", failedBy(providers.KindCredential, providers.KindOverload), 502, "all_providers_failed", "api_error",
		"", nil, "",
	},
	{
		"*router.FailedError", &router.FailedError{RetryAfter: 4200 * time.Millisecond}, 503, "no_healthy_provider", "api_error",
		"", nil, "5",
	},
	{"*router.FailedError", &router.FailedError{
		RateLimited: true, RetryAfter: 7 * time.Second,
		Attempts: failedBy(providers.KindRate).Attempts,
	}, 429, "rate_limit_exceeded", "rate_limit_error", "", nil, "7"},
	{"*router.FailedError", &router.FailedError{RateLimited: true}, 429, "rate_limit_exceeded", "rate_limit_error", "", nil, "1"},
	{
		"*providers.Error", &providers.Error{
			Provider: "p", Kind: providers.KindRequest, Status: 422,
			Detail: chat.Error{Message: "bad tool", Type: "their_type", Param: "tools[0]", Code: "their_code"},
		}, 422, "their_code",
		"their_type", "tools[0]",
		[]string{"bad tool", "p refused it"},
		"no",
	},
	{
		"*providers.Error", &providers.Error{Provider: "p", Kind: providers.KindUnfit, Detail: chat.Error{
			Message: "must be 1", Param: "n",
			Code: "unsupported_parameter",
		}}, 400, "unsupported_parameter", "invalid_request_error", "n",
		[]string{"must be 1", "Leave it out"},
		"no",
	},
	{
		"*providers.Error", &providers.Error{
			Kind: providers.KindContext, Status: 400,
			Detail: chat.Error{Message: "too long", Code: "string_above_max_length"},
		}, 400, "string_above_max_length", "invalid_request_error",
		"",
		[]string{"too long"},
		"no",
	},
	{
		"*providers.Error", &providers.Error{Kind: providers.KindContent, Status: 401, Err: errors.New("secret-host.internal")}, 400,
		"upstream_refused", "invalid_request_error", "", nil, "no",
	},
	{
		"*server.unservedError", &unservedError{"OpenAI's Responses API"}, 404, "not_found", "invalid_request_error", "",
		[]string{"Responses API is not served", "POST /v1/chat/completions"},
		"no",
	},
	{
		"*router.QuestionError", &router.QuestionError{RetryAfter: time.Second}, 429, "rate_limit_exceeded", "rate_limit_error", "",
		[]string{"asks too often"},
		"1",
	},
	{
		"*router.StrangerError", &router.StrangerError{RetryAfter: time.Second}, 429, "rate_limit_exceeded", "rate_limit_error", "",
		[]string{"unknown API keys"},
		"1",
	},
	{"", errors.New("pq: secret-host.internal SELECT * FROM api_keys"), 500, "internal_error", "api_error", "", nil, ""},
}

func revokedKey() error {
	k := &billing.Key{RevokedAt: day(2026, 11, 1)}
	return k.InForce(day(2026, 11, 24))
}

func expiredKey() error {
	k := &billing.Key{ExpiresAt: day(2026, 11, 1)}
	return k.InForce(day(2026, 11, 24))
}

func TestErrorTable(t *testing.T) {
	have := make(map[string]bool)
	for _, tc := range examples {
		have[tc.row] = true
		name := tc.code
		if tc.row != "" {
			name = tc.row + "/" + tc.code
		}
		t.Run(name, func(t *testing.T) {
			if got := rowOf(tc.err); got != tc.row {
				t.Errorf("read by row %q, want %q", got, tc.row)
			}
			g := newRig(t, func(o *Options) { o.Router = fails{tc.err} })
			r := g.chat(hi)
			e := r.refused(t, tc.status, tc.code)
			if e["type"] != tc.kind {
				t.Errorf("type %v, want %s", e["type"], tc.kind)
			}
			if param, there := e["param"]; !there || (tc.param == "" && param != nil) || (tc.param != "" && param != tc.param) {
				t.Errorf("param %v, want %q", param, tc.param)
			}
			text := fmt.Sprint(e["message"], " ", e["fix"])
			for _, want := range tc.says {
				if want == "LAST4" {
					want = g.secret[len(g.secret)-4:]
				}
				if !strings.Contains(text, want) {
					t.Errorf("does not say %q: %s", want, text)
				}
			}
			checkRetry(t, r.Header, tc.retry)
			if strings.Contains(r.body, "secret-host") || strings.Contains(r.body, "SELECT") {
				t.Errorf("tells too much: %s", r.body)
			}
			checkForClients(t, r)
			if _, ours := codes[tc.code]; ours {
				page := g.get(e["doc_url"].(string))
				if page.StatusCode != 200 || !strings.HasPrefix(page.body, "# "+tc.code+"\n") {
					t.Errorf("doc_url: %d %s", page.StatusCode, page.body)
				}
			}
		})
	}
	for _, r := range table {
		if !have[r.Name] {
			t.Errorf("row %q has no example: add one to examples", r.Name)
		}
	}
}

// rowOf returns the name of the row that matches err.
func rowOf(err error) string {
	for _, r := range table {
		if _, ok := r.Read(err); ok {
			return r.Name
		}
	}
	return ""
}

func checkRetry(t *testing.T, h http.Header, want string) {
	t.Helper()
	should, after := h.Get("X-Should-Retry"), h.Get("Retry-After")
	switch want {
	case "no":
		if should != "false" || after != "" {
			t.Errorf("x-should-retry %q, retry-after %q; must not be retried", should, after)
		}
	default:
		if should != "" || after != want {
			t.Errorf("x-should-retry %q, retry-after %q; want %q", should, after, want)
		}
		if ms := h.Get("Retry-After-Ms"); (after == "") != (ms == "") {
			t.Errorf("retry-after-ms %q", ms)
		}
	}
}

// checkForClients parses the error like the client of record, and checks it against the
// published schema.
func checkForClients(t *testing.T, r reply) {
	t.Helper()
	var resp openai.ErrorResponse
	if err := json.Unmarshal([]byte(r.body), &resp); err != nil || resp.Error == nil || resp.Error.Message == "" {
		t.Errorf("go-openai cannot read %s: %v", r.body, err)
	}
	if s := schema(t, "ErrorResponse"); s != nil {
		if err := s.Validate(any(r.object(t))); err != nil {
			t.Error(err)
		}
	}
}

func TestCodesAreComplete(t *testing.T) {
	met := make(map[string]bool)
	for _, tc := range examples {
		met[tc.code] = true
	}
	for _, c := range []string{
		codeDuplicate, codeUnknownParam, codeMissing, // from the scanner
		codeUnsupported, codeUnsupportedValue, // from providers
	} {
		met[c] = true
	}
	for name, c := range codes {
		if c.Status < 400 || c.Type == "" || c.About == "" || c.Fix == "" {
			t.Errorf("%s: %+v", name, c)
		}
		if !met[name] {
			t.Errorf("%s: no example leads to it: add one to examples", name)
		}
	}
	g := newRig(t)
	g.get("/docs/errors/none").refused(t, 404, "not_found")
	g.get("/docs/errors/").refused(t, 404, "not_found")
}

// TestRefusalOfOurCredentialIsNotTheClients answers in general terms, and passes on nothing
// that the provider sent.
func TestRefusalOfOurCredentialIsNotTheClients(t *testing.T) {
	g := newRig(t)
	g.refuses(providers.Error{
		Kind: providers.KindCredential, Status: 401, Err: errors.New("https://secret-host.internal: bad key sk-live-123"),
		Detail: chat.Error{Message: "Incorrect API key provided: sk-live-123", Code: "invalid_api_key"},
	})
	r := g.chat(hi)
	r.refused(t, http.StatusBadGateway, "upstream_auth_failed")
	if strings.Contains(r.body, "sk-live") || strings.Contains(r.body, "secret-host") {
		t.Errorf("%s", r.body)
	}
	if r.Header.Get("X-Tallyroute-Attempts") != "1" {
		t.Errorf("attempts %q", r.Header.Get("X-Tallyroute-Attempts"))
	}
	r = newRig(t).chat(hi) // a provider's header holds a secret and a cookie
	for name := range r.Header {
		switch {
		case strings.HasPrefix(name, "X-Tallyroute-"), strings.HasPrefix(name, "X-Ratelimit-"):
		case name == "Content-Type", name == "Content-Length", name == "Date", name == "X-Request-Id", name == "Openai-Processing-Ms",
			name == "Cache-Control", name == "X-Content-Type-Options":
		default:
			t.Errorf("header %s: %q", name, r.Header[name])
		}
	}
}

// TestProviderRequestErrorPasses checks that what a provider says about the request itself
// reaches the client unchanged.
func TestProviderRequestErrorPasses(t *testing.T) {
	g := newRig(t)
	g.refuses(providers.Error{Kind: providers.KindRequest, Status: 422, Detail: chat.Error{
		Message: "no", Type: "t", Param: "p",
		Code: "c",
	}})
	e := g.chat(hi).refused(t, 422, "c")
	if e["message"] != "no" || e["type"] != "t" || e["param"] != "p" || e["doc_url"] != nil {
		t.Errorf("%v", e)
	}
}

func TestRefusalsOfRequestsSayWhatHelps(t *testing.T) {
	lowered := perMinute(5, time.Second)
	lowered.Balance.UsedRequests = 8
	if p := rateExceeded(lowered); !strings.Contains(p.Message, "this would be the 9th.") &&
		!strings.Contains(p.Message, "this would be the ninth.") {
		t.Error(p.Message)
	}
	none := perMinute(0, time.Hour)
	none.Balance.Budget.Period = billing.PeriodMonth
	if p := quotaExceeded(none); strings.Contains(p.Fix, "Wait") || !strings.HasPrefix(p.Fix, "Ask your operator") {
		t.Error(p.Fix)
	}
}
