// Package sqlite keeps keys, budgets and the ledger in one SQLite file: the default store, which
// needs no setup. The server and other commands may have the file open at the same time.
//
// A call that changes something returns once the change is on disk: the file is in WAL mode with
// synchronous=FULL, so that neither a killed process nor a power cut loses a hold or a row that
// was acknowledged. Calls that arrive at the same moment share a transaction, and so the wait
// for the disk.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"

	"tallyroute/billing"
	"tallyroute/migrations"
)

// Options are the settings of a store. The zero value reports in UTC.
type Options struct {
	Reporting *time.Location   // time zone of the days in reports
	Clock     func() time.Time // gives the time at which things are written; nil means time.Now
	// Overrun is how far a key may go before it is stopped.
	Overrun billing.OverrunLimit
	// Swept is called with the rows that Sweep booked for a hold; it may be nil.
	Swept func(rows []billing.Spend)
	// Driver is the name by which database/sql knows a SQLite driver; "" means our own. Proofs
	// name one that they put in front of it.
	Driver string
}

// Store is a billing.Store in a file.
type Store struct {
	file      string // as the driver names it
	reporting *time.Location
	clock     func() time.Time
	reads     *sql.DB
	read      *session
	write     *writer
	overrun   billing.OverrunLimit
	swept     func(rows []billing.Spend)
	denials   billing.Denials // recorded so far
	closing   sync.Once
	closed    error
}

// Contracts returns the store as each of the contracts that it fulfils.
func (s *Store) Contracts() billing.Store {
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

// Pragmas of every connection. The busy time-out comes first, because the other pragmas may have
// to wait for another process. Deleted and replaced content is overwritten in the file, so that
// a person who was erased cannot be read from its freed bytes.
const (
	readPragmas  = "&_pragma=" + busyTimeout + "&_pragma=query_only(1)"
	writePragmas = "&_pragma=" + busyTimeout +
		"&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)&_pragma=temp_store(memory)&_pragma=secure_delete(1)"
)

// Open opens the file at path, or creates it, readable only by its owner. It does not create the
// tables: Migrate does.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s := &Store{reporting: o.Reporting, clock: o.Clock, overrun: o.Overrun, swept: o.Swept}
	if s.reporting == nil {
		s.reporting = time.UTC
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if err := reserveFiles(path); err != nil {
		return nil, fault(err)
	}
	// Files that SQLite creates beside this one get its mode.
	file := "file:" + (&url.URL{Path: path}).EscapedPath() + "?modeof=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
	s.file = file
	driver := cmp.Or(o.Driver, "sqlite3")
	writes, err := openWriter(ctx, driver, file+writePragmas)
	if err != nil {
		return nil, err
	}
	s.write = writes
	s.reads, err = sql.Open(driver, file+readPragmas)
	if err != nil {
		return nil, errors.Join(fault(err), s.write.close())
	}
	s.reads.SetMaxOpenConns(2 * runtime.GOMAXPROCS(0))
	s.reads.SetMaxIdleConns(2 * runtime.GOMAXPROCS(0))
	s.read = newSession(s.reads)
	return s, nil
}

// reserveFiles creates the database and the index of its log if they are missing, because the
// driver would make them readable by everybody.
func reserveFiles(path string) error {
	for _, suffix := range []string{"", "-shm"} {
		f, err := os.OpenFile(path+suffix, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("open database: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("open database: %w", err)
		}
	}
	return nil
}

// Close waits for writes in progress. Later calls fail with billing.ErrUnavailable.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.closed = errors.Join(s.read.close(), s.reads.Close(), s.write.close())
	})
	return s.closed
}

// Migrate implements billing.Store.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	all, err := migrations.SQLite()
	if err != nil {
		return nil, err
	}
	return migrations.Run(ctx, schema{s}, all)
}

// Ready implements billing.Store.
func (s *Store) Ready(ctx context.Context) error {
	all, err := migrations.SQLite()
	if err != nil {
		return err
	}
	applied, err := schema{s}.Applied(ctx)
	if err != nil {
		return err
	}
	pending, err := migrations.Pending(applied, all)
	if err == nil && len(pending) > 0 {
		err = fmt.Errorf("billing/sqlite: %d migrations are not applied, the first is %s: run tallyroute migrate", len(pending),
			pending[0].Name)
	}
	return err
}

// schema is the store as the runner of migrations sees it.
type schema struct{ *Store }

var _ migrations.Database = schema{}

