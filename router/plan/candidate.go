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
	Prices    *billing.PriceSheet // all that may apply, looked up once; nil knows none
	Tier      string              // the service tier that is asked of it
	Price     billing.Price       // of a prompt as long as estimated, in that tier
	Priced    bool
	Prompt    int64             // tokens, as estimated for its tokenizer
	Exact     bool              // whether Prompt is a count rather than a bound
	Likely    int64             // about how many tokens the prompt has, where it was counted
	Hold      int64             // tokens that a hold counts for the prompt, by the calibration of its estimates
	MaxOutput int64             // tokens of output that one choice may have
	Output    int64             // tokens of output that Cost assumes
	Uses      []providers.Use   // what it may use besides tokens
	Native    bool              // the request is sent as its client wrote it
	Members   providers.Verdict // what the members of the request mean there
	Loses     string            // a member that it would leave out, though the answer is another one then
	Cost      billing.Money     // of this request, by which candidates are ordered
	Health    string            // "healthy", "trial", or why not
	Why       Exclusion
	Excluded  string // Why in words; "" where it can be taken
	Chosen    bool

	fees    billing.Money // of Uses
	retryIn time.Duration
	bar     *providers.Bar // of what the key may not send there
}

// charge notes what Uses may cost. A meter that nobody has a price for leaves the
// candidate without one.
func (c *Candidate) charge() {
	for _, u := range c.Uses {
		fee, known := c.Price.Fee(u.Meter, u.Bound())
		c.fees, c.Priced = c.fees.Add(fee), c.Priced && known
	}
}

// Exclusion is why a candidate cannot be taken. Of several reasons the greatest is
// the one that a refusal gives.
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

// Usable reports whether the candidate may be taken.
func (c Candidate) Usable() bool { return c.Why == NotExcluded }

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
