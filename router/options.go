package router

import (
	"math/rand/v2"
	"time"

	"tallyroute/providers/chat"
)

// Options are the settings of a Router. The zero value of each has a default.
type Options struct {
	MaxAttempts      int   // providers tried for one request; default 3
	DefaultMaxOutput int64 // tokens, for models that declare none; default 4096
	MaxOutput        int64 // tokens, where the client gives no bound; 0 is what the model can
	// AllowMembers are members of requests that are taken for free, as PROVIDER/MEMBER or
	// PROVIDER/MODEL/MEMBER, and
	// RefuseMembers refuses what may cost anything to keys without budgets, too.
	AllowMembers   []string
	RefuseMembers  bool
	RequestTimeout time.Duration // the whole request, all attempts included; default 10 min
	SettleTimeout  time.Duration // how long a client may wait for its settlement; default 2 s
	ReadTimeout    time.Duration // how long a client may wait to read its budgets or its rows; default 900 ms
	Linger         time.Duration // how long a stream is read on after its client has gone; default 80 ms
	IdempotencyTTL time.Duration // how long an answer is kept for whoever asks again; default 24 h
	Requests       chat.Limits   // what a request may hold
	Clock          func() time.Time
	// Random is a number from 0 to n-1, by which credentials share calls; default
	// rand.Int64N.
	Random func(n int64) int64
}

// holdGrace is how long a hold outlives the longest request, so that it is
// never swept while its request may still settle.
const holdGrace = time.Minute

func (o Options) withDefaults() Options {
	if o.MaxAttempts <= 0 {
		o.MaxAttempts = 3
	}
	if o.DefaultMaxOutput <= 0 {
		o.DefaultMaxOutput = 4096
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 10 * time.Minute
	}
	if o.SettleTimeout <= 0 {
		o.SettleTimeout = 2 * time.Second
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 900 * time.Millisecond
	}
	if o.Linger <= 0 {
		o.Linger = 80 * time.Millisecond
	}
	if o.IdempotencyTTL <= 0 {
		o.IdempotencyTTL = 24 * time.Hour
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}