const (
	createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations (
  version    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  checksum   TEXT NOT NULL,
  applied_at TEXT NOT NULL
) STRICT`
	hasMigrations    = `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'`
	selectMigrations = `SELECT version, name, checksum FROM schema_migrations ORDER BY version`
	isMigrated       = `SELECT count(*) FROM schema_migrations WHERE version = ?`
	insertMigration  = `INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)`
)

// Applied implements migrations.Database.
func (s schema) Applied(ctx context.Context) ([]migrations.Applied, error) {
	var there int
	if _, err := s.read.row(ctx, hasMigrations, nil, &there); err != nil || there == 0 {
		return nil, err
	}
	var applied []migrations.Applied
	err := s.read.rows(ctx, selectMigrations, nil, func(scan scanner) error {
		var a migrations.Applied
		err := scan(&a.Version, &a.Name, &a.Checksum)
		applied = append(applied, a)
		return err
	})
	return applied, err
}

// Apply implements migrations.Database.
func (s schema) Apply(ctx context.Context, m migrations.Migration) (bool, error) {
	var done bool
	err := s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, createMigrations); err != nil {
			return err
		}
		var there int
		if _, err := tx.row(ctx, isMigrated, []any{m.Version}, &there); err != nil || there != 0 {
			return err
		}
		if err := tx.script(ctx, m.SQL); err != nil {
			return err
		}
		_, err := tx.exec(ctx, insertMigration, m.Version, m.Name, m.Checksum, stamp(s.clock()))
		done = err == nil
		return err
	})
	return done && err == nil, err
}

const (
	selectSetting = `SELECT value FROM settings WHERE name = ?`
	insertSetting = `INSERT INTO settings (name, value, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
)

// Setting implements billing.Store.
func (s *Store) Setting(ctx context.Context, name, initial string) (string, error) {
	var value string
	found, err := s.read.row(ctx, selectSetting, []any{name}, &value)
	if found || err != nil {
		return value, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, insertSetting, name, initial, stamp(s.clock())); err != nil {
			return err
		}
		_, err := tx.row(ctx, selectSetting, []any{name}, &value)
		return err
	})
	return value, err
}

const (
	insertPrice = `INSERT INTO prices (id, provider, model, input_nano, cache_read_nano, cache_write_nano, output_nano,
	  request_fee_nano, source, valid_from, created_at,
  cache_write_1h_nano, reasoning_nano, audio_input_nano, audio_output_nano, service_tier, min_input_tokens)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	hasPrice = `SELECT count(*) FROM prices WHERE id = ?`
)

// RecordPrices implements billing.Store. If a price for the same model and date is already
// recorded with other rates, it adds the rest and returns a *billing.ConflictError.
func (s *Store) RecordPrices(ctx context.Context, prices []billing.Price) error {
	var conflict error
	err := s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, p := range prices {
			p = p.Resolved()
			n, err := tx.exec(ctx, insertPrice, p.ID, p.Provider, p.Model, int64(p.Input), int64(p.CacheRead), int64(p.CacheWrite),
				int64(p.Output),
				int64(p.Request), p.Source, stamp(p.Since), stamp(s.clock()),
				int64(p.CacheWrite1h), int64(p.Reasoning), int64(p.AudioInput), int64(p.AudioOutput), p.ServiceTier, p.MinInput)
			if err != nil {
				return err
			}
			there := 1
			if n == 0 {
				if _, err := tx.row(ctx, hasPrice, []any{p.ID}, &there); err != nil {
					return err
				}
			}
			if there == 0 {
				conflict = &billing.ConflictError{Detail: fmt.Sprintf(
					"the price of %s at %s since %s is recorded with other rates: give the new rates a date of their own", p.Model,
					p.Provider, p.Since.Format(time.DateOnly))}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return conflict
}

// Backup writes a consistent copy of the database to a new file at path, readable only by its
// owner, while others read and write. The copy is on disk when Backup returns; if Backup fails,
// it leaves no file.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s exists already: name another file, or move it away", path))
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tallyroute-backup-*") // with mode 0600
	if err != nil {
		return err
	}
	part := f.Name()
	defer func() { _ = os.Remove(part) }()
	if err := s.copyInto(ctx, part); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(part, path); err != nil { // unlike a rename, this never overwrites a file
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// copyInto writes the contents of a snapshot of the database into an empty file. It uses a
// connection of its own, because those of the pool may not write anywhere.
func (s *Store) copyInto(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite3", s.file+"&_pragma="+busyTimeout)
	if err != nil {
		return fault(err)
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, file)
	return errors.Join(fault(err), fault(db.Close()))
}

// syncFolder makes the names of new files in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
