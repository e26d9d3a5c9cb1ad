package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/brake"
	"tallyroute/router/federation"
	"tallyroute/router/limit"
	"tallyroute/router/plan"
	"tallyroute/router/web"
)

var errNoRequest = errors.New("server: no such request")

// lapsed returns a row for a key that is no longer valid. The error's message ends with the
// time since when.
func lapsed(target error, code, how string) web.Row { return ended(target, code, thisKey+" "+how) }

// ended returns a row for an error whose message ends with the time since when.
func ended(target error, code, what string) web.Row {
	return web.Row{Name: target.Error(), Read: func(err error) (web.Problem, bool) {
		if !errors.Is(err, target) {
			return web.Problem{}, false
		}
		_, when, _ := strings.Cut(err.Error(), target.Error())
		return web.Problem{Code: code, Message: what + when + "."}, true
	}}
}

// stopped handles a key that was stopped because of its overrun. This process may not yet know
// since when.
func stopped(err error) (web.Problem, bool) {
	if !errors.Is(err, billing.ErrStopped) {
		return web.Problem{}, false
	}
	_, when, _ := strings.Cut(err.Error(), " since ")
	if when != "" {
		when = " since " + when
	}
	return web.Problem{Code: codeStopped, Message: thisKey + " has been stopped" + when +
		", because its answers used more than was reserved for them."}, true
}

// thisKey begins messages about a valid key. Its name and last characters are added if they are
// known.
const thisKey = "This API key"

// noKey is the one answer to every invalid key, whatever is wrong with it, so that someone who
// tries out keys learns nothing.
var noKey = web.Problem{Code: codeInvalidKey, Message: "The API key is missing, mistyped or unknown."}

