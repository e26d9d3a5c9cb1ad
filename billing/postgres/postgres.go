// Package postgres keeps keys, budgets and the ledger in PostgreSQL, version 13
// or newer, for any number of routers at once. It owns the SQL and the order in which rows are
// locked; what may be spent is decided by the billing package's rules, whose
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

// Options tune a store. The zero value is usable.
type Options struct {
	// Reporting is the zone whose days and months the reports have. nil is UTC.
	Reporting *time.Location
	// MaxConns is the most connections of this process. 0 is what the connection
	// string says as pool_max_conns, or else 8.
	MaxConns int32
	// Acquire, Statement and Lock bound the wait for a connection, for a
	// statement and for a lock. 0 is 250 ms, 2 s and 500 ms.
	Acquire, Statement, Lock time.Duration
	// Overrun is how far a key may go before it is stopped.
	Overrun billing.OverrunLimit
	// Swept is told of the rows that Sweep booked for a hold; nil tells nobody.
	Swept func(rows []billing.Spend)
	// Direct is a way to the same database for what needs a session, where the
	// other one goes through a pooler. "" is the same way.
	Direct string
	// Login gives the user of each new connection, in place of the one in the connection
	// string; nil for that one.
	Login func(ctx context.Context) (Login, error)
	// Tracer sees every statement.
	Tracer pgx.QueryTracer
}

const (
	defaultMaxConns  = 8
	defaultAcquire   = 250 * time.Millisecond
	defaultStatement = 2 * time.Second
	defaultLock      = 500 * time.Millisecond
	// connecting is how long a new connection may take to come up, in the
	// background. While it does, it takes up a place in the pool.
	connecting = 2 * time.Second
	// slack is what a statement may take beyond its time-out before its
	// connection is given up: a frozen server does not keep time.
	slack = time.Second
	// posting is how long a batch of rows may take: longer than a statement on
	// the way of a request, since none waits for it.
	posting      = 30 * time.Second
	postingConns = 2
	// changing is how long one change of a key, an owner or a budget may take, the sum
	// of a new budget's past included, and how long it waits for those before it. They
	// come one after the other, and so more connections would only wait for each other.
	changing      = 15 * time.Second
	changingConns = 2
	// operatingConns are for what operators read: it may scan a million keys, and neither
	// waits for requests nor has them wait.
	operatingConns = 4
)

// Store is billing.Store in PostgreSQL.
type Store struct {
	requests lane // what requests wait for, and operators where they wait elsewhere
	*shared
}

// shared is what a store and its view for operators have in common.
type shared struct {
	postings  lane // what nobody waits for: batches of rows
	changes   lane // what operators wait for, and no request
	operators lane // likewise, for all that takes no turns
	way       *route
	direct    *pgx.ConnConfig // without time-outs, for migrations
	directly  *route          // to direct
	reporting *time.Location
	overrun   billing.OverrunLimit
	swept     func(rows []billing.Spend)
	denials   billing.Denials // that were written down
	doubts    doubts
	closed    atomic.Bool
}

// Contracts is all that the store fulfils.
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

// Open prepares a store. It does not connect: the database may be away now and
// come back later.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN
	}
	if err := secured(&config.ConnConfig.Config, dsn); err != nil {
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
		if err := secured(&direct.Config, o.Direct); err != nil {
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

// bound has the server keep the bounds, where the connection string has no others.
func (o Options) bound(config *pgxpool.Config, statement time.Duration) {
	for name, value := range map[string]string{
		"application_name":              "tallyroute",
		"statement_timeout":             milliseconds(statement),
		"lock_timeout":                  milliseconds(cmp.Or(o.Lock, defaultLock)),
		"default_transaction_isolation": "read committed", // each statement sees what was committed before it
		"TimeZone":                      "UTC",
		"jit":                           "off", // compiling takes longer than any of our statements
	} {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set || name == "default_transaction_isolation" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
}

// slower is a pool like another, of few connections on which everything may take longer.
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

// Close closes the connections. It waits for those in use.
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
