package billing

import (
	"context"
	"time"
)

// Hold is what a request reserves from every budget that binds its key before
// anything is sent upstream.
type Hold struct {
	ID         string // the request id
	KeyID      KeyID
	KeyVersion int64
	Lines      []HoldLine // one for each budget of the key, ordered by budget id
	Tokens     int64
	Money      Money
	// HeadroomTokens and HeadroomMoney must remain free besides the hold, or it
	// is refused. A hold on a cheap upper bound asks for plenty, so that a
	// request near its limit is counted exactly before it is judged.
	HeadroomTokens int64
	HeadroomMoney  Money
	// Provisional says that a smaller hold is asked for where this one is refused.
	Provisional bool
	ExpiresAt   time.Time
	UnderWay    bool // more is held for a request that has a hold
	// IfLost is the row that is written when the process never reports back.
	IfLost Spend
	// Overrun and EnabledAt are the key's, as it was read.
	Overrun   Amount
	EnabledAt time.Time
	// Allotment is that of the temporary key with which the request came; nil is none.
	Allotment *Allotment
}

// Amount is what the hold reserves: itself, and one request unless that is under way.
func (h Hold) Amount() Amount {
	return Amount{Tokens: h.Tokens, Money: h.Money, Requests: h.requests()}.AtMost(MostHeld())
}

// Asked is what must be free.
func (h Hold) Asked() Amount {
	return Amount{Tokens: SatAdd(h.Tokens, h.HeadroomTokens), Money: h.Money.Add(h.HeadroomMoney), Requests: h.requests()}
}

func (h Hold) requests() int64 {
	if h.UnderWay {
		return 0
	}
	return 1
}

// HoldLine is one budget, in the window that the request falls in.
type HoldLine struct {
	Budget Budget
	Window Window
}

// Settlement ends a hold: the rows of its attempts go in, the hold comes out.
type Settlement struct {
	HoldID   string
	Attempts []Spend // at least one; all with the same RequestID and OccurredAt
}

// Store is what the two databases offer, contract by contract; a consumer asks for
// those that it uses. billingtest.Run is its definition.
type Store struct {
	Keys
	Secrets
	Deliveries
	Owners
	Limits
	Changes
	Principals
	Sessions
	Credentials
	StoredProviders
	SelfService
	Leavers
	Destinations
	Ledger
	Sweeper
	Allowances
	Replicas
	Reports
	Breakdowns
	Persons
	Refusals
	EventLog
	AccessLog
	Alerts
	AlertSources
	Anomalies
	Incidents
	Governance
	Reviews
	Periods
	Corrections
	Archives
	IntegrityChecker
	Rejects
	Claims
	Allotments
	StoredResponses
	Database
}

// With is s with those contracts in place of its own that by fulfils.
func (s Store) With(by any) Store {
	replace(&s.Keys, by)
	replace(&s.Secrets, by)
	replace(&s.Deliveries, by)
	replace(&s.Owners, by)
	replace(&s.Limits, by)
	replace(&s.Changes, by)
	replace(&s.Principals, by)
	replace(&s.Sessions, by)
	replace(&s.Credentials, by)
	replace(&s.StoredProviders, by)
	replace(&s.SelfService, by)
	replace(&s.Leavers, by)
	replace(&s.Destinations, by)
	replace(&s.Ledger, by)
	replace(&s.Sweeper, by)
	replace(&s.Allowances, by)
	replace(&s.Replicas, by)
	replace(&s.Reports, by)
	replace(&s.Breakdowns, by)
	replace(&s.Persons, by)
	replace(&s.Refusals, by)
	replace(&s.EventLog, by)
	replace(&s.AccessLog, by)
	replace(&s.Alerts, by)
	replace(&s.AlertSources, by)
	replace(&s.Anomalies, by)
	replace(&s.Incidents, by)
	replace(&s.Governance, by)
	replace(&s.Reviews, by)
	replace(&s.Periods, by)
	replace(&s.Corrections, by)
	replace(&s.Archives, by)
	replace(&s.IntegrityChecker, by)
	replace(&s.Rejects, by)
	replace(&s.Claims, by)
	replace(&s.Allotments, by)
	replace(&s.StoredResponses, by)
	replace(&s.Database, by)
	return s
}

