package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tallyroute/billing"
)

// Login holds the credentials that connections log in with.
type Login struct{ User, Password string }

// LoginOf returns the user and password in a connection string.
func LoginOf(dsn string) (Login, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return Login{}, errDSN
	}
	return Login{c.User, c.Password}, nil
}

// logins returns the current login, for databases whose credentials expire. Every new
// connection uses it. Connections made with an earlier login are closed when they return to
// the pool, or within a minute if they are idle.
type logins func(ctx context.Context) (Login, error)

// loginData is the key under which a connection stores its login.
const loginData = "tallyroute.login"

var errRelogin = errors.New("the login of the connection has been replaced")

// Idle connections are closed after loginIdle, so that those of a replaced login go away;
// the pool checks every loginLook.
const (
	loginIdle = 30 * time.Second
	loginLook = 10 * time.Second
)

// use sets the login of a new connection.
func (l logins) use(ctx context.Context, c *pgx.ConnConfig) error {
	if l == nil {
		return nil
	}
	login, err := l(ctx)
	if err == nil {
		c.User, c.Password = login.User, login.Password
	}
	return err
}

// note stores in a connection the login that it was made with.
func (l logins) note(c *pgx.Conn) {
	if l != nil {
		made := c.Config()
		c.PgConn().CustomData()[loginData] = Login{made.User, made.Password}
	}
}

// current reports whether a connection was made with the current login. It also returns
// true if the current login cannot be determined.
func (l logins) current(ctx context.Context, c *pgx.Conn) bool {
	if l == nil {
		return true
	}
	now, err := l(ctx)
	made, _ := c.PgConn().CustomData()[loginData].(Login)
	return err != nil || made == now
}

// over makes a pool close connections that were made with a different login.
func (l logins) over(ctx context.Context, c *pgxpool.Config) {
	if l == nil {
		return
	}
	ctx = context.WithoutCancel(ctx) // the pool may outlive the call that opened it
	c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) { return l.current(ctx, conn), nil }
	c.AfterRelease = func(conn *pgx.Conn) bool { return l.current(ctx, conn) }
	c.MaxConnIdleTime, c.HealthCheckPeriod = loginIdle, loginLook
}

const inspectSQL = `
SELECT current_user, clock_timestamp(),
    coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), ''),
    inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1',
    (SELECT array_remove(ARRAY[
        CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL) FROM pg_roles WHERE rolname = current_user),
    coalesce((SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
            AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT'))), '{}')`

var _ billing.Inspector = (*Store)(nil)

// Inspect implements billing.Inspector.
func (s *Store) Inspect(ctx context.Context) (st billing.DatabaseState, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var now time.Time
		asked := time.Now()
		if err := c.QueryRow(ctx, inspectSQL).Scan(&st.User, &now, &st.TLS, &st.Local, &st.Powers, &st.Lacks); err != nil {
			return err
		}
		answered := time.Now()
		st.Ahead = now.Sub(asked.Add(answered.Sub(asked) / 2))
		st.Unverified = unverified(&c.Config().Config)
		return nil
	})
	return st, err
}
