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
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/limit"
	"tallyroute/router/plan"
)

var (
	errNoRoute   = errors.New("server: no such path")
	errNoMethod  = errors.New("server: no such method")
	errNoRequest = errors.New("server: no such request")
)

// problem is what a client reads of an error.
type problem struct {
	code    string
	message string
	param   string
	fix     string        // "" is that of the code
	after   time.Duration // when to try again; 0 is not known
	final   bool          // trying again does not help, although it may with others of the code
	status  int           // 0 is that of the code
	kind    string        // "" is that of the code
}

// row is one line of the table: it knows one error.
type row struct {
	name string
	read func(error) (problem, bool)
}

// is is a row for one sentinel.
func is(target error, p problem) row {
	return row{target.Error(), func(err error) (problem, bool) { return p, errors.Is(err, target) }}
}

// as is a row for one type of error.
func as[E error](read func(E) problem) row {
	var e E
	return row{fmt.Sprintf("%T", e), func(err error) (problem, bool) {
		var e E
		if !errors.As(err, &e) {
			return problem{}, false
		}
		return read(e), true
	}}
}

// lapsed is a row for a key that was one. The error ends in since when.
func lapsed(target error, how string) row {
	return row{target.Error(), func(err error) (problem, bool) {
		if !errors.Is(err, target) {
			return problem{}, false
		}
		_, when, _ := strings.Cut(err.Error(), target.Error())
		return problem{code: codeInvalidKey, message: thisKey + " " + how + when + "."}, true
	}}
}

// stopped is for a key whose overrun stopped it. Since when it is, its process
// may not know yet.
func stopped(err error) (problem, bool) {
	if !errors.Is(err, billing.ErrStopped) {
		return problem{}, false
	}
	_, when, _ := strings.Cut(err.Error(), " since ")
	if when != "" {
		when = " since " + when
	}
	return problem{code: codeStopped, message: thisKey + " is stopped" + when + ": its answers took more than was held for them."}, true
}

// thisKey begins messages about a key that is one. Who sent it is told its end.
const thisKey = "This API key"

// noKey is one answer for every key that is none, whatever is wrong with it:
// who tries keys learns nothing.
var noKey = problem{code: codeInvalidKey, message: "The API key is missing, mistyped or unknown."}

