package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

// New connections use the current user, those of the previous user are closed, and
// nothing fails in between: neither queries nor listeners.
func TestLoginThatIsReplacedIsUsedByNewConnectionsAndLeftByOldOnes(t *testing.T) {
	dsn := pgtest.Copy(t, migrate)
	admin := pgtest.Connect(t, dsn)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	base := "tr_" + strings.Trim(u.Path, "/")
	owner := admin.Rows("SELECT current_user")[0][0]
	users := []string{base + "_1", base + "_2"}
	for _, user := range users {
		admin.Exec(fmt.Sprintf("CREATE ROLE %[1]q LOGIN PASSWORD 'p' IN ROLE %[2]q; ALTER ROLE %[1]q SET role = %[2]q", user, owner))
	}
	defer func() {
		for _, user := range users {
			admin.Exec(fmt.Sprintf("DROP ROLE %q", user))
		}
	}()
	var current atomic.Int32
	u.User = nil
	s, err := postgres.Open(t.Context(), u.String(), postgres.Options{Login: func(context.Context) (postgres.Login, error) {
		return postgres.Login{User: users[current.Load()], Password: "p"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	listening, stop := context.WithCancel(t.Context())
	defer stop()
	live := make(chan struct{}, 8)
	ended := make(chan error, 1)
	follow := func() { ended <- s.FollowKeys(listening, func() { live <- struct{}{} }, nil) }
	go follow()
	prove.Receive(t, "it listens", live)
	open := func(user string) string {
		return admin.Rows(fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE usename = '%s'", user))[0][0]
	}
	if err := s.Ready(t.Context()); err != nil || open(users[0]) == "0" {
		t.Fatalf("by the first: %v, %s connections", err, open(users[0]))
	}
	if st, err := s.Inspect(t.Context()); err != nil || !st.Local || st.TLS != "" || st.Ahead.Abs() > time.Hour || len(st.Lacks) > 0 {
		t.Errorf("%+v, %v", st, err)
	}
	current.Store(1)
	for range 20 {
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	admin.Exec("NOTIFY tallyroute_keys") // otherwise it would notice after five seconds
	if err := prove.Receive(t, "who listens is told to begin again", ended); err == nil {
		t.Error("no reason is given")
	}
	go follow()
	prove.Receive(t, "it listens again", live)
	prove.Eventually(t, "nothing is left of the first", func() bool { return open(users[0]) == "0" })
	if open(users[1]) == "0" {
		t.Error("nothing is done by the second")
	}
	stop()
	prove.Receive(t, "it ends", ended)
}