// table maps errors to what clients read. The first row that matches an error decides; for an
// error that no row matches, the client gets only the request id.
var table = append(web.Rows(), []web.Row{
	web.Is(billing.ErrMalformedKey, noKey),
	web.Is(billing.ErrUnknownKey, noKey),
	web.Is(federation.ErrRefused, noKey),
	web.Is(federation.ErrUnavailable, web.Problem{
		Code: codeIssuer, Message: "The issuer of the identity token does not answer, so it cannot be verified.",
	}),
	lapsed(billing.ErrRevoked, codeInvalidKey, "has been revoked"), // its holder owned it anyway, and may know
	lapsed(billing.ErrExpired, codeInvalidKey, "expired"),
	lapsed(billing.ErrRotated, codeRotated, "has been replaced by a newer one"),
	lapsed(billing.ErrDisabled, codeDisabled, "is disabled"), // by an operator, temporarily
	{Name: billing.ErrStopped.Error(), Read: stopped},
	web.Is(billing.ErrAddress, web.Problem{Code: codeAddress, Message: thisKey + " may not be used from this address."}),
	ended(ephemeral.ErrExpired, codeTemporaryOver, "This temporary key expired"),
	web.Is(errTemporary, web.Problem{Code: codeTemporary, Message: "A temporary key cannot be exchanged for another."}),
	web.Is(ephemeral.ErrTooLong, web.Problem{
		Code: codeInvalidValue, Status: http.StatusBadRequest, Type: web.TypeRequest,
		Message: fmt.Sprintf("The temporary key would have more than %d bytes.", ephemeral.MaxText), Param: "policy",
	}),
	web.As(func(e *web.MemberError) web.Problem {
		p := web.Problem{
			Code: codeInvalidValue, Param: e.Param, Status: http.StatusBadRequest, Type: web.TypeRequest,
			Message: about(e.Param, e.Detail),
		}
		switch {
		case e.Twice:
			p.Code = codeDuplicate
		case e.Strange:
			p.Code = codeUnknownParam
		case e.Param == "":
			p.Message = "The body " + e.Detail + "."
		}
		return p
	}),
	web.As(func(e *ephemeral.FaultsError) web.Problem {
		return web.Problem{
			Code: codeInvalidValue, Param: e.Faults[0].Field, Status: http.StatusBadRequest, Type: web.TypeRequest,
			Message: strings.TrimPrefix(e.Error(), "ephemeral: ") + ".",
		}
	}),
	web.Is(errNetwork, web.Problem{Code: codeNetwork, Message: "Requests from your network are not answered."}),
	web.Is(billing.ErrNoHandover, web.Problem{
		Code: codeHandoverOver, Message: "This hand-over is over, was opened before, or never was.",
	}),
	web.Is(errKeyInURL, web.Problem{Code: codeKeyInURL, Message: "An API key must not be part of the URL."}),
	web.As(unservedProblem),
	web.Is(errNoRequest, web.Problem{Code: codeNoRequest, Message: thisKey + " has caused no request with this id."}),

	web.As(func(e *pastError) web.Problem {
		return web.Problem{
			Code: codeNoPrevious, Param: "previous_response_id", Message: "Previous response with id " + web.Label(e.id, 64) +
				" not found.",
		}
	}),
	web.Is(billing.ErrLongConversation, web.Problem{
		Code: codeLongPast, Param: "previous_response_id", Message: "The conversation is larger than a request may be.",
	}),
	web.Is(billing.ErrNoResponse, web.Problem{Code: codeNoResponse, Message: "No response with this id is kept for this key."}),
	web.As(func(e *chat.FieldError) web.Problem {
		return web.Problem{
			Code: e.Code, Param: e.Param, Message: about(e.Param, e.Message), Status: http.StatusBadRequest,
			Type: web.TypeRequest,
		}
	}),

	web.As(unknownModel),
	web.As(func(e *router.ForbiddenModelError) web.Problem {
		return web.Problem{Code: codeModelNotAllowed, Param: "model", Message: fmt.Sprintf(
			thisKey+" may not use the model %q. It may use: %s.", web.Label(e.Asked, chat.MaxModel), some(e.Allowed))}
	}),
	web.As(policyDenied),
	web.As(runaway),
	web.As(unable),
	web.As(sentBefore),
	web.Is(errIdempotencyKey, web.Problem{
		Code: codeInvalidValue, Param: idempotencyHeader,
		Message: "The Idempotency-Key must be one header of 1 to 255 visible ASCII characters.",
	}),
	web.As(unpriced),
	web.As(barred),
	web.As(tooLong),
	web.As(func(e *plan.TightError) web.Problem {
		return web.Problem{Code: codeTight, Param: "max_completion_tokens", Message: fmt.Sprintf(
			"Without max_completion_tokens the output is limited to %d tokens, and %s accepts no limit below %d.",
			e.Bound, web.Label(e.Model, chat.MaxModel), e.Least)}
	}),
	web.As(quotaExceeded),
	web.As(func(e *router.QuestionError) web.Problem {
		return web.Problem{
			Code: codeRate, After: e.RetryAfter,
			Message: thisKey + " asks too often how long prompts are, or for what is kept.",
		}
	}),
	web.As(func(e *router.StrangerError) web.Problem {
		return web.Problem{
			Code: codeRate, After: e.RetryAfter,
			Message: "Too many unknown API keys came from your network; this one is not looked up for now.",
		}
	}),
	web.As(noRoom),
	web.Is(billing.ErrStaleKey, web.Problem{
		Code: codeLedger, After: time.Second,
		Message: thisKey + " was changed while the request was being checked.",
	}),
	web.Is(billing.ErrUnavailable, web.Problem{
		Code: codeLedger, After: 2 * time.Second,
		Message: "The ledger cannot be reached, so the request was not sent.",
	}),
	web.Is(router.ErrStopping, web.Problem{
		Code: codeStopping, After: time.Second,
		Message: "The router is stopping, and has ended this request before its answer was complete.",
	}),

	web.As(streamFailed), // before the errors that it wraps
	web.As(allFailed),    // likewise
	web.As(providerRefused),
}...)