// table turns errors into what clients read. The first row that knows an error
// decides; an error that no row knows tells nothing but the request id.
var table = []row{
	is(billing.ErrMalformedKey, noKey),
	is(billing.ErrUnknownKey, noKey),
	lapsed(billing.ErrRevoked, "is revoked"), // its holder had it anyway, and may know
	lapsed(billing.ErrExpired, "has expired"),
	{billing.ErrStopped.Error(), stopped},
	is(billing.ErrAddress, problem{code: codeAddress, message: thisKey + " may not be used from this address."}),
	is(errAmbiguous, problem{code: codeAmbiguous, message: "The request carries more than one API key."}),
	is(errKeyInURL, problem{code: codeKeyInURL, message: "An API key must not be part of the URL."}),
	is(errNoRoute, problem{code: codeNotFound, message: "There is nothing at this path."}),
	as(unservedProblem),
	is(errNoMethod, problem{code: codeNoMethod, message: "This path does not take that method."}),
	is(errNoRequest, problem{code: codeNoRequest, message: thisKey + " has caused no request with this id."}),

	as(func(e *fieldsError) problem {
		return problem{code: codeTooManyHeaders, message: fmt.Sprintf("The request has %d header fields; %d are allowed.", e.Got, e.Limit)}
	}),
	as(func(e *tooLargeError) problem {
		if e.Got == 0 {
			return problem{code: codeTooLarge, message: fmt.Sprintf("The body has more than the %d bytes that are allowed.", e.Limit)}
		}
		return problem{code: codeTooLarge, message: fmt.Sprintf("The body has %d bytes; %d are allowed.", e.Got, e.Limit)}
	}),
	as(func(e *mediaTypeError) problem {
		return problem{code: codeMediaType, message: fmt.Sprintf("The body is declared as %q, not as JSON in UTF-8.", label(e.Got, 64))}
	}),
	as(func(e *encodingError) problem {
		return problem{code: codeEncoding, message: fmt.Sprintf("The body is encoded as %q.", label(e.Got, 64))}
	}),
	is(errBodyTimeout, problem{code: codeBodyTimeout, message: "The body did not come in time."}),
	is(errBodyCut, problem{code: codeBodyCut, message: "The body ended before it was complete, or its chunks are malformed."}),
	as(func(e *chat.FieldError) problem {
		return problem{code: e.Code, param: e.Param, message: about(e.Param, e.Message), status: http.StatusBadRequest, kind: kindRequest}
	}),

	as(unknownModel),
	as(func(e *router.ForbiddenModelError) problem {
		return problem{code: codeModelNotAllowed, param: "model", message: fmt.Sprintf(
			thisKey+" may not use the model %q. It may use: %s.", label(e.Asked, chat.MaxModel), some(e.Allowed))}
	}),
	as(unable),
	as(sentBefore),
	is(errIdempotencyKey, problem{
		code: codeInvalidValue, param: idempotencyHeader,
		message: "The Idempotency-Key must be one header of 1 to 255 visible ASCII characters.",
	}),
	as(func(e *plan.UnpricedError) problem {
		return problem{code: codeUnpriced, param: "model", message: fmt.Sprintf(
			"No price is known for %s, and this key's budget is in money.", label(e.Model, chat.MaxModel))}
	}),
	as(barred),
	as(tooLong),
	as(func(e *plan.TightError) problem {
		return problem{code: codeTight, param: "max_completion_tokens", message: fmt.Sprintf(
			"Output is bounded to %d tokens where a request has no bound of its own, and %s takes none below %d.",
			e.Bound, label(e.Model, chat.MaxModel), e.Least)}
	}),
	as(quotaUsedUp),
	as(func(e *router.StrangerError) problem {
		return problem{
			code: codeRate, after: e.RetryAfter,
			message: "Too many API keys from your network were unknown; this one is not looked up for now.",
		}
	}),
	as(func(e *router.RateError) problem {
		return problem{
			code: codeRate, after: e.RetryAfter, final: e.RetryAfter <= 0,
			message: fmt.Sprintf(thisKey+" may use %d %s per minute; %d were asked for.", e.Limit, e.Kind, e.Asked),
		}
	}),
	as(noRoom),
	is(billing.ErrStaleKey, problem{
		code: codeLedger, after: time.Second,
		message: thisKey + " was changed while the request was being judged.",
	}),
	is(billing.ErrUnavailable, problem{
		code: codeLedger, after: 2 * time.Second,
		message: "The ledger cannot be reached, so the request was not sent.",
	}),

	as(streamFailed), // before the errors that it wraps
	as(allFailed),    // likewise
	as(providerRefused),
}

// noRoom is for a request that found no memory: in the share of its key, or in all.
func noRoom(e *limit.FullError) problem {
	p := problem{
		code: codeOverloaded, after: time.Second,
		message: "All requests under way together hold too many bytes for another one of this size.",
	}
	if e.Key {
		p.code = codeBytes
		p.message = fmt.Sprintf(thisKey+" may have %d bytes of requests under way at once; for this one there is no room.", e.Limit)
	}
	return p
}

func unknownModel(e *router.ModelError) problem {
	p := problem{code: codeModelNotFound, param: "model", message: fmt.Sprintf("There is no model or alias %q.",
		label(e.Asked, chat.MaxModel))}
	if e.Nearest != "" {
		p.message += fmt.Sprintf(" Did you mean %q?", e.Nearest)
	}
	p.message += " GET /v1/models lists what this API key may use."
	return p
}

// unable tells content that no provider of the model takes, which is in the
// messages, from other abilities.
func unable(e *plan.AbilityError) problem {
	p := problem{code: codeCannot, param: "model", message: fmt.Sprintf(
		"No provider of %s can do: %s.", label(e.Model, chat.MaxModel), strings.Join(e.Needs, ", "))}
	if e.Serves != e.Asked {
		p.message = fmt.Sprintf("%s serves %s and not %s: ask for it at %s.", label(e.Model, chat.MaxModel), e.Serves, e.Asked,
			e.Serves.Path())
	}
	for _, content := range []string{"vision", "audio", "documents"} {
		if slices.Contains(e.Needs, content) {
			p.code, p.param = codeContent, "messages"
		}
	}
	return p
}

