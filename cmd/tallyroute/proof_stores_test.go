package main

import (
	"database/sql"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// limitKinds are the ways in which a proof expresses a limit of this many tokens, as flags. A token
// costs a millionth of a dollar.
var limitKinds = map[string]func(tokens int64) []string{
	"Tokens":  func(n int64) []string { return []string{"tokens", fmt.Sprint(n)} },
	"Dollars": func(n int64) []string { return []string{"usd", millionths(n)} },
	"Both":    func(n int64) []string { return []string{"tokens", fmt.Sprint(n), "usd", millionths(n)} },
}

func millionths(n int64) string { return fmt.Sprintf("%d.%06d", n/1_000_000, n%1_000_000) }

// flagged returns limits as command flags.
func flagged(prefix string, limits []string) []string {
	var flags []string
	for i := 0; i < len(limits); i += 2 {
		flags = append(flags, prefix+limits[i], limits[i+1])
	}
	return flags
}

// evenPrices makes every token cost a millionth of a dollar.
func evenPrices(t *testing.T, config string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	even := strings.Replace(string(text), `completion: "2.00"`, `completion: "1.00"`, 1)
	if err := os.WriteFile(config, []byte(even), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rowsOf is a database as the proofs see it.
type rowsOf interface {
	Rows(query string) [][]string
}

// proofStores are the databases that a proof runs on: the setting for each, and how to read from it.
var proofStores = map[string]func(t *testing.T) (database string, look func() rowsOf){
	"Postgres": func(t *testing.T) (string, func() rowsOf) {
		dsn := pgtest.DSN(t)
		return dsn, func() rowsOf { return pgtest.Connect(t, dsn) }
	},
	"SQLite": func(t *testing.T) (string, func() rowsOf) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		return "sqlite:" + path, func() rowsOf { return &sqliteRows{t, path} }
	},
}

// sqliteRows reads a SQLite file that others have open, too.
type sqliteRows struct {
	t    *testing.T
	path string
}

// Rows returns the rows of a query, each value as fmt prints it.
func (s *sqliteRows) Rows(query string) (all [][]string) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.path+"?_pragma=busy_timeout(60000)&_pragma=query_only(1)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		s.t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			s.t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = fmt.Sprint(v)
		}
		all = append(all, texts)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// pooled starts PostgreSQL behind PgBouncer in transaction mode.
func pooled(t *testing.T) (string, func() rowsOf) {
	dsn := pgtest.DSN(t)
	through := pgtest.Pooler(t, "statement_timeout,lock_timeout,default_transaction_isolation,jit,extra_float_digits")
	return through(dsn), func() rowsOf { return pgtest.Connect(t, dsn) }
}

// onEachStore runs a proof on each database, and behind a pooler if $POOLER is set. The limit is in
// tokens and dollars; if $LIMITS is set, each kind of limit is tried.
func onEachStore(t *testing.T, proof func(t *testing.T, database string, look func() rowsOf, limited func(tokens int64) []string)) {
	stores := maps.Clone(proofStores)
	if prove.Size(t, "POOLER", 0) > 0 {
		stores["Pooled"] = pooled
	}
	for store, open := range stores {
		kinds := limitKinds
		if prove.Size(t, "LIMITS", 0) == 0 {
			kinds = map[string]func(int64) []string{"Both": limitKinds["Both"]}
		}
		for by, limited := range kinds {
			t.Run(store+"/"+by, func(t *testing.T) {
				database, look := open(t)
				proof(t, database, look, limited)
			})
		}
	}
}
