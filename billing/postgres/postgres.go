// Package postgres stores keys, budgets and the ledger in PostgreSQL, version 13 or
// newer, for any number of routers at once. It owns the SQL and the order in which rows
// are locked. What can be spent is decided by the rules of package billing, whose
// arithmetic the statements carry out in the database.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tallyroute/billing"
)

// Options configures a store. The zero value is usable.
type Options struct {
	// Reporting is the time zone whose days and months the reports use. nil means UTC.
	Reporting *time.Location
	// MaxConns limits the number of pooled connections that serve requests. 0 means the
	// value of pool_max_conns in the connection string, or 8 if that is not set.
	MaxConns int32
	// Acquire, Statement and Lock limit the wait for a connection, a statement
	// and a lock. They default to 250 ms, 2 s and 500 ms.
	Acquire, Statement, Lock time.Duration
	// Overrun is how far a key can overrun before it is stopped.
	Overrun billing.OverrunLimit
	// Swept is called with the rows that Sweep booked for a hold. It is optional.
	Swept func(rows []billing.Spend)
	// Direct is a connection string for the same database that bypasses a pooler, for
	// work that needs a session. "" means that all connections use the same route.
	Direct string
	// Login returns the credentials for each new connection, replacing those in the
	// connection string. It is optional.
	Login func(ctx context.Context) (Login, error)
	// Tracer sees every statement on pooled connections. It is optional.
	Tracer pgx.QueryTracer
}

const (
	defaultMaxConns  = 8
	defaultAcquire   = 250 * time.Millisecond
	defaultStatement = 2 * time.Second
	defaultLock      = 500 * time.Millisecond
	// connecting limits how long a new connection takes to be established, in the
	// background. Meanwhile it occupies a slot in the pool.
	connecting = 2 * time.Second
	// slack is how long a statement can exceed its timeout before its connection is
	// abandoned: a frozen server does not enforce its timeouts.
	slack = time.Second
	// posting limits how long a batch of rows takes. It is longer than the limit for
	// statements of a request, because no request waits for it.
	posting      = 30 * time.Second
	postingConns = 2
	// changing limits how long one change of a key, an owner or a budget takes, including
	// summing up the history of a new budget, and how long it waits for earlier changes.
	// Changes run one at a time, so more connections would only wait for each other.
	changing      = 15 * time.Second
	changingConns = 2
	// operatingConns is the number of connections for what operators read: that can scan
	// a million keys, and must neither wait for requests nor delay them.
	operatingConns = 4
)

// Store implements the contracts of billing.Store in PostgreSQL.
type Store struct {
	requests lane // for work that requests wait for; in an operators' view, the operators' lane
	*shared
}

// shared is the state that a store and its view for operators have in common.
type shared struct {
	postings  lane // for batches of rows, which nobody waits for
	changes   lane // for changes, which operators wait for but requests do not
	operators lane // likewise, for work that need not run one at a time
	way       *route
	direct    *pgx.ConnConfig // without timeouts, for migrations
	directly  *route          // the route of direct
	reporting *time.Location
	overrun   billing.OverrunLimit
	swept     func(rows []billing.Spend)
	denials   billing.Denials // refusals already written as events
	doubts    doubts
	closed    atomic.Bool
}

// Contracts returns every contract that the store implements.
func (s *Store) Contracts() billing.Store {
	all, forOperators := s.contracts(), (&Store{s.operators, s.shared}).contracts()
	all.Patient = &forOperators
	return all
}

