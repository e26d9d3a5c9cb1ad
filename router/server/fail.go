package server

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/router"
	"tallyroute/router/limit"
)

// fail answers with an error: as JSON, or as an event where a stream has begun.
func (x *exchange) fail(err error) {
	x.hush()
	if x.goneBefore(err) {
		x.gone(err)
		return
	}
	p := problemOf(err)
	p.message = strings.Replace(p.message, thisKey, thisKey+x.keyEnd, 1)
	if p.code == codeAddress {
		p.message += " It was used from " + x.from().String() + "."
	}
	x.refused, x.err = p.code, err
	if x.streaming || x.c.Writer.Written() {
		if x.streaming {
			x.event(x.errorBody(p))
			x.flush()
		}
		x.cut = true
		return
	}
	h := &x.head
	retryHeaders(h, p)
	var rate *router.RateError
	if errors.As(err, &rate) {
		describeRates(h, rate.Rates)
	}
	var quota *billing.QuotaError
	if errors.As(err, &quota) {
		describeBudgets(h, append([]billing.Balance{quota.Balance}, quota.All...))
	}
	var failed *router.FailedError
	if errors.As(err, &failed) {
		h.set("X-Tallyroute-Attempts", strconv.Itoa(len(failed.Attempts)))
	}
	var charged *router.ChargedError
	if errors.As(err, &charged) {
		setCost(h, charged.Outcome)
	}
	x.write(p.status, "application/json; charset=utf-8", append(x.errorBody(p), '\n'))
}

// goneBefore reports that nobody is there to read an error. A body that did not
// come also ends the request's context, but its client may be listening.
func (x *exchange) goneBefore(err error) bool {
	var full *limit.FullError
	if errors.Is(err, errBodyTimeout) || errors.Is(err, errBodyCut) || errors.As(err, &full) {
		return false
	}
	return errors.Is(err, router.ErrClientGone) || x.ctx.Err() != nil
}

func retryHeaders(h *fields, p problem) {
	if p.final {
		h.set("X-Should-Retry", "false")
		return
	}
	if p.after > 0 {
		h.set("Retry-After", strconv.FormatInt(int64(math.Ceil(p.after.Seconds())), 10))
		h.set("Retry-After-Ms", strconv.FormatInt(max(1, p.after.Milliseconds()), 10))
	}
}

// errorBody is the error object of the OpenAI format, with what to do about it.
func (x *exchange) errorBody(p problem) []byte {
	return encode(map[string]any{"error": struct {
		Message   string  `json:"message"`
		Type      string  `json:"type"`
		Param     *string `json:"param"`
		Code      *string `json:"code"`
		Fix       *string `json:"fix"`
		DocURL    *string `json:"doc_url"`
		RequestID string  `json:"request_id"`
	}{p.message, p.kind, textOrNull(p.param), textOrNull(p.code), textOrNull(p.fix), docURL(p.code), x.id}})
}
