package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing/billingtest/prove"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_ORPHAN") != "" {
		os.Exit(run(orphan))
	}
	os.Exit(Main(m))
}

func TestDSN_IsAFreshDatabaseThatIsDropped(t *testing.T) {
	var dsn string
	t.Run("inner", func(t *testing.T) {
		dsn = DSN(t)
		if other := DSN(t); other == dsn {
			t.Fatalf("two tests share %s", dsn)
		}
		if err := query(t, dsn, "CREATE TABLE x (y int)"); err != nil {
			t.Fatal(err)
		}
	})
	if dsn == "" {
		t.Skip("there is no PostgreSQL")
	}
	if err := query(t, dsn, "SELECT 1"); err == nil {
		t.Fatal("the database is still there")
	}
}

func TestCopy_FillsOnce(t *testing.T) {
	filled := 0
	fill := func(dsn string) error {
		filled++
		return query(t, dsn, "CREATE TABLE x (y int)")
	}
	first, second := Copy(t, fill), Copy(t, fill)
	if filled != 1 || first == second {
		t.Errorf("filled %d times, for %s and %s", filled, first, second)
	}
	for _, sql := range []string{"INSERT INTO x VALUES (1)", "DROP TABLE x"} {
		if err := query(t, first, sql); err != nil {
			t.Error(err)
		}
	}
	if err := query(t, second, "SELECT y FROM x"); err != nil {
		t.Errorf("the copies are one: %v", err)
	}
}

func TestDatabase_ReplacesTheName(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@h:1/postgres?sslmode=disable": "postgres://u:p@h:1/x?sslmode=disable",
		"host=h user=u": "host=h user=u dbname=x",
	} {
		if got := database(dsn, "x"); got != want {
			t.Errorf("database(%q) = %q, want %q", dsn, got, want)
		}
	}
}

func TestCluster_StopsStartsAndFreezes(t *testing.T) {
	c := Private(t)
	dsn := c.DSN(t)
	if err := query(t, dsn, "CREATE TABLE x (y int)"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(testing.TB){"Stop": c.Stop, "Kill": c.Kill} {
		end(t)
		if err := query(t, dsn, "SELECT 1"); err == nil {
			t.Errorf("the server answers after %s", name)
		}
		c.Start(t)
		if err := query(t, dsn, "SELECT y FROM x"); err != nil {
			t.Errorf("after %s and Start: %v", name, err)
		}
	}
	c.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := pgx.Connect(ctx, dsn); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server: %v", err)
	}
	c.Resume()
	if err := query(t, dsn, "SELECT y FROM x"); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

// orphan plays the tests of another process: it starts a server, prints its directory
// and address, and waits to be killed. It also ends with the process that started it.
func orphan() int {
	c, err := start(nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(c.dir, "127.0.0.1:"+c.port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	c.close()
	return 0
}

// However tests end, their server ends with them. Its directory is removed immediately
// if they are asked to stop, and by the next test run if they are killed.
func TestCluster_EndsWithTheTestsThatStartedIt(t *testing.T) {
	for _, end := range []os.Signal{os.Interrupt, os.Kill} {
		t.Run(end.String(), func(t *testing.T) {
			Private(t) // skips the test if PostgreSQL is not installed
			tests := exec.CommandContext(t.Context(), os.Args[0])
			tests.Env = append(os.Environ(), "PGTEST_ORPHAN=1")
			out, err := tests.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tests.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := tests.Start(); err != nil {
				t.Fatal(err)
			}
			var dir, address string
			if _, err := fmt.Fscanln(out, &dir, &address); err != nil {
				t.Fatal(err)
			}
			if err := tests.Process.Signal(end); err != nil {
				t.Fatal(err)
			}
			_ = tests.Wait() // it was ended by a signal
			prove.Eventually(t, "the server has ended", func() bool {
				conn, err := net.Dial("tcp", address)
				if err == nil {
					conn.Close()
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
			if end == os.Kill {
				sweepAbandoned()
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", dir, err)
			}
		})
	}
}

func query(t *testing.T, dsn, sql string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}