func (s *Store) contracts() billing.Store {
	return billing.Store{
		Keys:             s,
		Secrets:          s,
		Deliveries:       s,
		Owners:           s,
		Limits:           s,
		Changes:          s,
		Principals:       s,
		Sessions:         s,
		SelfService:      s,
		Leavers:          s,
		Destinations:     s,
		Credentials:      s,
		StoredProviders:  s,
		Anomalies:        s,
		Ledger:           s,
		Sweeper:          s,
		Allowances:       s,
		Replicas:         s,
		Reports:          s,
		Breakdowns:       s,
		Persons:          s,
		Refusals:         s,
		EventLog:         s,
		AccessLog:        s,
		Alerts:           s,
		AlertSources:     s,
		Incidents:        s,
		Governance:       s,
		Reviews:          s,
		Periods:          s,
		Corrections:      s,
		Archives:         s,
		IntegrityChecker: s,
		Rejects:          s,
		Claims:           s,
		Allotments:       s,
		StoredResponses:  s,
		Database:         s,
	}
}

// errDSN does not repeat the connection string, which may hold a password.
var errDSN = errors.New("billing/postgres: connection string not understood; want postgres://user:password@host:port/database, " +
	"with special characters of the password percent-encoded")

// Open prepares a store. It does not connect, so the database does not have to be
// available yet.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN
	}
	if err := secured(&config.ConnConfig.Config); err != nil {
		return nil, err
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = max(connecting, o.Acquire)
	}
	way := &route{logins: o.Login}
	direct, directly := config.ConnConfig.Copy(), way
	if o.Direct != "" {
		if direct, err = pgx.ParseConfig(o.Direct); err != nil {
			return nil, errDSN
		}
		if err := secured(&direct.Config); err != nil {
			return nil, err
		}
		direct.ConnectTimeout = cmp.Or(direct.ConnectTimeout, connecting)
		directly = &route{logins: o.Login}
	}
	way.lay(ctx, config)
	config.ConnConfig.Tracer = o.Tracer
	statement := cmp.Or(o.Statement, defaultStatement)
	o.bound(config, statement)
	if o.MaxConns > 0 {
		config.MaxConns = o.MaxConns
	} else if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = defaultMaxConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("billing/postgres: %w", err)
	}
	acquire := cmp.Or(o.Acquire, defaultAcquire)
	s := &Store{requests: lane{pool, acquire, statement + slack}, shared: &shared{
		way: way, direct: direct, directly: directly,
		reporting: cmp.Or(o.Reporting, time.UTC),
		overrun:   o.Overrun, swept: o.Swept,
	}}
	posters, err := slower(ctx, config, postingConns, posting)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.postings = lane{posters, acquire, posting + slack}
	changers, err := slower(ctx, config, changingConns, changing)
	if err != nil {
		pool.Close()
		posters.Close()
		return nil, err
	}
	s.changes = lane{changers, max(acquire, changing), changing + slack}
	operators, err := slower(ctx, config, operatingConns, changing)
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	s.operators = lane{operators, max(acquire, changing), changing + slack}
	return s, nil
}

// bound makes the server enforce the timeouts, unless the connection string sets its own.
func (o Options) bound(config *pgxpool.Config, statement time.Duration) {
	for name, value := range map[string]string{
		"application_name":              "tallyroute",
		"statement_timeout":             milliseconds(statement),
		"lock_timeout":                  milliseconds(cmp.Or(o.Lock, defaultLock)),
		"default_transaction_isolation": "read committed", // each statement sees everything committed before it
		"TimeZone":                      "UTC",
		"jit":                           "off", // compilation would take longer than any of our statements
	} {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set || name == "default_transaction_isolation" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
}

// slower returns a pool like another one, with conns connections and longer timeouts.
func slower(ctx context.Context, like *pgxpool.Config, conns int32, limit time.Duration) (*pgxpool.Pool, error) {
	config := like.Copy()
	config.MaxConns, config.MinConns = conns, 0
	config.ConnConfig.RuntimeParams["statement_timeout"] = milliseconds(limit)
	config.ConnConfig.RuntimeParams["lock_timeout"] = milliseconds(limit)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("billing/postgres: %w", err)
	}
	return pool, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Close closes all connections, waiting for those in use.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.requests.pool.Close()
	s.postings.pool.Close()
	s.changes.pool.Close()
	if s.operators.pool != nil {
		s.operators.pool.Close()
	}
	return nil
}
