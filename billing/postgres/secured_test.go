package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestDatabaseOverTheNetworkNeedsAWordAboutTLS(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for dsn, refused := range map[string]bool{
		"postgres://u:p@db/x":                    true,
		"postgres://u:p@10.0.0.7:5432/x":         true,
		"postgres://u:p@127.0.0.1,db2/x":         true,
		"host=db user=u":                         true,
		"postgres://u:p@db/x?sslmode=prefer":     true,
		"postgres://u:p@db/x?sslmode=allow":      true,
		"postgres://u:sslmode@db/x":              true,
		"postgres://u:p@db/x?sslmode=disable":    false,
		"postgres://u:p@db/x?sslmode=require":    false,
		"postgres://u:p@127.0.0.1/x":             false,
		"postgres://u:p@[::1]/x":                 false,
		"postgres://u:p@localhost/x":             false,
		"postgres:///x?host=/var/run/postgresql": false,
	} {
		s, err := Open(t.Context(), dsn, Options{})
		if errors.Is(err, ErrPlaintext) != refused || !refused && err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
	if _, err := Open(t.Context(), "postgres://u:p@localhost/x", Options{Direct: "postgres://u:p@db/x"}); !errors.Is(err, ErrPlaintext) {
		t.Errorf("direct: %v", err)
	}
}

func TestCertificateThatNobodyChecksIsTold(t *testing.T) {
	for mode, want := range map[string]bool{"require": true, "verify-ca": false, "verify-full": false, "disable": false} {
		c, err := pgconn.ParseConfig("postgres://u:p@db/x?sslmode=" + mode)
		if err != nil || unverified(c) != want {
			t.Errorf("%s: %t, %v", mode, unverified(c), err)
		}
	}
}