// noRoom handles a request for which there was no memory left: in its key's share, or overall.
func noRoom(e *limit.FullError) web.Problem {
	p := web.Problem{
		Code: codeOverloaded, After: time.Second,
		Message: "The requests under way hold so many bytes that there is no memory for another one of this size.",
	}
	if e.Key {
		p.Code = codeBytes
		p.Message = fmt.Sprintf(thisKey+" may have requests of %d bytes under way at once; this one would exceed that.", e.Limit)
	}
	return p
}

func unknownModel(e *router.ModelError) web.Problem {
	p := web.Problem{Code: codeModelNotFound, Param: "model", Message: fmt.Sprintf("There is no model or alias %q.",
		web.Label(e.Asked, chat.MaxModel))}
	if e.Nearest != "" {
		p.Message += fmt.Sprintf(" Did you mean %q?", e.Nearest)
	}
	p.Message += " GET /v1/models lists what this API key may use."
	return p
}

// unable separates content that no provider of the model accepts, which is in the messages,
// from other missing abilities.
func unable(e *plan.AbilityError) web.Problem {
	p := web.Problem{Code: codeCannot, Param: "model", Message: fmt.Sprintf(
		"No provider of %s supports: %s.", web.Label(e.Model, chat.MaxModel), strings.Join(e.Needs, ", "))}
	if e.Serves != e.Asked {
		p.Message = fmt.Sprintf("%s serves %s and not %s: ask for it at %s.", web.Label(e.Model, chat.MaxModel), e.Serves, e.Asked,
			e.Serves.Path())
	}
	for _, content := range []string{"vision", "audio", "documents"} {
		if slices.Contains(e.Needs, content) {
			p.Code, p.Param = codeContent, "messages"
		}
	}
	return p
}

// barred handles a member that the key is not permitted to use.
func barred(e *plan.MemberError) web.Problem {
	p := web.Problem{Code: codeMember, Param: e.Bar.Member, Message: fmt.Sprintf(
		"The cost of %s at %s cannot be known before the request is answered.", e.Bar.Member, web.Label(e.Model, chat.MaxModel))}
	switch e.Bar.Class {
	case providers.Stored:
		p.Code = codeStored
		p.Message = e.Bar.Member + " refers to something stored at the provider, which this API key may not use."
	case providers.Selects:
		p.Code = codeModelNotAllowed
		p.Message = e.Bar.Member + " names another model than the one requested, and this API key may use only some models."
		p.Fix = "Leave out " + e.Bar.Member + "."
	case providers.Refused:
		p.Fix = "Leave it out; or have the operator allow it (members.allow: " + e.Bar.Allow + ") or declare what it costs " +
			"(quirks.members of the provider)."
	case providers.Unknown, providers.Free, providers.Unsent, providers.Priced, providers.Charged, providers.Extends, providers.Content:
	}
	return p
}

func tooLong(e *plan.ContextError) web.Problem {
	asked := ""
	if e.Output > 0 {
		asked = fmt.Sprintf(" and the request asks for %d tokens of output", e.Output)
	}
	return web.Problem{Code: codeContext, Param: "messages", Message: fmt.Sprintf(
		"The prompt has %d tokens%s; the context of %s is %d tokens.", e.Prompt, asked, web.Label(e.Model, chat.MaxModel), e.Context)}
}

// allFailed finds what all attempts have in common.
func allFailed(e *router.FailedError) web.Problem {
	p := web.Problem{After: e.RetryAfter}
	switch kind := commonKind(e.Attempts); {
	case e.RateLimited:
		p.Code, p.Message = codeRate, "Every provider of the model refuses more requests for now."
		p.After = max(p.After, time.Second)
	case len(e.Attempts) == 0:
		p.Code, p.Message = codeNoProvider, "No provider of the model is healthy."
	case kind == providers.KindCredential:
		p.Code, p.Message = codeUpstreamAuth, "The providers refused this router's credentials."
	case kind == providers.KindUnknown:
		return noSuchModel(e, p)
	case kind == providers.KindLarge:
		return tooLargeFor(e, p)
	case kind == providers.KindRedirect:
		p.Code, p.Message = codeRedirect, "The provider answered with a redirect."
	case kind == providers.KindTimeout:
		p.Code, p.Message = codeTimeout, "No provider answered in time."
	default:
		p.Code, p.Message = codeAllFailed, "Every provider that was tried failed."
	}
	if len(e.Attempts) > 0 {
		p.Message += " Tried: " + tried(e.Attempts) + "."
	}
	return p
}

