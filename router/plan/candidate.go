package plan

import (
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/health"
)

// Candidate is one target as the plan saw it.
type Candidate struct {
	Target    *providers.Target
	Prices    *billing.PriceSheet // all that may apply, looked up once; nil if none are known
	Tier      string              // the service tier requested from it
	Price     billing.Price       // for a prompt of the estimated length, in that tier
	Priced    bool
	Prompt    int64             // tokens, as estimated for its tokenizer
	Exact     bool              // whether Prompt is a count rather than a bound
	Likely    int64             // approximate tokens of the prompt, if it was counted
	Hold      int64             // tokens that a hold counts for the prompt, according to the calibration
	MaxOutput int64             // tokens of output that one choice may have
	Output    int64             // tokens of output that Cost assumes
	Uses      []providers.Use   // what it may use besides tokens
	Native    bool              // the request is sent as its client wrote it
	Members   providers.Verdict // what the members of the request mean there
	Costly    bool              // some of them are charged at a price that is not known
	Loses     string            // a member that it would leave out although that changes the answer
	Cost      billing.Money     // for this request; candidates are ordered by it
	Health    string            // "healthy", "trial", or why not
	Why       Exclusion
	Excluded  string // Why in words; "" if it can be used
	Chosen    bool

	fees    billing.Money // of Uses
	retryIn time.Duration
	bar     *providers.Bar // what the key may not send there
}

// Exclusion is why a candidate cannot be used. If there are several reasons, a refusal gives
// the greatest.
type Exclusion int

// The exclusions.
const (
	NotExcluded Exclusion = iota
	CannotDo
	TooLong
	TooTight
	OverPrompt
	Unpriced
	Barred
	Unhealthy
	Weightless
)

// Usable reports whether the candidate may be used.
func (c *Candidate) Usable() bool { return c.Why == NotExcluded }

const (
	healthGood  = "healthy"
	healthTrial = "trial"
)

func describe(s health.State) (string, time.Duration) {
	switch s.Status {
	case health.Healthy:
		return healthGood, 0
	case health.Trial:
		return healthTrial, 0
	case health.Open:
	}
	return s.Cause, s.RetryAfter
}
