package billing

import (
	"context"
	"strings"
	"time"
)

// Amount is an amount held, used or leased: tokens, money and requests, always
// together.
type Amount struct {
	Tokens   int64
	Money    Money
	Requests int64
}

// Sum returns what rows add up to.
func Sum(rows []Spend) (sum Amount) {
	for i := range rows {
		sum = sum.Plus(rows[i].Used())
	}
	return sum
}

// Used returns what a row counts as. A request counts once, by its last attempt,
// whether that succeeded or failed; a request that was refused or never sent has no
// row.
func (s *Spend) Used() Amount {
	a := Amount{Tokens: s.Tokens.Total(), Money: s.Cost.Total}
	if s.Final && (s.Kind == KindUsage || s.Kind == "") {
		a.Requests = 1
	}
	return a
}

// MostHeld returns the most that one hold reserves, and that one grant adds to a lease.
// No attempt is booked with more, and many such amounts can still be added up.
func MostHeld() Amount { return Amount{Tokens: MostTokens, Money: MostMeter, Requests: maxLimit} }

// MostUsed returns the bound of a window's counter in either direction. No limit is
// larger, so any budget would be used up long before.
func MostUsed() Amount { return Amount{Tokens: maxLimit, Money: maxMoneyLimit, Requests: maxLimit} }

// AsUsed returns a, bounded as a counter stores it.
func (a Amount) AsUsed() Amount {
	most := MostUsed()
	return a.AtMost(most).AtLeast(Amount{}.Minus(most))
}

// Plus returns a+b, saturating.
func (a Amount) Plus(b Amount) Amount {
	return Amount{SatAdd(a.Tokens, b.Tokens), a.Money.Add(b.Money), SatAdd(a.Requests, b.Requests)}
}

// Minus returns a-b, which may be negative.
func (a Amount) Minus(b Amount) Amount {
	return Amount{a.Tokens - b.Tokens, a.Money - b.Money, a.Requests - b.Requests}
}

// AtLeast returns the larger of the two for each field.
func (a Amount) AtLeast(b Amount) Amount {
	return Amount{max(a.Tokens, b.Tokens), max(a.Money, b.Money), max(a.Requests, b.Requests)}
}

// AtMost returns the smaller of the two for each field.
func (a Amount) AtMost(b Amount) Amount {
	return Amount{min(a.Tokens, b.Tokens), min(a.Money, b.Money), min(a.Requests, b.Requests)}
}

// Covers reports whether a is at least b in every field.
func (a Amount) Covers(b Amount) bool {
	return a.Tokens >= b.Tokens && a.Money >= b.Money && a.Requests >= b.Requests
}

// Replica is a process that leases allowances. Its ID stays with its journal across
// restarts; its Epoch is new at every start.
type Replica struct {
	ID, Epoch string
	Name      string        // for people to read: host name and process
	TTL       time.Duration // how long its leases remain valid after it was last seen
}

// Want asks for a larger lease on one window.
type Want struct {
	HoldLine
	Need     Amount // at least this, or nothing is granted
	Waiting  Amount // what the replica's other requests are waiting for: granted as far as there is room
	Headroom Amount // must remain free in addition to Need and Waiting
	Wish     Amount // granted up to this where there is plenty; less than Need counts as Need
	Idle     Amount // what the replica has free in this window: the grant beyond Need is smaller by this much
}

// Granted is the state of one window after a request for a grant.
type Granted struct {
	Amount Amount // what was granted; zero in a refusal
	Leased Amount // what the replica has leased from the window in total
	// Balance is the window's balance. What replicas have leased, including this one,
	// counts as held.
	Balance Balance
	// Seq is the last posting of the replica's epoch that Balance includes. A posting
	// whose response is still outstanding may or may not be included.
	Seq  int64
	Fits bool // whether there was room in this window
	// Idle reports that other replicas have leased more of the window than they were
	// using when last heard from, so asking again in a moment may succeed.
	Idle bool
	// Exact reports that a replica ran dry: for now nobody is granted more than needed,
	// and idle amounts should be given back.
	Exact bool
}

// LeaseChange is what a posting changes in one lease.
type LeaseChange struct {
	BudgetID    string
	WindowStart time.Time
	Down        Amount // used by the rows of the posting, or given back
	Busy        Amount // what is in use afterwards, for other replicas to see
}

