package router

import (
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// Event is what a Record tells of.
type Event string

// The events.
const (
	EventRequest       Event = "request"        // a request has ended
	EventBooked        Event = "booked"         // the rows of a request are settled, whether it was answered or not
	EventSettleDelayed Event = "settle_delayed" // the database did not take a settlement; it is tried again
	EventRepeated      Event = "replayed"       // a request got the answer that it had got before
	EventClaimLost     Event = "replay_lost"    // an answer was not kept, or a claim not given up; it lapses
	EventSettleLost    Event = "settle_lost"    // a settlement was given up; its hold will be swept
)

// Record is what happened, after the fact. It has no secret and no text.
type Record struct {
	Event          Event
	RequestID      string
	KeyID          billing.KeyID
	TeamID         string
	RequestedModel string // as the client wrote it; empty where it is not a name we know
	Streamed       bool
	Status         billing.Status // of the last attempt; StatusError for requests that were refused
	Refusal        string         // for requests that never had an attempt: why, as a fixed word
	Attempts       []Attempt
	Rows           []billing.Spend // of all attempts, the one that answered last; not to be changed
	Total          time.Duration
	Overhead       time.Duration // our own time: all but waiting for a provider or the client
	FirstByte      time.Duration // until the first content of the answer was there
	Err            error         // for the log
	Original       string        // of a replay: the request that was answered
}

// Observer is told what happened. It must not block.
type Observer interface{ Observe(Record) }

// Attempt is one call to one provider, for headers and error messages.
type Attempt struct {
	Provider, Model string
	Status          int            // HTTP status of the provider, 0 where none came
	Kind            providers.Kind // "" for success
	Took            time.Duration  // until the first content of a stream, or the whole of a plain answer
}
