package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// route is a way to the server: straight, or through a pooler such as PgBouncer,
// which gives each transaction whichever connection is free. Behind a pooler
// nothing may be kept in a session: no prepared statements, no settings, no
// locks, nobody who listens.
//
// A pooler is found out by a parameter that every connection is begun with: the
// server knows it afterwards, while a pooler refuses or forgets it. From then on
// statements are sent unprepared, each with its arguments in one message.
type route struct {
	pooled atomic.Bool
	logins logins
}

const (
	marker   = "tallyroute.route"
	straight = "direct"
	// askMarkerSQL is sent unprepared.
	askMarkerSQL = "SELECT coalesce(current_setting('" + marker + "', true), '')"
)

var errPooled = errors.New("the connection goes through a pooler")

// kept are the parameters that poolers set again for every client.
var kept = []string{"application_name", "client_encoding", "DateStyle", "TimeZone"}

// adapt makes the configuration of a new connection fit the route.
func (r *route) adapt(c *pgx.ConnConfig) {
	if !r.pooled.Load() {
		c.RuntimeParams[marker] = straight
		return
	}
	maps.DeleteFunc(c.RuntimeParams, func(name, _ string) bool { return !slices.Contains(kept, name) })
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	c.StatementCacheCapacity = 0
}

// check fails a connection that was taken for a straight one, and is not.
func (r *route) check(ctx context.Context, c *pgx.Conn) error {
	if c.Config().RuntimeParams[marker] == "" {
		return nil
	}
	results, err := c.PgConn().Exec(ctx, askMarkerSQL).ReadAll()
	if err != nil {
		return err
	}
	if len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == straight {
		return nil
	}
	return errPooled
}

// found reports that a connection failed because there is a pooler: the next one
// takes account of it.
func (r *route) found(err error) bool {
	var pg *pgconn.PgError
	refused := errors.As(err, &pg) && strings.Contains(pg.Message, "startup parameter")
	if !refused && !errors.Is(err, errPooled) {
		return false
	}
	r.pooled.Store(true)
	return true
}

// lay makes the connections of a pool take the route.
func (r *route) lay(ctx context.Context, c *pgxpool.Config) {
	c.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		r.adapt(c)
		return r.logins.use(ctx, c)
	}
	c.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		r.logins.note(c)
		return r.check(ctx, c)
	}
	r.logins.over(ctx, c)
}

// connect makes a connection outside the pools.
func (r *route) connect(ctx context.Context, to *pgx.ConnConfig) (*pgx.Conn, error) {
	for {
		config := to.Copy()
		r.adapt(config)
		if err := r.logins.use(ctx, config); err != nil {
			return nil, err
		}
		c, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			r.logins.note(c)
			if err = r.check(ctx, c); err == nil {
				return c, nil
			}
			_ = c.Close(context.WithoutCancel(ctx)) // nothing was done on it
		}
		if _, asked := config.RuntimeParams[marker]; !asked || !r.found(err) {
			return nil, err
		}
	}
}

// dial makes a connection for what takes long or needs a session, with
// parameters that hold where there is no pooler.
func (s *Store) dial(ctx context.Context, params map[string]string) (*pgx.Conn, error) {
	config := s.direct.Copy()
	maps.Copy(config.RuntimeParams, params)
	return s.directly.connect(ctx, config)
}

// Pooled reports that there is a pooler between us and the server, and whether
// there is a direct way beside it. It is known once a connection was made.
func (s *Store) Pooled() (pooled, direct bool) {
	return s.way.pooled.Load(), s.directly != s.way
}

// pollEvery is how often it is looked whether somebody wants something, where
// nobody can be told.
const pollEvery = 250 * time.Millisecond

// poll calls wake again and again until ctx ends.
func poll(ctx context.Context, wake func()) error {
	every := time.NewTicker(pollEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			wake()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
