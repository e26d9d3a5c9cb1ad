package access

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Allowed is the decision about a request that was not refused.
const Allowed = "allowed"

// Entry is one request.
type Entry struct {
	At        time.Time
	RequestID string
	KeyID     string // "" where nobody's key was sent
	Version   int    // of the key's secret; 0 where it is not known
	Address   netip.Addr
	Agent     string // as the client calls itself
	Endpoint  string // the route: /v1/chat/completions
	Decision  string // Allowed, or the code of the error
	Status    int
	BytesIn   int64 // of the body, as far as it was read
	BytesOut  int64
}

// mostAgent is what is kept of what a client calls itself, in bytes.
const mostAgent = 200

// bounded is e without more of the client's own words than are kept, nor a hold on them.
func (e Entry) bounded() Entry {
	if len(e.Agent) > mostAgent {
		e.Agent = strings.Clone(e.Agent[:mostAgent])
	}
	return e
}

// tidy is e as every database keeps it.
func (e Entry) tidy() Entry {
	e.Agent = strings.Map(printable, strings.ToValidUTF8(e.Agent, ""))
	e.At = e.At.UTC().Truncate(time.Microsecond)
	return e
}

// printable leaves out what is no character of a text.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// From is an address as it is kept: "" where it is not known.
func From(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Query chooses entries. Its zero value chooses all.
type Query struct {
	KeyID    string
	Address  netip.Addr
	Agent    string    // exactly
	Decision string    // Allowed, the code of an error, or Refused
	Since    time.Time // the first instant
	Until    time.Time // the one after the last; zero is no end
	// Before is the entry that a list, which begins with the newest, goes on after.
	Before Position
	Limit  int // of a list; 0 is MostListed, which is also the most
}

// Refused as the decision of a query chooses every error.
const Refused = "refused"

// MostListed is how many entries are listed at once.
const MostListed = 1000

// Position is where an entry stands in a list.
type Position struct {
	At        time.Time
	RequestID string
}

// Most is how many entries are listed.
func (q Query) Most() int {
	if q.Limit < 1 || q.Limit > MostListed {
		return MostListed
	}
	return q.Limit
}

// Empty reports a query that chooses all.
func (q Query) Empty() bool {
	q.Limit, q.Before = 0, Position{}
	return q == Query{}
}

// Column is by what entries are counted.
type Column string

// The columns, as they are called in the database.
const (
	ByKey      Column = "key_id"
	ByVersion  Column = "version"
	ByAddress  Column = "address"
	ByAgent    Column = "user_agent"
	ByEndpoint Column = "endpoint"
	ByDecision Column = "decision"
)

// Columns are all columns, in their order.
func Columns() []Column {
	return []Column{ByKey, ByVersion, ByAddress, ByAgent, ByEndpoint, ByDecision}
}

// Select are the columns of a count in SQL: those that it is by, and nothing in the others.
func Select(by []Column) string {
	list := make([]string, len(Columns()))
	for i, column := range Columns() {
		switch {
		case slices.Contains(by, column):
			list[i] = string(column)
		case column == ByVersion:
			list[i] = "0"
		default:
			list[i] = "''"
		}
	}
	return strings.Join(list, ", ")
}

// Count is how many entries have the same values in some columns. The others are zero.
type Count struct {
	KeyID    string
	Version  int
	Address  string
	Agent    string
	Endpoint string
	Decision string

	Requests, Refused int64
	BytesIn, BytesOut int64
	First, Last       time.Time
}

// MostCounts is how many counts there are at the most: those of the most requests.
const MostCounts = 10_000
