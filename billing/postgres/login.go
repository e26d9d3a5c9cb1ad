package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Login is the user that connections are made by.
type Login struct{ User, Password string }

// LoginOf is the user that a connection string names.
func LoginOf(dsn string) (Login, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return Login{}, errDSN
	}
	return Login{c.User, c.Password}, nil
}

// logins are those that a database gives for a time. Every new connection is made by the
// current one; those of another are given up as they come back, and within a minute at the
// latest.
type logins func(ctx context.Context) (Login, error)

// loginData is under which name a connection keeps its login.
const loginData = "tallyroute.login"

var errRelogin = errors.New("the login of the connection has been replaced")

// Idle connections of a login that was replaced are closed after this long.
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

// note keeps with a connection by which login it was made.
func (l logins) note(c *pgx.Conn) {
	if l != nil {
		made := c.Config()
		c.PgConn().CustomData()[loginData] = Login{made.User, made.Password}
	}
}

// current reports a connection that may go on. One goes on as well where nobody can say.
func (l logins) current(ctx context.Context, c *pgx.Conn) bool {
	if l == nil {
		return true
	}
	now, err := l(ctx)
	made, _ := c.PgConn().CustomData()[loginData].(Login)
	return err != nil || made == now
}

// over has a pool give up what was made by another login.
func (l logins) over(c *pgxpool.Config) {
	if l == nil {
		return
	}
	c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) { return l.current(ctx, conn), nil }
	c.AfterRelease = func(conn *pgx.Conn) bool { return l.current(context.Background(), conn) }
	c.MaxConnIdleTime, c.HealthCheckPeriod = loginIdle, loginLook
}
