package router

import (
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/limit"
)

// Caller is who asks, from where and when.
type Caller struct {
	Secret billing.Secret
	From   netip.Addr
	Agent  string // as the client calls itself
	At     time.Time
}

// Inbound is one request as the server hands it over.
type Inbound struct {
	Caller    Caller
	RequestID string // "req_" and a ULID, made by the server: the ledger's key
	Operation providers.Operation
	// Room is what the request holds in memory, its body and what is made of it. The
	// server closes it when the request is over.
	Room *limit.Share
	// Read returns the body. It is called at most once, after the key is known, its
	// rate was taken and Room is the key's.
	Read func() ([]byte, error)
	// Translate, where it is set, is what a body asks for that is not one of the operation.
	Translate func(body []byte) (Asked, error)
	// Waiting, where it is set, is called before a provider is asked for a stream:
	// all that could refuse the request has been asked.
	Waiting func()
	Tags    map[string]string
	Explain Explain
	// Session is what the client calls the session that the request belongs to, ""
	// where it does not say.
	Session string
	// Idempotency is what the client calls the request, so that it may send it
	// again and have it answered once; "" for most.
	Idempotency string
}

// Asked is what the body of a request asks for.
type Asked struct {
	Body []byte // of the operation's own format
	// Native is the request as it came, where that was in another format; else nil.
	Native *providers.Native
}

// Explain says whether an answer shall carry its plan.
type Explain int

// The values of Explain.
const (
	ExplainNot  Explain = iota
	ExplainPlan         // every candidate, its price and why it was or was not taken
)