// noSuchModel passes on what the last provider said about a model that none of them offers any
// more. The providers are reachable, and waiting does not help.
func noSuchModel(e *router.FailedError, p web.Problem) web.Problem {
	p.Code, p.Param, p.Final = codeModelNotFound, "model", true
	p.Message = "The provider does not know the model."
	if pe := (*providers.Error)(nil); errors.As(e.Err, &pe) {
		if pe.Detail.Message != "" {
			p.Message = pe.Detail.Message
		}
		if pe.Status == http.StatusBadRequest {
			p.Status = pe.Status
		}
	}
	p.Message += " Tried: " + tried(e.Attempts) + "."
	return p
}

// tooLargeFor passes on what the last provider said about a request that exceeds what any of
// them accepts at once.
func tooLargeFor(e *router.FailedError, p web.Problem) web.Problem {
	p.Code, p.Final, p.After = web.CodeTooLarge, true, 0
	p.Message = "The request is larger than the provider accepts."
	if pe := (*providers.Error)(nil); errors.As(e.Err, &pe) && pe.Detail.Message != "" {
		p.Message = pe.Detail.Message
	}
	p.Fix = "Send a shorter prompt, ask for fewer tokens, or choose another model."
	p.Message += " Tried: " + tried(e.Attempts) + "."
	return p
}

// commonKind returns why every attempt failed; "" if the reasons differ.
func commonKind(list []router.Attempt) providers.Kind {
	if len(list) == 0 {
		return ""
	}
	for _, a := range list {
		if a.Kind != list[0].Kind {
			return ""
		}
	}
	return list[0].Kind
}

func tried(list []router.Attempt) string {
	words := make([]string, len(list))
	for i, a := range list {
		how := string(a.Kind)
		if a.Status != 0 {
			how = strconv.Itoa(a.Status) + " " + how
		}
		words[i] = fmt.Sprintf("%s (%s, %d ms)", a.Provider, how, a.Took.Milliseconds())
	}
	return strings.Join(words, ", ")
}

// streamFailed returns the problem of an answer that failed after it had begun.
func streamFailed(e *streamError) web.Problem {
	var pe *providers.Error
	var long *router.OverlongError
	switch {
	case errors.As(e.err, &long):
		return web.Problem{Code: codeOverlong, Message: fmt.Sprintf("The answer exceeded the %d tokens that were reserved for it "+
			"and is cut off here.", long.Most)}
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return web.Problem{Code: codeTruncated, Message: "The provider ended the stream before the answer was complete."}
	case errors.As(e.err, &pe) && pe.Kind == providers.KindTimeout:
		return web.Problem{Code: codeTimeout, Message: "The provider stopped in the middle of the answer."}
	}
	return web.Problem{Code: codeBroken, Message: "The provider failed in the middle of the answer."}
}

// providerRefused passes on what a provider said about the request itself. Its adapter has
// removed what must not be disclosed.
func providerRefused(e *providers.Error) web.Problem {
	p := web.Problem{
		Code: e.Detail.Code, Type: e.Detail.Type, Message: e.Detail.Message, Param: e.Detail.Param, Status: e.Status,
		Fix: "Change the request: " + e.Provider + " refused it as it is.",
	}
	if e.Kind == providers.KindUnfit {
		p.Message = about(p.Param, p.Message)
		p.Fix = "Leave it out, or use another model: no available provider of this one supports it."
	}
	if p.Message == "" {
		p.Message = "The provider refused the request."
	}
	if e.Kind == providers.KindContext {
		p.Fix = codes[codeContext].Fix
	}
	switch own := strings.Trim(p.Code, "0123456789"); {
	case own != "" && own != p.Type: // the provider's, which says more than its status and type
	case e.Kind == providers.KindContext:
		p.Code = codeContext
	case p.Code == "":
		p.Code = codeRefused
	}
	if p.Type == "" {
		p.Type = web.TypeRequest
	}
	switch p.Status { // what the provider says about us does not concern the client
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
	default:
		p.Status = http.StatusBadRequest
	}
	return p
}

