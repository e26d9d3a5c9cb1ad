// Package migrations holds the schema of both databases as numbered SQL files
// and applies what a database lacks. It knows no driver: each store offers a
// Database. Files are never edited after a release; a change is a new file in
// both folders.
package migrations

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed */*.sql
var files embed.FS

// Migration is one numbered file.
type Migration struct {
	Version  int
	Name     string // as the file, without ".sql": "0001_tables"
	SQL      string
	Checksum string // SHA-256 of SQL, in hexadecimal
}

// Applied is a row of the table schema_migrations(version, name, checksum,
// applied_at), which each Database makes where it is missing.
type Applied struct {
	Version        int
	Name, Checksum string
}

// Database is what Run needs of a store.
type Database interface {
	// Applied lists schema_migrations by version. A database without that table
	// has none. It changes nothing.
	Applied(ctx context.Context) ([]Applied, error)
	// Apply runs m and adds its row, both in one transaction that keeps every
	// other process from migrating meanwhile. Where the row is already there it
	// does nothing and reports false.
	Apply(ctx context.Context, m Migration) (bool, error)
}

// Postgres lists the migrations of PostgreSQL in order.
func Postgres() ([]Migration, error) { return read(files, "postgres") }

// SQLite lists the migrations of SQLite in order.
func SQLite() ([]Migration, error) { return read(files, "sqlite") }

// Run applies to db what it lacks of all, in order, and lists the names of what
// it applied. Any number of processes may call it at once. It refuses a
// database that Pending refuses.
func Run(ctx context.Context, db Database, all []Migration) ([]string, error) {
	applied, err := db.Applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: what is applied: %w", err)
	}
	pending, err := Pending(applied, all)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range pending {
		done, err := db.Apply(ctx, m)
		if err != nil {
			return names, fmt.Errorf("migrations: %s: %w", m.Name, err)
		}
		if done {
			names = append(names, m.Name)
		}
	}
	return names, nil
}

// Pending lists what of all is not yet applied. It refuses a database whose
// schema this program does not know.
func Pending(applied []Applied, all []Migration) ([]Migration, error) {
	have := make(map[int]Applied, len(applied))
	for _, a := range applied {
		if a.Version > len(all) {
			return nil, fmt.Errorf("migrations: the database has %s but this program knows only %d migrations: "+
				"run a newer tallyroute, or restore the backup from before the upgrade", a.Name, len(all))
		}
		have[a.Version] = a
	}
	var pending []Migration
	for _, m := range all {
		a, ok := have[m.Version]
		if !ok {
			pending = append(pending, m)
			continue
		}
		if a.Checksum != m.Checksum {
			return nil, fmt.Errorf("migrations: %s was applied to the database with another text (%.12s, here %.12s): "+
				"run the tallyroute that this database belongs to, or restore the released file and add a new one for the change",
				a.Name, a.Checksum, m.Checksum)
		}
	}
	return pending, nil
}

// read lists the numbered files of a folder, which must count up from 1.
func read(from fs.FS, folder string) ([]Migration, error) {
	names, err := fs.Glob(from, folder+"/*.sql") // sorted
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	all := make([]Migration, 0, len(names))
	for i, path := range names {
		text, err := fs.ReadFile(from, path)
		if err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, folder+"/"), ".sql")
		number, what, ok := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || !ok || what == "" || len(number) != 4 || version != i+1 {
			return nil, fmt.Errorf("migrations: %s: want %04d_what.sql", path, i+1)
		}
		sum := sha256.Sum256(text)
		all = append(all, Migration{Version: version, Name: name, SQL: string(text), Checksum: hex.EncodeToString(sum[:])})
	}
	return all, nil
}
