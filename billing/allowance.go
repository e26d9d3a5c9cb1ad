package billing

import (
	"context"
	"strings"
	"time"
)

// Amount is what is held, used or leased: tokens, money and requests, always all.
type Amount struct {
	Tokens   int64
	Money    Money
	Requests int64
}

// Sum is what rows come to.
func Sum(rows []Spend) (sum Amount) {
	for i := range rows {
		sum = sum.Plus(rows[i].Used())
	}
	return sum
}

// Used is what a row counts with. A request counts once, by its last attempt, whether that
// was answered or failed: one that was refused or never sent has no row.
func (s *Spend) Used() Amount {
	a := Amount{Tokens: s.Tokens.Total(), Money: s.Cost.Total}
	if s.Final && (s.Kind == KindUsage || s.Kind == "") {
		a.Requests = 1
	}
	return a
}

// MostHeld is the most that one hold reserves, and that one grant adds to a
// lease: no attempt is booked with more, and many of them still add up.
func MostHeld() Amount { return Amount{Tokens: MostTokens, Money: MostMeter, Requests: maxLimit} }

// MostUsed is the most that a counter of a window is kept at, up and down: no
// limit is larger, so beyond it any budget has long been used up.
func MostUsed() Amount { return Amount{Tokens: maxLimit, Money: maxMoneyLimit, Requests: maxLimit} }

// AsUsed is a as a counter keeps it.
func (a Amount) AsUsed() Amount {
	most := MostUsed()
	return a.AtMost(most).AtLeast(Amount{}.Minus(most))
}

// Plus is a+b, as far as it goes.
func (a Amount) Plus(b Amount) Amount {
	return Amount{SatAdd(a.Tokens, b.Tokens), a.Money.Add(b.Money), SatAdd(a.Requests, b.Requests)}
}

// Minus is a-b, which may be negative.
func (a Amount) Minus(b Amount) Amount {
	return Amount{a.Tokens - b.Tokens, a.Money - b.Money, a.Requests - b.Requests}
}

// AtLeast is the larger of both in each member, AtMost the smaller.
func (a Amount) AtLeast(b Amount) Amount {
	return Amount{max(a.Tokens, b.Tokens), max(a.Money, b.Money), max(a.Requests, b.Requests)}
}

// AtMost is the smaller of both in each member.
func (a Amount) AtMost(b Amount) Amount {
	return Amount{min(a.Tokens, b.Tokens), min(a.Money, b.Money), min(a.Requests, b.Requests)}
}

// Covers reports that a is at least b in all members.
func (a Amount) Covers(b Amount) bool {
	return a.Tokens >= b.Tokens && a.Money >= b.Money && a.Requests >= b.Requests
}

// Replica is a process that leases allowances. Its ID stays with its journal
// over restarts; its Epoch is new at every start.
type Replica struct {
	ID, Epoch string
	Name      string        // for people: host name and process
	TTL       time.Duration // its leases are its own for this long after it was last seen
}

// Want asks for more of one window.
type Want struct {
	HoldLine
	Need     Amount // at least this, or nothing is granted
	Waiting  Amount // what other requests of the asker wait for: granted as far as there is room
	Headroom Amount // must remain free besides Need and Waiting
	Wish     Amount // up to this where there is plenty; less than Need counts as Need
	Idle     Amount // what the asker has free of it: so much less is granted beyond Need
}

// Granted is one window after it was asked.
type Granted struct {
	Amount Amount // what was granted; zero in a refusal
	Leased Amount // what the asker has leased of it in all
	// Balance is how the window stands. What replicas lease, the asker
	// included, counts as held.
	Balance Balance
	// Seq is of the last posting of the asker's epoch that Balance includes: one
	// whose answer is yet to come may be in it, or not.
	Seq  int64
	Fits bool // whether there was room for this one
	// Idle says that other replicas have more of it than they were using when
	// they were last heard of: asking again in a moment may succeed.
	Idle bool
	// Exact says that a replica ran dry: for now nobody is granted more than
	// needed, and what lies idle should be given back.
	Exact bool
}

