package pgtest

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Session is a connection for inspecting what a program has stored, and for blocking
// it: a lock taken in a session lasts until the session ends.
type Session struct {
	t    testing.TB
	conn *pgx.Conn
}

// Connect opens a session. It is closed when the test ends.
func Connect(t testing.TB, dsn string) *Session {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Session{t, conn}
	t.Cleanup(s.Close)
	return s
}

// Exec executes statements, which cannot have arguments.
func (s *Session) Exec(statements string) {
	s.t.Helper()
	if _, err := s.conn.PgConn().Exec(s.t.Context(), statements).ReadAll(); err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
}

// Rows runs a query and returns its rows, with each value as fmt prints it.
func (s *Session) Rows(query string) [][]string {
	s.t.Helper()
	rows, err := s.conn.Query(s.t.Context(), query)
	if err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
		values, err := row.Values()
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = fmt.Sprint(v)
		}
		return texts, err
	})
	if err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	return all
}

// Close ends the session. It can be called more than once.
func (s *Session) Close() {
	_ = s.conn.Close(s.t.Context()) // there is no work to lose
}
