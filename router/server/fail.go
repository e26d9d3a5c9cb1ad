package server

import (
	"errors"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/router"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// fail answers with an error: as JSON, or as an event where a stream has begun.
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
		h.Set("X-Tallyroute-Attempts", strconv.Itoa(len(failed.Attempts)))
	}
	var charged *router.ChargedError
	if errors.As(err, &charged) {
		setCost(h, charged.Outcome)
	}
	x.AnswerWith(p, x.speaks.problem(p, x.ErrorObject(p)))
}

// own is what the client calls the member that an error is about.
func (x *exchange) own(param string) string {
	if param == "" || x.speaks == nil {
		return param
	}
	return x.speaks.own(param)
}

// goneBefore reports that nobody is there to read an error. A body that did not
// come also ends the request's context, but its client may be listening.
func (x *exchange) goneBefore(err error) bool {
	var full *limit.FullError
	if errors.Is(err, web.ErrBodyTimeout) || errors.Is(err, web.ErrBodyCut) || errors.As(err, &full) {
		return false
	}
	return errors.Is(err, router.ErrClientGone) || x.ctx.Err() != nil && !stopping(x.ctx)
}

// ErrorCode is the code that a client reads of an error.
func ErrorCode(err error) string { return errorTable.Problem(err).Code }