// about returns a message that names the member it is about. Many clients show only the
// message.
func about(param, message string) string {
	if param == "" || strings.Contains(message, param) {
		return message
	}
	return param + ": " + message
}

// some returns the first names of a list.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// fail answers with an error: as JSON, or as an event if a stream has begun.
func (x *exchange) fail(err error) {
	x.hush()
	if x.goneBefore(err) {
		x.Gone(err)
		return
	}
	p := errorTable.Problem(err)
	if own := x.own(p.Param); own != p.Param {
		p.Message, p.Fix = strings.ReplaceAll(p.Message, p.Param, own), strings.ReplaceAll(p.Fix, p.Param, own)
		p.Param = own
	}
	p.Message = byName(p.Message, x.holder, x.keyEnd)
	if p.Code == codeAddress {
		p.Message += " It was used from " + x.from().String() + "."
	}
	x.Refused, x.Err = p.Code, err
	if x.streaming || x.C.Writer.Written() {
		if x.streaming {
			x.send(x.speaks.fail(p, x.ErrorObject(p)))
			x.flush()
		}
		x.Cut = true
		return
	}
	h := &x.Head
	var quota *billing.QuotaError
	if errors.As(err, &quota) {
		describeRates(h, router.RatesOf(quota, x.Start))
		describeBudgets(h, append([]billing.Balance{quota.Balance}, quota.All...))
	}
	var failed *router.FailedError
	if errors.As(err, &failed) {
		h.Set("X-Tallyroute-Attempts", strconv.Itoa(len(failed.Attempts)))
	}
	var charged *router.ChargedError
	if errors.As(err, &charged) {
		setCost(h, charged.Outcome)
	}
	x.AnswerWith(p, x.speaks.problem(p, x.ErrorObject(p)))
}

// own returns the client's name for the member that an error is about.
func (x *exchange) own(param string) string {
	if param == "" || x.speaks == nil {
		return param
	}
	return x.speaks.own(param)
}

// goneBefore reports whether nobody is there to read an error. A body that did not arrive also
// ends the request's context, but its client may still be listening.
func (x *exchange) goneBefore(err error) bool {
	var full *limit.FullError
	if errors.Is(err, web.ErrBodyTimeout) || errors.Is(err, web.ErrBodyCut) || errors.As(err, &full) {
		return false
	}
	return errors.Is(err, router.ErrClientGone) || x.ctx.Err() != nil && !stopping(x.ctx)
}

// ErrorCode returns the code of an error, as a client reads it.
func ErrorCode(err error) string { return errorTable.Problem(err).Code }

// policyParams maps rules of a policy to the request members that they restrict.
var policyParams = map[string]string{"models": "model", "deny_models": "model", "max_output_tokens": "max_completion_tokens"}

// runaway says what ran away, and until when it is stopped.
func runaway(e *brake.StoppedError) web.Problem {
	what := "This key"
	if e.Session != "" {
		what = "The session " + web.Label(e.Session, 64)
	}
	return web.Problem{
		Code:    codeRunaway,
		Message: fmt.Sprintf("%s has run away and is stopped until %s: %s.", what, e.Until.UTC().Format(time.RFC3339), e.Cause),
	}
}

// policyDenied names the rule, and what violates it.
func policyDenied(e *policy.Denied) web.Problem {
	return web.Problem{
		Code: codePolicy, Param: policyParams[e.Rule],
		Message: fmt.Sprintf("The rule %s does not allow this: %s.", web.Label(e.Name(), chat.MaxModel),
			web.Label(e.Detail, 2*chat.MaxModel)),
	}
}