// LeaseChange is what a posting moves of one lease.
type LeaseChange struct {
	BudgetID    string
	WindowStart time.Time
	Down        Amount // used by the rows of the posting, or given back
	Busy        Amount // what is not idle after it: for others to see
}

// Posting is one batch of settlements and the leases that they used up.
type Posting struct {
	Replica Replica
	// Seq counts the postings of an epoch from 1. A posting that may or may not
	// have arrived is sent again with the same Seq and the same Leases: its
	// leases move once.
	Seq    int64
	Rows   []Spend // tidied and checked, with EventID and ReportDay; a row that is there already is left alone
	Leases []LeaseChange
	// Rejects are rows that the database refused. They are kept aside, and count
	// against the budgets until they are booked.
	Rejects []Reject
	// Events are those that no row or reject is. All are written in the same
	// transaction.
	Events []Event
}

// AllEvents are its Events and those that its rejects are; RowEvents are those
// that its rows are.
func (p Posting) AllEvents() []Event {
	all := p.Events
	for _, r := range p.Rejects {
		all = append(all[:len(all):len(all)], r.Event())
	}
	return all
}

// Posted is how the windows stand that a posting touched.
type Posted struct {
	Inserted int
	// Fenced says that the database does not know the replica any more, or that
	// a lease was to move in a way that it cannot: its leases were given back for
	// it, and it must not use them. The rows are posted nevertheless.
	Fenced   bool
	Balances []Balance // what replicas lease counts as held
}

// Heartbeat is what a replica learns when it renews itself.
type Heartbeat struct {
	Now    time.Time // by the database's clock
	Fenced bool      // as in Posted
	Seq    int64     // of the last posting of the epoch that the database has
	// Exact lists the windows of the replica's leases that others want.
	Exact []LeaseID
}

// LeaseID names a lease within a replica.
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
	// Renew makes the replica known, or known for another TTL. first says that
	// the epoch begins; otherwise a replica that is not known is Fenced. What replicas
	// have leased of what is under way at once comes back when their TTL is over.
	Renew(ctx context.Context, r Replica, first Join) (Heartbeat, error)
	// Grant leases from every window or from none. The second result reports
	// which; where it is false, the windows without room are marked so that
	// other replicas give back what lies idle. A replica that is not known gets
	// ErrFenced.
	Grant(ctx context.Context, r Replica, wants []Want) ([]Granted, bool, error)
	// Post puts rows in, and posts them to the counters and the rollup, and
	// moves the leases, in one transaction. It writes events and stops keys as
	// Settle does. A row that the database refuses for
	// what is in it fails the whole posting with *RowError; every other error is
	// the database's own, and the posting is to be tried again.
	Post(ctx context.Context, p Posting) (Posted, error)
	// Return gives back all leases of the replica's id but those of the epoch
	// keep, and forgets those epochs.
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
	Leases                       int    // windows of which it holds a lease
	Leased, Busy                 Amount // over all windows
	Live                         bool   // may still use its leases
}

// forgotten ends the name of an epoch that was forgotten.
const forgotten = "~"

// Forgotten is what an epoch is called once it was forgotten: so the process
// does not find itself any more.
func Forgotten(epoch string) string { return epoch + forgotten }

// IsForgotten reports that an epoch was forgotten.
func IsForgotten(epoch string) bool { return strings.HasSuffix(epoch, forgotten) }

// Replicas is for operators and for tidying up after processes that do not
// come back.
type Replicas interface {
	ListReplicas(ctx context.Context) ([]ReplicaState, error)
	// ForgetReplica gives back what a replica that is gone had leased and was not
	// using when it was last heard of, and says how many windows that were. What
	// it was using counts until the replica is back on its journal, or is forgotten
	// again or for good. It refuses with *ConflictError while one of its epochs
	// may still be alive, and with *NotFoundError.
	ForgetReplica(ctx context.Context, id string, notes ...*Change) (int, error)
	// ForgetLost gives back all that replicas had leased whose leases expired
	// longer than after ago, and lists their ids.
	ForgetLost(ctx context.Context, after time.Duration) ([]string, error)
	// Wanted calls wake whenever a replica ran dry, until ctx ends or the
	// connection is lost. A database that cannot tell returns at once.
	Wanted(ctx context.Context, wake func()) error
}
