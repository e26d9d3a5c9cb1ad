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
	// HeadroomTokens and HeadroomMoney must remain free in addition to the hold, or it
	// is refused. A hold based on a cheap upper bound asks for ample headroom, so that a
	// request near its limit is counted exactly before it is judged.
	HeadroomTokens int64
	HeadroomMoney  Money
	// Provisional means that a smaller hold follows if this one is refused.
	Provisional bool
	ExpiresAt   time.Time
	UnderWay    bool // this hold adds to that of an in-flight request
	// IfLost is the row that is written if the process never reports back.
	IfLost Spend
	// Overrun and EnabledAt are those of the key when it was read.
	Overrun   Amount
	EnabledAt time.Time
	// Allotment is that of the temporary key that sent the request; nil if there is
	// none.
	Allotment *Allotment
}

// Amount returns what the hold reserves: its own amounts, and one request unless that
// is already in flight.
func (h Hold) Amount() Amount {
	return Amount{Tokens: h.Tokens, Money: h.Money, Requests: h.requests()}.AtMost(MostHeld())
}

// Asked returns what must be free.
func (h Hold) Asked() Amount {
	return Amount{Tokens: SatAdd(h.Tokens, h.HeadroomTokens), Money: h.Money.Add(h.HeadroomMoney), Requests: h.requests()}
}

func (h Hold) requests() int64 {
	if h.UnderWay {
		return 0
	}
	return 1
}

// HoldLine is one budget in the window that the request falls in.
type HoldLine struct {
	Budget Budget
	Window Window
}

// Settlement ends a hold: the rows of its attempts are inserted and the hold is
// removed.
type Settlement struct {
	HoldID   string
	Attempts []Spend // at least one; all with the same RequestID and OccurredAt
}

// Store is everything that the two databases offer, contract by contract; a consumer
// declares the ones that it uses. billingtest.Run defines the behaviour.
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

	// Patient is the same store on separate connections, for operators: while requests use
	// all the others, operators wait instead of being refused. Nil means the store itself.
	Patient *Store
}

// ForOperators returns the store that serves operators.
func (s Store) ForOperators() Store {
	if s.Patient == nil {
		return s
	}
	return *s.Patient
}

// With returns s with by in place of every contract that by implements.
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

// LedgerSetting is the name of the setting in which a database keeps its own name.
const LedgerSetting = "ledger_id"

// Database is the foundation below the contracts.
type Database interface {
	// Migrate brings the schema up to date under a lock, so that any number of processes
	// may call it concurrently, and lists what it applied.
	Migrate(ctx context.Context) ([]string, error)
	// Ready returns nil when the database answers and its schema is up to date.
	Ready(ctx context.Context) error
	// Setting returns a named value; if there is none yet, it stores initial and returns
	// that. It is atomic.
	Setting(ctx context.Context, name, initial string) (string, error)
	// RecordPrices adds the prices that the table lacks. Existing rows never change.
	RecordPrices(ctx context.Context, prices []Price) error
	Close() error
}

// DatabaseState is what a server reports about the connection to it.
type DatabaseState struct {
	User   string   // the user that the connection is made as
	Powers []string // privileges that the user has but does not need, such as SUPERUSER
	Lacks  []string // tables that the user cannot read and write
	TLS    string   // the TLS version; "" if there is none
	// Unverified means that any certificate is taken for that of the server.
	Unverified bool
	Local      bool          // whether the server is on this host
	Ahead      time.Duration // how far its clock is ahead of ours
}

// Inspector is a Database that runs as a server.
type Inspector interface {
	Inspect(ctx context.Context) (DatabaseState, error)
}

// Keys stores virtual keys. Only a keyed hash of a secret is ever stored.
type Keys interface {
	// CreateKey stores k, which must name an existing ProjectID, with the budgets of
	// scope key that it carries. A zero hash means that the key has no secret yet. It
	// returns *NotFoundError for an unknown project, and ErrDuplicate where the id, the
	// secret or the name in Once already exists.
	CreateKey(ctx context.Context, k Key, hash [32]byte, notes ...*Change) error
	// KeyByHash returns ErrUnknownKey where no secret has that hash. Revoked and
	// expired keys, and secrets that have ended, are returned; Key.InForce judges them.
	KeyByHash(ctx context.Context, hash [32]byte) (Key, error)
	// KeyByOnce returns the key that a request with this name created, and the contents
	// of that request. It returns ErrUnknownKey where there was no such request.
	KeyByOnce(ctx context.Context, name string) (k Key, body string, err error)
	// UpdateKey changes a key in one transaction and raises its version. change may run
	// more than once. It returns *NotFoundError for an unknown id. If change archives
	// the key, the key loses its secrets and its hand-overs.
	UpdateKey(ctx context.Context, id KeyID, change func(*Key) error, notes ...*Change) (Key, error)
	// EndedKeys returns those of the given keys that are revoked, disabled or expired.
	EndedKeys(ctx context.Context, ids []KeyID, now time.Time) ([]Key, error)
	// ListKeys is ordered by id, which is the order of creation.
	ListKeys(ctx context.Context, f KeyFilter) ([]Key, error)
	// TouchKeys stores when keys were last used. It never moves a time back and does not
	// raise versions.
	TouchKeys(ctx context.Context, used map[KeyID]time.Time) error
}

