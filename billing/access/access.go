package access

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Allowed is the decision on a request that wasn't refused.
const Allowed = "allowed"

// Entry is one request.
type Entry struct {
	At        time.Time
	RequestID string
	KeyID     string // "" if no key of ours was sent
	Version   int    // of the key's secret; 0 if unknown
	Address   netip.Addr
	Agent     string // the client's User-Agent
	Endpoint  string // the route: /v1/chat/completions
	Decision  string // Allowed, or the code of the error
	Status    int
	BytesIn   int64 // of the body, as far as it was read
	BytesOut  int64
}

// mostAgent is how much of a User-Agent is kept, in bytes.
const mostAgent = 200

// bounded returns e with client-supplied text truncated to what is kept, and copied so as
// not to pin the original.
func (e Entry) bounded() Entry {
	if len(e.Agent) > mostAgent {
		e.Agent = strings.Clone(e.Agent[:mostAgent])
	}
	return e
}

// tidy returns e in the form that every database stores.
func (e Entry) tidy() Entry {
	e.Agent = strings.Map(printable, strings.ToValidUTF8(e.Agent, ""))
	e.At = e.At.UTC().Truncate(time.Microsecond)
	return e
}

// printable drops runes that aren't printable text.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// From returns the stored form of an address; "" if it is unknown.
func From(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Query selects entries. The zero value selects all.
type Query struct {
	KeyID    string
	Address  netip.Addr
	Agent    string    // exact match
	Decision string    // Allowed, an error code, or Refused
	Since    time.Time // inclusive
	Until    time.Time // exclusive; zero is no end
	// Before is the position after which a list, newest first, continues.
	Before Position
	Limit  int // of a list; 0 is MostListed, which is also the maximum
}

// Refused is the decision that selects all errors in a query.
const Refused = "refused"

// MostListed is the maximum number of entries listed at once.
const MostListed = 1000

// Position is the position of an entry in a list.
type Position struct {
	At        time.Time
	RequestID string
}

// Most returns how many entries to list.
func (q Query) Most() int {
	if q.Limit < 1 || q.Limit > MostListed {
		return MostListed
	}
	return q.Limit
}

// Empty reports whether a query selects everything.
func (q Query) Empty() bool {
	q.Limit, q.Before = 0, Position{}
	return q == Query{}
}

// Column is something that entries are counted by.
type Column string

// The columns, as named in the database.
const (
	ByKey      Column = "key_id"
	ByVersion  Column = "version"
	ByAddress  Column = "address"
	ByAgent    Column = "user_agent"
	ByEndpoint Column = "endpoint"
	ByDecision Column = "decision"
)

// Columns returns all the columns, in order.
func Columns() []Column {
	return []Column{ByKey, ByVersion, ByAddress, ByAgent, ByEndpoint, ByDecision}
}

// Select returns the columns of a count in SQL: those counted by, and empty values for the
// others.
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

// Count is the number of entries with the same values in some columns. The other columns
// are zero.
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

// MostCounts is the maximum number of counts: those with the most requests.
const MostCounts = 10_000
