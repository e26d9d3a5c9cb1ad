package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tallyroute/migrations"
)

// migrateLock is held by each migration's transaction, so that it is released even if the
// migrating process dies.
const migrateLock int64 = adminLock + 1

// housekeepingSQL runs at every start, not only after a migration: it creates the
// partitions for the coming months, and grants read access to the role finance in case
// the role was created by hand since then.
const housekeepingSQL = "SELECT spend_add_partitions(), finance_grant()"

// Migrate implements billing.Database. It uses its own connection, without timeouts,
// and needs a user who owns the database's tables. If another process is migrating
// or holds the lock, Migrate returns an error saying so after a few seconds.
func (s *Store) Migrate(ctx context.Context) (applied []string, err error) {
	all, err := migrations.Postgres()
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, map[string]string{"TimeZone": "UTC"})
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to be saved
	applied, err = migrations.Run(ctx, migrator{conn}, all)
	if err == nil {
		_, err = conn.Exec(ctx, housekeepingSQL)
	}
	return applied, fault(ctx, err)
}

// Ready implements billing.Database.
func (s *Store) Ready(ctx context.Context) error {
	all, err := migrations.Postgres()
	if err != nil {
		return err
	}
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		applied, err := migrator{c}.Applied(ctx)
		if err != nil {
			return err
		}
		pending, err := migrations.Pending(applied, all)
		if err == nil && len(pending) > 0 {
			err = fmt.Errorf("billing/postgres: the schema lacks %s: run tallyroute migrate", pending[0].Name)
		}
		return err
	})
}

// migrator implements migrations.Database.
type migrator struct{ *pgx.Conn }

const appliedSQL = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"

// Applied implements migrations.Database.
func (m migrator) Applied(ctx context.Context) ([]migrations.Applied, error) {
	rows, err := m.Query(ctx, appliedSQL)
	if err == nil {
		var applied []migrations.Applied
		applied, err = pgx.CollectRows(rows, pgx.RowToStructByPos[migrations.Applied])
		if err == nil {
			return applied, nil
		}
	}
	if code(err) == "42P01" { // no such table: nothing has been applied yet
		return nil, nil
	}
	return nil, err
}

const recordMigrationSQL = `
CREATE TABLE IF NOT EXISTS schema_migrations (
  version    int PRIMARY KEY,
  name       text NOT NULL,
  checksum   text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)`

const (
	// migrateWait limits how long to wait for another process before giving up.
	migrateWait      = "SET LOCAL lock_timeout = '3s'"
	lockMigrationSQL = "SELECT pg_advisory_xact_lock($1)"
	migrateNoWait    = "SET LOCAL lock_timeout = 0"
	migratorSQL      = `
SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'this machine'), a.state, a.state_change
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (l.classid::bigint << 32) + l.objid::bigint = $1 LIMIT 1`
)

// lock waits until no other process is migrating, or until migrateWait runs out.
func (m migrator) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, migrateWait)
	if err == nil {
		_, err = tx.Exec(ctx, lockMigrationSQL, migrateLock)
	}
	if err == nil {
		_, err = tx.Exec(ctx, migrateNoWait)
	}
	return err
}

// waiting adds to err which process holds the lock, if err means that waiting for it
// timed out.
func (m migrator) waiting(ctx context.Context, err error) error {
	if code(err) != lockNotAvailable {
		return err
	}
	var pid int
	var name, from, state string
	var since time.Time
	if m.QueryRow(ctx, migratorSQL, migrateLock).Scan(&pid, &name, &from, &state, &since) != nil {
		return err // the lock has been released in the meantime
	}
	return fmt.Errorf("another process has the lock for migrations: server process %d (%q from %s, %s since %s): %w",
		pid, name, from, state, since.UTC().Format(time.RFC3339), err)
}

// Apply implements migrations.Database.
func (m migrator) Apply(ctx context.Context, mig migrations.Migration) (done bool, err error) {
	err = pgx.BeginFunc(ctx, m.Conn, func(tx pgx.Tx) error {
		if err := m.lock(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, recordMigrationSQL); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
			mig.Version, mig.Name, mig.Checksum)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		done = true
		_, err = tx.Conn().PgConn().Exec(ctx, mig.SQL).ReadAll() // can be several statements, without arguments
		return err
	})
	return done, m.waiting(ctx, err)
}

// lacksPartition reports whether err means that a row was rejected because its month has
// no partition yet.
func lacksPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23514" && pg.TableName == "spend_events" && pg.ConstraintName == ""
}

// Setting implements billing.Database.
func (s *Store) Setting(ctx context.Context, name, initial string) (value string, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, settingSQL, name, initial).Scan(&value)
	})
	return value, err
}

// settingSQL overwrites an existing value with itself: only then does a single statement
// return what another process has just stored.
const settingSQL = `
INSERT INTO settings AS s (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = s.value
RETURNING value`
