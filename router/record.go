package router

import (
	"errors"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Event is what a Record tells of.
type Event string

// The events.
const (
	EventRequest       Event = "request"        // a request has ended
	EventSettleDelayed Event = "settle_delayed" // the database did not take a settlement; it is tried again
	EventReplayed      Event = "replayed"       // a request got the answer that it had got before
	EventReplayLost    Event = "replay_lost"    // an answer was not kept, or a claim not given up; it lapses
	EventSettleLost    Event = "settle_lost"    // a settlement was given up; its hold will be swept
)

// Record is what happened, after the fact. It has no secret and no text.
type Record struct {
	Event          Event
	RequestID      string
	KeyID          billing.KeyID
	TeamID         string
	RequestedModel string // as the client wrote it; empty where it is no name we know
	Provider       string // of the last attempt
	Model          string
	Streamed       bool
	Status         billing.Status // of the last attempt; StatusError for requests that were refused
	Disputed       bool
	Reason         billing.RouteReason
	Refusal        string // for requests that never had an attempt: why, as a fixed word
	Attempts       []Attempt
	Tokens         billing.Tokens
	UsageSource    billing.Provenance
	Pricing        billing.Pricing
	Cost           billing.Money
	OverrunTokens  int64 // that the last attempt took the request beyond its hold
	OverrunMoney   billing.Money
	Total          time.Duration
	Overhead       time.Duration // our own time: all but waiting for a provider or the client
	FirstByte      time.Duration // until the first content of the answer was there
	Err            error         // for the log
}

// Observer is told what happened. It must not block.
type Observer interface{ Observe(Record) }

// observeFailure records a request that was not answered.
func (r *Router) observeFailure(a asked, err error) {
	if is[*ReplayedError](err) {
		r.Observer.Observe(Record{Event: EventReplayed, RequestID: a.in.RequestID, KeyID: a.key.ID, TeamID: a.key.TeamID, Err: err})
		return
	}
	total := r.o.Clock().Sub(a.timing.start)
	rec := Record{
		Event: EventRequest, RequestID: a.in.RequestID, Status: billing.StatusError, Refusal: refusalWord(err),
		Total: total, Overhead: total - a.timing.outside, Err: err,
	}
	if a.key != nil {
		rec.KeyID, rec.TeamID = a.key.ID, a.key.TeamID
	}
	if a.req != nil {
		rec.Streamed = a.req.Stream()
		if _, _, ok := r.Catalogue.Resolve(a.req.Model()); ok {
			rec.RequestedModel = a.req.Model()
		}
	}
	var failed *FailedError
	if errors.As(err, &failed) {
		rec.Attempts = failed.Attempts
	}
	if errors.Is(err, ErrClientGone) {
		rec.Status = billing.StatusClientAborted
	}
	r.Observer.Observe(rec)
}

// refusalWord is the cause of a refusal as a metric label.
func refusalWord(err error) string {
	for _, row := range []struct {
		word string
		is   bool
	}{
		{"key", errors.Is(err, billing.ErrMalformedKey) || errors.Is(err, billing.ErrUnknownKey) ||
			errors.Is(err, billing.ErrRevoked) || errors.Is(err, billing.ErrExpired) || errors.Is(err, billing.ErrAddress)},
		{"ledger", errors.Is(err, billing.ErrUnavailable)},
		{"client_gone", errors.Is(err, ErrClientGone)},
		{"quota", is[*billing.QuotaError](err)},
		{"rate", is[*RateError](err)},
		{"model", is[*ModelError](err) || is[*ForbiddenModelError](err)},
		{"request", is[*chat.FieldError](err) || is[*AbilityError](err) || is[*ContextError](err)},
		{"unpriced", is[*UnpricedError](err)},
		{"duplicate", is[*DuplicateError](err)},
		{"failed", is[*FailedError](err)},
		{"provider", is[*providers.Error](err)},
	} {
		if row.is {
			return row.word
		}
	}
	return "other"
}

func is[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