// barred is for a member that the key has no right to.
func barred(e *plan.MemberError) problem {
	p := problem{code: codeMember, param: e.Bar.Member, message: fmt.Sprintf(
		"What %s costs at %s cannot be known before the request is answered.", e.Bar.Member, label(e.Model, chat.MaxModel))}
	switch e.Bar.Class {
	case providers.Stored:
		p.code = codeStored
		p.message = e.Bar.Member + " names something that is stored at the provider, which this API key may not use."
	case providers.Selects:
		p.code = codeModelNotAllowed
		p.message = e.Bar.Member + " names a model besides the one that is asked for, and this API key may only use some."
		p.fix = "Leave out " + e.Bar.Member + "."
	case providers.Unknown, providers.Free, providers.Unsent, providers.Priced, providers.Extends, providers.Content, providers.Refused:
	}
	return p
}

func tooLong(e *plan.ContextError) problem {
	asked := ""
	if e.Output > 0 {
		asked = fmt.Sprintf(" and %d tokens of output are asked for", e.Output)
	}
	return problem{code: codeContext, param: "messages", message: fmt.Sprintf(
		"The prompt has %d tokens%s; the context of %s is %d tokens.", e.Prompt, asked, label(e.Model, chat.MaxModel), e.Context)}
}

// quotaUsedUp names the budget and its numbers: who is refused must be able to
// see why, until when and by whom.
func quotaUsedUp(e *billing.QuotaError) problem {
	b := e.Balance
	numbers := ""
	if free, ok := b.FreeTokens(); ok && free < e.AskedTokens {
		numbers = fmt.Sprintf("limit %d tokens, used %d, held by requests under way %d, asked %d",
			*b.Budget.Tokens, b.UsedTokens, b.HeldTokens, e.AskedTokens)
	} else if b.Budget.Money != nil {
		numbers = fmt.Sprintf("limit $%s, used $%s, held by requests under way $%s, asked $%s",
			b.Budget.Money.Short(), b.UsedMoney.Short(), b.HeldMoney.Short(), e.AskedMoney.Short())
	}
	until, fix := "It does not start afresh.", "Ask for less (a shorter prompt, a lower max_tokens)"
	if !b.Window.End.IsZero() {
		until = "It starts afresh at " + instant(b.Window.End) + "."
		fix = "Wait until " + instant(b.Window.End) + ", ask for less (a shorter prompt, a lower max_tokens)"
	}
	return problem{
		code: codeQuota,
		message: fmt.Sprintf("Budget %s of %s %s (per %s) is used up: %s. %s",
			b.Budget.ID, b.Budget.Scope, b.Budget.ScopeID, b.Budget.Period, numbers, until),
		fix: fmt.Sprintf("%s, or have the owner of %s %s raise budget %s.", fix, b.Budget.Scope, b.Budget.ScopeID, b.Budget.ID),
	}
}

// allFailed finds what all attempts have in common.
func allFailed(e *router.FailedError) problem {
	p := problem{after: e.RetryAfter}
	switch kind := commonKind(e.Attempts); {
	case e.RateLimited:
		p.code, p.message = codeRate, "Every provider of the model takes no more requests for now."
		p.after = max(p.after, time.Second)
	case len(e.Attempts) == 0:
		p.code, p.message = codeNoProvider, "No provider of the model is healthy."
	case kind == providers.KindCredential:
		p.code, p.message = codeUpstreamAuth, "The providers refused this router's credentials."
	case kind == providers.KindUnknown:
		return noSuchModel(e, p)
	case kind == providers.KindLarge:
		return tooLargeFor(e, p)
	case kind == providers.KindRedirect:
		p.code, p.message = codeRedirect, "The provider answered with a redirect."
	case kind == providers.KindTimeout:
		p.code, p.message = codeTimeout, "No provider answered in time."
	default:
		p.code, p.message = codeAllFailed, "Every provider that was tried failed."
	}
	if len(e.Attempts) > 0 {
		p.message += " Tried: " + tried(e.Attempts) + "."
	}
	return p
}