// Owners stores teams and projects.
type Owners interface {
	// EnsureProject finds the project by team and name, or creates the team, the project
	// or both. It is safe to call concurrently from several processes. An existing
	// project in a different environment is a *ConflictError.
	EnsureProject(ctx context.Context, p Project, notes ...*Change) (Project, error)
	// UpdateTeam and UpdateProject change names, cost centers and addresses, and raise
	// the versions of the keys below. Archiving one archives everything below it: the
	// keys are revoked and lose their secrets. A name that is already taken is a
	// *ConflictError.
	UpdateTeam(ctx context.Context, id string, change func(*Team) error, notes ...*Change) (Team, error)
	UpdateProject(ctx context.Context, id string, change func(*Project) error, notes ...*Change) (Project, error)
	ListTeams(ctx context.Context) ([]Team, error)
	ListProjects(ctx context.Context) ([]Project, error)
	// Names returns the names of keys, teams, projects ("team/project"), budgets ("monthly
	// budget of team web") and principals by id. Unknown ids are left out.
	Names(ctx context.Context, ids ...string) (map[string]string, error)
}

// Limits stores the budgets of everything that can have one.
type Limits interface {
	// UpdateBudget changes a budget in one transaction, raises the version of every key
	// below and preserves what was used. It picks the budget with b's id or, where b has
	// none, the one that limits the same scope per the same period. If there is none,
	// change gets b, and the new budget starts with what its scope has already spent in
	// the current window. change may run more than once, and gets an id to note. It
	// returns a *ConflictError where another budget limits the same thing.
	UpdateBudget(ctx context.Context, b Budget, change BudgetChange, now time.Time, notes ...*Change) (Budget, error)
	// ListBudgets lists budgets, ordered by id.
	ListBudgets(ctx context.Context, f BudgetFilter) ([]Budget, error)
	CountBudgets(ctx context.Context) (int64, error)
	// RemoveBudget ends a budget: it no longer binds anybody.
	RemoveBudget(ctx context.Context, id string, notes ...*Change) error
	// ResetBudget stops counting what was used so far in the current window. The rows
	// stay.
	ResetBudget(ctx context.Context, id string, now time.Time, notes ...*Change) error
	// RaiseBudget raises the limits from one instant to another.
	RaiseBudget(ctx context.Context, r Raise, notes ...*Change) error
	// TopUp adds to the limit of a budget in money. A reference that the budget has seen
	// before changes nothing, and existed is true; if it was used for a different
	// amount, TopUp returns a *ConflictError.
	TopUp(ctx context.Context, t TopUp, notes ...*Change) (existed bool, err error)
}

// BudgetChange changes a budget; existed says whether the budget existed before.
type BudgetChange func(b *Budget, existed bool) error

// TopUp is an amount that is added to a budget, once and permanently.
type TopUp struct {
	BudgetID  string
	Amount    Money
	Reference string // the reference of the order or payment
	Actor     string
	Reason    string
	At        time.Time
}

// Ledger holds and settles. Every method is atomic and safe to call concurrently from
// several processes.
type Ledger interface {
	// Reserve takes the hold from every budget or from none, and inserts the hold row.
	// It refuses with *QuotaError, which names the budget; with ErrStaleKey when the key
	// has changed since KeyVersion; with ErrRevoked, ErrExpired or ErrStopped; and with
	// *CrowdedError where a line would exceed the number of names. A second call with
	// the same id is an error. The balances include the hold.
	Reserve(ctx context.Context, h Hold, now time.Time) ([]Balance, error)
	// Retry tells the ledger that another attempt is about to be made: ifLost holds the
	// rows of the failed attempts and, last, the row of the one to come. They replace
	// the hold's IfLost. The hold grows by more, the charge for the failed attempts, in
	// every budget or in none: where there is no room, it is refused with *QuotaError
	// and nothing changes. If there is no such hold, Retry returns ErrNoHold.
	Retry(ctx context.Context, holdID string, more Amount, ifLost []Spend) error
	// Widen also takes the hold from further budgets, from all of them or none: where
	// there is no room, it is refused with *QuotaError and nothing changes. If there is
	// no such hold, Widen returns ErrNoHold.
	Widen(ctx context.Context, holdID string, lines []HoldLine) error
	// Settle removes the hold, inserts the rows and posts them to the counters and the
	// rollup, in one transaction. It is idempotent. Rows are posted to the windows that
	// OccurredAt falls in, including those of budgets created while the request was in
	// flight. The events of the rows are written, and a key whose overrun passes the
	// store's OverrunLimit is stopped.
	Settle(ctx context.Context, s Settlement) ([]Balance, error)
	// Release gives a hold back when nothing was sent upstream. It is idempotent.
	Release(ctx context.Context, holdID string) error
	// Balances returns the current balance of every budget of the key. It creates
	// nothing.
	Balances(ctx context.Context, k *Key, now time.Time) ([]Balance, error)
}

// Sweeper cleans up what processes left behind.
type Sweeper interface {
	// Sweep settles the holds whose ExpiresAt is before now, each with its IfLost rows,
	// and returns how many there were.
	Sweep(ctx context.Context, now time.Time) (int, error)
}

// Breakdowns stores the sums that make reports fast.
type Breakdowns interface {
	// MakeBreakdown computes the sums of one day by one dimension, which reports read
	// instead of the day's rows. It picks a day whose sums are missing or out of date,
	// newest first, and returns how many are left; it returns 0 while another process is
	// computing one. Reports are the same with or without breakdowns.
	MakeBreakdown(ctx context.Context, now time.Time) (left int, err error)
}

// Reports reads what was spent.
type Reports interface {
	// Spend adds up what was spent: from the daily sums where those have everything that
	// it is grouped by, otherwise from the rows.
	Spend(ctx context.Context, q SpendQuery) (SpendReport, error)
	Events(ctx context.Context, q EventQuery) ([]Spend, error)
	UsageReports
	PriceHistory
}