func replace[T any](contract *T, by any) {
	if c, ok := by.(T); ok {
		*contract = c
	}
}

// LedgerSetting is the setting under which a database keeps its own name.
const LedgerSetting = "ledger_id"

// Database is what is below the contracts.
type Database interface {
	// Migrate brings the schema up to date under a lock, so that any number of
	// processes may call it at once, and lists what it applied.
	Migrate(ctx context.Context) ([]string, error)
	// Ready is nil when the database answers and its schema is up to date.
	Ready(ctx context.Context) error
	// Setting reads a named value; if there is none yet it stores initial
	// and returns that. Atomic.
	Setting(ctx context.Context, name, initial string) (string, error)
	// RecordPrices adds prices that the table does not have. Existing rows never change.
	RecordPrices(ctx context.Context, prices []Price) error
	Close() error
}

// DatabaseState is what a server says of the connection to it.
type DatabaseState struct {
	User   string        // that asks
	Powers []string      // that it has and needs none of, such as SUPERUSER
	Lacks  []string      // tables that it may not read and write
	TLS    string        // its version; "" is none
	Local  bool          // the server is on this host
	Ahead  time.Duration // its clock is of ours
}

// Inspector is a Database that is a server.
type Inspector interface {
	Inspect(ctx context.Context) (DatabaseState, error)
}

// Keys keeps virtual keys. Only a keyed hash of a secret is ever stored.
type Keys interface {
	// CreateKey stores k, which must name an existing ProjectID, with the
	// budgets of scope key that it carries. *NotFoundError for the project. A zero
	// hash is of a key that has no secret yet. ErrDuplicate where its id, its secret or
	// the name of Once is there already.
	CreateKey(ctx context.Context, k Key, hash [32]byte, notes ...*Change) error
	// KeyByHash returns ErrUnknownKey where no secret has that hash. Revoked and
	// expired keys, and secrets that have ended, are returned; Key.InForce judges them.
	KeyByHash(ctx context.Context, hash [32]byte) (Key, error)
	// KeyByOnce finds the key that a request with this name made, and what it asked for.
	// ErrUnknownKey where there was none.
	KeyByOnce(ctx context.Context, name string) (k Key, body string, err error)
	// UpdateKey changes a key in one transaction and raises its version. change
	// may run more than once. *NotFoundError for an unknown id. A key that change
	// archives loses its secrets and its hand-overs.
	UpdateKey(ctx context.Context, id KeyID, change func(*Key) error, notes ...*Change) (Key, error)
	// EndedKeys are those of some keys that are revoked, disabled or have expired.
	EndedKeys(ctx context.Context, ids []KeyID, now time.Time) ([]Key, error)
	// ListKeys is ordered by id, which is the order of creation.
	ListKeys(ctx context.Context, f KeyFilter) ([]Key, error)
	// TouchKeys stores when keys were last used; it never moves a time back and
	// does not raise versions.
	TouchKeys(ctx context.Context, used map[KeyID]time.Time) error
}

// Owners keeps teams and projects.
type Owners interface {
	// EnsureProject finds the project by team and name, or creates the team, the
	// project or both. Safe to call at once from several processes. An existing
	// project in another environment is an *ConflictError.
	EnsureProject(ctx context.Context, p Project, notes ...*Change) (Project, error)
	// UpdateTeam and UpdateProject change names, cost centres and addresses, and
	// raise the versions of the keys below. What is archived takes all below along:
	// their keys are revoked and lose their secrets. A name that another one has is a
	// *ConflictError.
	UpdateTeam(ctx context.Context, id string, change func(*Team) error, notes ...*Change) (Team, error)
	UpdateProject(ctx context.Context, id string, change func(*Project) error, notes ...*Change) (Project, error)
	ListTeams(ctx context.Context) ([]Team, error)
	ListProjects(ctx context.Context) ([]Project, error)
}