// Posting is one batch of settlements and the leases that they used up.
type Posting struct {
	Replica Replica
	// Seq counts the postings of an epoch from 1. A posting that may or may not have
	// arrived is sent again with the same Seq and the same Leases; its leases are
	// applied once.
	Seq    int64
	Rows   []Spend // tidied and checked, with EventID and ReportDay; a row that already exists is left alone
	Leases []LeaseChange
	// Rejects are rows that the database refused. They are set aside and count against
	// the budgets until they are booked.
	Rejects []Reject
	// Events are the events that do not derive from a row or a reject. All are written
	// in the same transaction.
	Events []Event
}

// AllEvents returns the posting's Events and those derived from its rejects; RowEvents
// returns those derived from its rows.
func (p Posting) AllEvents() []Event {
	all := p.Events
	for _, r := range p.Rejects {
		all = append(all[:len(all):len(all)], r.Event())
	}
	return all
}

// Posted is the state of the windows that a posting touched.
type Posted struct {
	Inserted int
	// Fenced reports that the database no longer knows the replica, or that a lease
	// could not be changed as asked: its leases were given back on its behalf, and it
	// must not use them. The rows are posted nevertheless.
	Fenced   bool
	Balances []Balance // what replicas have leased counts as held
}

// Heartbeat is what a replica learns when it renews itself.
type Heartbeat struct {
	Now    time.Time // by the database's clock
	Fenced bool      // as in Posted
	Seq    int64     // the last posting of the epoch that the database has
	// Exact lists the windows of the replica's leases that other replicas want.
	Exact []LeaseID
}

// LeaseID identifies a lease within a replica.
type LeaseID struct {
	BudgetID    string
	WindowStart time.Time
}

// Allowances lets replicas lease parts of what budgets leave, so that they can
// hold and settle in memory. Every method is one transaction and safe to call
// at once from several processes. For all of them:
//
//	used + held + leased of a window passes its limits only by what providers
//	report beyond the hold, and by limits that are lowered.
type Allowances interface {
	// Renew registers the replica, or extends its registration by another TTL. first
	// says that the epoch begins; otherwise an unknown replica is Fenced. What replicas
	// have leased of limits on concurrent use is returned once their TTL has passed.
	Renew(ctx context.Context, r Replica, first Join) (Heartbeat, error)
	// Grant leases from every window or from none. The second result reports which;
	// where it is false, the windows without room are marked so that other replicas give
	// back what is idle. An unknown replica gets ErrFenced.
	Grant(ctx context.Context, r Replica, wants []Want) ([]Granted, bool, error)
	// Post inserts rows, posts them to the counters and the rollup, and applies the
	// lease changes, in one transaction. It writes events and stops keys as Settle does.
	// A row that the database refuses because of its contents fails the whole posting
	// with *RowError; every other error is the database's own, and the posting should be
	// retried.
	Post(ctx context.Context, p Posting) (Posted, error)
	// Return gives back all leases of the replica with this id except those of the epoch
	// keep, and forgets the other epochs.
	Return(ctx context.Context, id, keep string) error
}

// Join says whether Renew may make a replica known.
type Join bool

// The values of Join.
const (
	Joining Join = true
	Staying Join = false
)

// ReplicaState is a replica as others see it.
type ReplicaState struct {
	Replica
	StartedAt, SeenAt, ExpiresAt time.Time
	Leases                       int    // number of windows of which it holds a lease
	Leased, Busy                 Amount // over all windows
	Live                         bool   // may still use its leases
}

// forgotten is the suffix of an epoch that was forgotten.
const forgotten = "~"

// Forgotten returns the name that an epoch gets once it is forgotten, so that the
// process no longer finds itself.
func Forgotten(epoch string) string { return epoch + forgotten }

// IsForgotten reports whether an epoch was forgotten.
func IsForgotten(epoch string) bool { return strings.HasSuffix(epoch, forgotten) }

// Replicas is for operators, and for cleaning up after processes that do not come back.
type Replicas interface {
	ListReplicas(ctx context.Context) ([]ReplicaState, error)
	// ForgetReplica gives back what a lost replica had leased and was not using when
	// last heard from, and returns the number of windows concerned. What it was using
	// still counts until the replica is back with its journal, or is forgotten again or
	// permanently. It returns *ConflictError while one of its epochs may still be alive,
	// and *NotFoundError for an unknown replica.
	ForgetReplica(ctx context.Context, id string, notes ...*Change) (int, error)
	// ForgetLost gives back everything leased by replicas whose leases expired more than
	// after ago, and lists their ids.
	ForgetLost(ctx context.Context, after time.Duration) ([]string, error)
	// Wanted calls wake whenever a replica ran dry, until ctx ends or the connection is
	// lost. It returns at once if the database cannot notify.
	Wanted(ctx context.Context, wake func()) error
}
