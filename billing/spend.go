package billing

import "time"

// Provenance says where a number of tokens comes from.
type Provenance string

// The provenances, from the most to the least certain.
const (
	Reported Provenance = "reported" // the provider said so
	Counted  Provenance = "counted"  // we counted the text that passed through
	Bounded  Provenance = "bounded"  // neither was possible: an upper bound was taken
)

// Kind is the kind of a row in the ledger.
type Kind string

// The kinds. All except Usage carry a reason.
const (
	KindUsage      Kind = "usage"
	KindAdjustment Kind = "adjustment"
	KindCredit     Kind = "credit"
	KindRefund     Kind = "refund"
	KindFee        Kind = "fee"
)

// Status is how an attempt ended.
type Status string

// The statuses.
const (
	StatusOK              Status = "ok"
	StatusError           Status = "error"            // the provider failed or refused
	StatusClientAborted   Status = "client_aborted"   // the client hung up
	StatusUpstreamAborted Status = "upstream_aborted" // the response was cut off after it had begun
	StatusInterrupted     Status = "interrupted"      // the router died or was stopped during the attempt
	StatusDisputed        Status = "disputed"         // only in rows that predate Spend.Disputed; no longer written
)

// Pricing says how a row got its cost.
type Pricing string

// The pricings. An unpriced row has no cost, which differs from a cost of zero.
const (
	Priced   Pricing = "priced"
	Unpriced Pricing = "unpriced"
	Free     Pricing = "free"
)

// RouteReason says why a provider was chosen.
type RouteReason string

// The route reasons.
const (
	RouteCheapest RouteReason = "cheapest"
	RouteFailover RouteReason = "failover" // the ones before it failed
	RoutePinned   RouteReason = "pinned"   // the client named the provider
	RouteOnly     RouteReason = "only"     // there was no other candidate
	// RouteDowngraded means a cheaper model than was asked for, because a limit was
	// near.
	RouteDowngraded RouteReason = "downgraded"
)

// Spend is one row of the ledger: one attempt at one provider, or a correction.
type Spend struct {
	EventID    string    `json:"event_id"` // UUID v7
	OccurredAt time.Time `json:"occurred_at"`
	ReportDay  string    `json:"report_day"` // YYYY-MM-DD in the reporting zone; stores set it from OccurredAt
	Kind       Kind      `json:"kind"`
	RequestID  string    `json:"request_id"`
	Attempt    int       `json:"attempt"` // from 1
	// Final marks the last attempt of its request, so that requests can be counted by
	// adding, however the rows are grouped.
	Final bool  `json:"final"`
	Owner Owner `json:"owner"`

	EndUser        string            `json:"end_user,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	RequestedModel string            `json:"requested_model"`
	Provider       string            `json:"provider"`
	Model          string            `json:"model"`
	ServiceTier    string            `json:"service_tier"`
	RouteReason    RouteReason       `json:"route_reason"`
	Status         Status            `json:"status"`
	ErrorKind      string            `json:"error_kind,omitempty"` // why it failed: a providers.Kind
	Streamed       bool              `json:"streamed"`

	UsageSource Provenance `json:"usage_source"`
	Tokens      Tokens     `json:"tokens"`
	// Disputed marks usage where the provider's report cannot be right, or contradicts
	// what is known. Reported is what the provider said, where that differs from what is
	// booked or is disputed; its numbers may be impossible.
	Disputed bool    `json:"disputed,omitempty"`
	Reported *Tokens `json:"reported,omitempty"`

	Pricing  Pricing `json:"pricing"`
	Price    Price   `json:"price"` // the snapshot that Cost was computed from; zero where unpriced
	Cost     Cost    `json:"cost"`
	Baseline Money   `json:"baseline"` // what the dearest candidate able to serve it would have cost
	// CacheSavings is by how much an adjustment changes what caching saved. What it saved on
	// a usage row follows from the row: see CacheSaved.
	CacheSavings Money `json:"cache_savings,omitempty"`
	// OverrunTokens and OverrunMoney are how far this attempt took its request beyond
	// the hold.
	OverrunTokens int64 `json:"overrun_tokens,omitempty"`
	OverrunMoney  Money `json:"overrun_money,omitempty"`
	// ProviderCost is what the provider said that the attempt cost.
	ProviderCost *Money `json:"provider_cost,omitempty"`
	// Fees are what Cost.Fee consists of, where it is more than the fee per request.
	Fees []Fee `json:"fees,omitempty"`

	// AnsweredModel is the provider's name of the model that answered, where that
	// differs from the one asked for.
	AnsweredModel string `json:"answered_model,omitempty"`
	// UnpricedMembers are the fields of the request that were sent even though their
	// cost cannot be known.
	UnpricedMembers []string `json:"unpriced_members,omitempty"`
	// Limits are the budgets for parts that the row counts against, in addition to those
	// of its owner.
	Limits []string `json:"limits,omitempty"`

	// Facts that are not known are empty or nil, never guessed.

	Region     string         `json:"region,omitempty"`
	Credential string         `json:"credential,omitempty"` // our name for it, never its contents
	Endpoint   string         `json:"endpoint,omitempty"`   // the base URL that was called
	Session    string         `json:"session,omitempty"`    // by the client's own name for it; see CleanSession
	BytesIn    *int64         `json:"bytes_in,omitempty"`   // of the request body, as the client sent it
	BytesOut   *int64         `json:"bytes_out,omitempty"`  // of the response, without stream framing
	FirstToken *time.Duration `json:"first_token,omitempty"`
	Took       *time.Duration `json:"took,omitempty"` // from sending the request to the end of the response; both in whole milliseconds

	// Fingerprint is the same for identical requests of one project; Prefixes, of
	// PrefixSize bytes each, match for requests that begin alike. See package
	// fingerprint.
	Fingerprint []byte `json:"fingerprint,omitempty"`
	Prefixes    []byte `json:"prefixes,omitempty"`

	ProviderRequestID string    `json:"provider_request_id,omitempty"`
	AdjustsEvent      string    `json:"adjusts_event,omitempty"`
	AdjustsPeriod     string    `json:"adjusts_period,omitempty"` // YYYY-MM-01
	Reason            string    `json:"reason,omitempty"`
	Actor             string    `json:"actor,omitempty"`
	RecordedAt        time.Time `json:"recorded_at"`
}

// CacheSaved returns what the row adds to the savings of caching: what the tokens that were
// read from and written to caches would have cost as input, less what they did cost.
func (s Spend) CacheSaved() Money {
	switch {
	case s.Kind != KindUsage:
		return s.CacheSavings
	case s.Pricing != Priced:
		return 0
	}
	return s.Price.cacheSavings(s.Tokens, s.Cost)
}

// Fee is the cost of a provider's meter that counts no tokens: searches, seconds of
// audio, images.
type Fee struct {
	Meter string `json:"meter"`
	Units int64  `json:"units"`
	Cost  Money  `json:"cost_nano"`
}

// PrefixSize is the number of bytes of Spend.Prefixes that represent one prefix.
const PrefixSize = 6

// EventQuery asks for single rows, newest first.
type EventQuery struct {
	RequestID string
	KeyID     KeyID
	Limit     int // 0 is 100; at most 1000
}