// noSuchModel passes on what the last provider said of a model that none of them
// has any more. It is not the router that cannot be reached, and waiting does not help.
func noSuchModel(e *router.FailedError, p problem) problem {
	p.code, p.param, p.final = codeModelNotFound, "model", true
	p.message = "The provider does not know the model."
	if pe := (*providers.Error)(nil); errors.As(e.Err, &pe) {
		if pe.Detail.Message != "" {
			p.message = pe.Detail.Message
		}
		if pe.Status == http.StatusBadRequest {
			p.status = pe.Status
		}
	}
	p.message += " Tried: " + tried(e.Attempts) + "."
	return p
}

// tooLargeFor passes on what the last provider said of a request that is more than any
// of them takes at once.
func tooLargeFor(e *router.FailedError, p problem) problem {
	p.code, p.final, p.after = codeTooLarge, true, 0
	p.message = "The request is larger than the provider takes."
	if pe := (*providers.Error)(nil); errors.As(e.Err, &pe) && pe.Detail.Message != "" {
		p.message = pe.Detail.Message
	}
	p.fix = "Send a shorter prompt, ask for fewer tokens, or choose another model."
	p.message += " Tried: " + tried(e.Attempts) + "."
	return p
}

// commonKind is why every attempt failed, "" where they differ.
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

// streamFailed is the failure of an answer that had begun.
func streamFailed(e *streamError) problem {
	var pe *providers.Error
	var long *router.OverlongError
	switch {
	case errors.As(e.err, &long):
		return problem{code: codeOverlong, message: fmt.Sprintf("The provider went on beyond the %d tokens that were held for the "+
			"answer, which is cut off here.", long.Most)}
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return problem{code: codeTruncated, message: "The provider ended the stream before the answer was complete."}
	case errors.As(e.err, &pe) && pe.Kind == providers.KindTimeout:
		return problem{code: codeTimeout, message: "The provider stopped in the middle of the answer."}
	}
	return problem{code: codeBroken, message: "The provider failed in the middle of the answer."}
}

// providerRefused passes on what a provider said about the request itself. Its
// adapter has taken out what must not be told.
func providerRefused(e *providers.Error) problem {
	p := problem{
		code: e.Detail.Code, kind: e.Detail.Type, message: e.Detail.Message, param: e.Detail.Param, status: e.Status,
		fix: "Change the request: " + e.Provider + " refused it as it is.",
	}
	if e.Kind == providers.KindUnfit {
		p.message = about(p.param, p.message)
		p.fix = "Leave it out, or ask for another model: no provider of this one that could be called can do it."
	}
	if p.message == "" {
		p.message = "The provider refused the request."
	}
	if e.Kind == providers.KindContext {
		p.fix = codes[codeContext].fix
	}
	switch own := strings.Trim(p.code, "0123456789"); {
	case own != "" && own != p.kind: // the provider's, which says more than its status and type
	case e.Kind == providers.KindContext:
		p.code = codeContext
	case p.code == "":
		p.code = codeRefused
	}
	if p.kind == "" {
		p.kind = kindRequest
	}
	switch p.status { // what the provider says about us is not about the client
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
	default:
		p.status = http.StatusBadRequest
	}
	return p
}

// about is a message that names the member that it is about. Many clients show nothing else.
func about(param, message string) string {
	if param == "" || strings.Contains(message, param) {
		return message
	}
	return param + ": " + message
}

// some are the first names of a list.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// problemOf reads an error by the table.
func problemOf(err error) problem {
	p := problem{code: codeInternal, message: "Something failed here."}
	for _, r := range table {
		if found, ok := r.read(err); ok {
			p = found
			break
		}
	}
	c, ours := codes[p.code]
	if p.status == 0 {
		p.status = c.status
	}
	if p.kind == "" {
		p.kind = c.kind
	}
	if p.fix == "" {
		p.fix = c.fix
	}
	p.final = p.final || !ours || c.retry == never
	return p
}
