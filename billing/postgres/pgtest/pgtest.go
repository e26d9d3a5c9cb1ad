// Package pgtest gives tests a real PostgreSQL: the server that
// $TALLYROUTE_TEST_POSTGRES names, or else a private one that it starts from
// the programs installed on the machine and stops when the tests have run.
// It never touches a database that it did not create.
package pgtest

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// Variable names the server to test against, as a connection string of a user
// who may create databases.
const Variable = "TALLYROUTE_TEST_POSTGRES"

// shared is the server of this test process. It has to outlive every single
// test, so only a package variable can hold it.
var shared struct {
	sync.Mutex
	started  bool
	cluster  *Cluster
	template string // the database that Copy copies
	err      error
}

// running are the servers that this process has started, for its end.
var running sync.Map

// Main runs the tests and then stops the shared server:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Nothing is left of tests that are interrupted either.
func Main(m *testing.M) int {
	return run(func() int {
		defer func() {
			shared.Lock()
			defer shared.Unlock()
			if shared.cluster != nil {
				_ = shared.cluster.drop(shared.template) // with the server, if it is private
				shared.cluster.close()
			}
		}()
		return m.Run()
	})
}

// run does what it is given, and ends all servers when it is interrupted.
func run(do func() int) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		running.Range(func(c, _ any) bool {
			c.(*Cluster).close()
			return true
		})
		os.Exit(1)
	}()
	return do()
}

// DSN is the connection string of a new, empty database on the shared server.
// The database is dropped when the test ends. Where there is no PostgreSQL the
// test is skipped, or fails if $CI is set.
func DSN(t testing.TB) string {
	t.Helper()
	return server(t).DSN(t)
}

// Copy is DSN for a database with what fill puts into one. fill runs once in a
// test process, and must close its connections.
func Copy(t testing.TB, fill func(dsn string) error) string {
	t.Helper()
	c := server(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.template == "" {
		name, err := c.create(t.Context(), "template0")
		require(t, err)
		require(t, fill(database(c.admin, name)))
		shared.template = name
	}
	return c.copy(t, shared.template)
}

func server(t testing.TB) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.started {
		shared.started = true
		shared.cluster, shared.err = open()
	}
	require(t, shared.err)
	return shared.cluster
}

// Private starts a server for one test alone, which may stop or freeze it.
// Settings are server parameters such as "fsync=on". It is stopped when the
// test ends.
func Private(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := start(settings)
	require(t, err)
	t.Cleanup(c.close)
	return c
}

func open() (*Cluster, error) {
	if dsn := os.Getenv(Variable); dsn != "" {
		return &Cluster{admin: dsn}, nil
	}
	return start(nil)
}

func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errNotInstalled) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}
