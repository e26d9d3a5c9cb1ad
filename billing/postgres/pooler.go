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

// route is a way to reach the server: directly, or through a pooler such as PgBouncer,
// which gives each transaction whichever connection is free. Behind a pooler, no state
// can be kept in a session: no prepared statements, settings, locks or LISTEN.
//
// A pooler is detected by a startup parameter that every connection sends: a server
// remembers it, while a pooler rejects or drops it. Once a pooler is detected,
// statements are sent unprepared, each in one message with its arguments.
type route struct {
	pooled atomic.Bool
	logins logins
}

const (
	marker   = "tallyroute.route"
	straight = "direct"
	// askMarkerSQL must be sent unprepared.
	askMarkerSQL = "SELECT coalesce(current_setting('" + marker + "', true), '')"
)

var errPooled = errors.New("the connection goes through a pooler")

// kept lists the parameters that poolers restore for every client.
var kept = []string{"application_name", "client_encoding", "DateStyle", "TimeZone"}

// adapt adjusts the configuration of a new connection to the route.
func (r *route) adapt(c *pgx.ConnConfig) {
	if !r.pooled.Load() {
		c.RuntimeParams[marker] = straight
		return
	}
	maps.DeleteFunc(c.RuntimeParams, func(name, _ string) bool { return !slices.Contains(kept, name) })
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	c.StatementCacheCapacity = 0
}

// check returns an error if a connection was assumed to be direct but is not.
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

// found reports whether a connection failed because of a pooler. If so, the next
// connection takes it into account.
func (r *route) found(err error) bool {
	var pg *pgconn.PgError
	refused := errors.As(err, &pg) && strings.Contains(pg.Message, "startup parameter")
	if !refused && !errors.Is(err, errPooled) {
		return false
	}
	r.pooled.Store(true)
	return true
}

// lay configures a pool so that its connections take the route.
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
			_ = c.Close(context.WithoutCancel(ctx)) // it has no work to lose
		}
		if _, asked := config.RuntimeParams[marker]; !asked || !r.found(err) {
			return nil, err
		}
	}
}

// dial opens a connection for work that takes long or needs a session. Its parameters
// are fully applied only if there is no pooler.
func (s *Store) dial(ctx context.Context, params map[string]string) (*pgx.Conn, error) {
	config := s.direct.Copy()
	maps.Copy(config.RuntimeParams, params)
	return s.directly.connect(ctx, config)
}

// Pooled reports whether there is a pooler between us and the server, and whether a
// separate direct route is configured. The result is reliable only after the first
// connection was made.
func (s *Store) Pooled() (pooled, direct bool) {
	return s.way.pooled.Load(), s.directly != s.way
}

// pollEvery is the polling interval used where notifications do not work.
const pollEvery = 250 * time.Millisecond

// poll calls wake at every interval until ctx ends.
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