// Limits keeps the budgets of everything that can have one.
type Limits interface {
	// UpdateBudget changes a budget in one transaction, raises the version of every key
	// below and keeps what was used. It is the one with b's id; where b has none, the
	// one that limits the same scope per the same period; else change gets b, and a new
	// budget starts with what its scope already spent in the current window. change may
	// run more than once, and gets an id to note. A *ConflictError where another budget
	// limits the same.
	UpdateBudget(ctx context.Context, b Budget, change BudgetChange, now time.Time, notes ...*Change) (Budget, error)
	// ListBudgets lists budgets, ordered by id.
	ListBudgets(ctx context.Context, f BudgetFilter) ([]Budget, error)
	CountBudgets(ctx context.Context) (int64, error)
	// RemoveBudget ends a budget: it binds nobody any more.
	RemoveBudget(ctx context.Context, id string, notes ...*Change) error
	// ResetBudget has what was used in the current window count no more. The rows
	// stay.
	ResetBudget(ctx context.Context, id string, now time.Time, notes ...*Change) error
	// RaiseBudget has the limits be higher from one instant to another.
	RaiseBudget(ctx context.Context, r Raise, notes ...*Change) error
	// TopUp adds to the limit of a budget in money. A reference that the budget has
	// seen before changes nothing: existed says so; with another amount it is a
	// *ConflictError.
	TopUp(ctx context.Context, t TopUp, notes ...*Change) (existed bool, err error)
}

// BudgetChange is what becomes of a budget; existed says whether it was there before.
type BudgetChange func(b *Budget, existed bool) error

// TopUp is an amount that is added to a budget, once and for good.
type TopUp struct {
	BudgetID  string
	Amount    Money
	Reference string // of the order or payment
	Actor     string
	Reason    string
	At        time.Time
}

// Ledger holds and settles. Every method is atomic and safe to call at once
// from several processes.
type Ledger interface {
	// Reserve takes the hold from every budget or from none, and inserts the
	// hold row. It refuses with *QuotaError, which names the budget; with
	// ErrStaleKey when the key has changed since KeyVersion; with ErrRevoked,
	// ErrExpired or ErrStopped; with *CrowdedError where a line is of a name too many. A
	// second call with the same id is an error. The balances
	// include the hold.
	Reserve(ctx context.Context, h Hold, now time.Time) ([]Balance, error)
	// Retry tells the ledger that another attempt is about to be made: ifLost
	// are the rows of those that failed and, last, of the one to come. They take
	// the place of the hold's IfLost. The hold grows by more, which those that
	// failed are charged with, in every budget or in none: where there is no room
	// it is refused with *QuotaError and nothing changes. A hold that is not there
	// is ErrNoHold.
	Retry(ctx context.Context, holdID string, more Amount, ifLost []Spend) error
	// Widen takes the hold from further budgets, too, or from none of them: where there is
	// no room it is refused with *QuotaError and nothing changes. A hold that is not there is
	// ErrNoHold.
	Widen(ctx context.Context, holdID string, lines []HoldLine) error
	// Settle takes the hold out and puts the rows in, and posts them to the
	// counters and the rollup, in one transaction. Twice is once. Rows are
	// posted to the windows that OccurredAt falls in, also for budgets made
	// while the request was under way. The events of the rows are written, and a
	// key whose overrun passes the store's OverrunLimit is stopped.
	Settle(ctx context.Context, s Settlement) ([]Balance, error)
	// Release gives a hold back when nothing was sent upstream. Twice is once.
	Release(ctx context.Context, holdID string) error
	// Balances says how every budget of the key stands now. It creates nothing.
	Balances(ctx context.Context, k *Key, now time.Time) ([]Balance, error)
}

// Sweeper ends what processes left behind.
type Sweeper interface {
	// Sweep settles the holds whose ExpiresAt is before now, each with its
	// IfLost rows, and says how many there were.
	Sweep(ctx context.Context, now time.Time) (int, error)
}

// Breakdowns keeps the sums by which reports are quick.
type Breakdowns interface {
	// MakeBreakdown makes the sums of one day by one dimension that reports read in place
	// of its rows, where there are none yet or rows came since, the newest day first. It
	// says how many are left; none, too, while another process makes one. Reports are the
	// same with them or without.
	MakeBreakdown(ctx context.Context, now time.Time) (left int, err error)
}

// Reports reads what was spent.
type Reports interface {
	// Spend adds up what was spent: from the daily sums where those have what it is
	// grouped by, else from the rows.
	Spend(ctx context.Context, q SpendQuery) (SpendReport, error)
	Events(ctx context.Context, q EventQuery) ([]Spend, error)
	UsageReports
	PriceHistory
}
