package postgres

import (
	"errors"
	"testing"
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
