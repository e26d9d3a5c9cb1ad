// Package pgtest provides tests with a real PostgreSQL server: the one that
// $TALLYROUTE_TEST_POSTGRES names or, if that is not set, a private one that it
// starts from an installation on the machine and stops after the tests.
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

// Variable is the environment variable that holds the connection string of the server to
// test against. The user in it must be allowed to create databases.
const Variable = "TALLYROUTE_TEST_POSTGRES"

// shared is the server of this test process. It must outlive individual tests, so it
// has to be a package variable.
var shared struct {
	sync.Mutex
	started  bool
	cluster  *Cluster
	template string // name of the database that Copy copies
	err      error
}

// running holds the servers that this process has started and must stop before it exits.
var running sync.Map

// Main runs the tests and then stops the shared server:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// It also cleans up if the tests are interrupted.
func Main(m *testing.M) int {
	return run(func() int {
		defer func() {
			shared.Lock()
			defer shared.Unlock()
			if shared.cluster != nil {
				_ = shared.cluster.drop(shared.template) // a private server is removed with its databases anyway
				shared.cluster.close()
			}
		}()
		return m.Run()
	})
}

// run calls do, and stops all servers if the process is interrupted.
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

// DSN creates an empty database on the shared server and returns its connection
// string. The database is dropped when the test ends. If PostgreSQL is not
// installed, the test is skipped, or fails if $CI is set.
func DSN(t testing.TB) string {
	t.Helper()
	return server(t).DSN(t)
}

// Copy is like DSN, but the database is a copy of one that fill has filled. fill runs
// once per test process, and must close its connections.
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

// Private starts a server for a single test, which can stop or freeze it. Settings
// are server parameters such as "fsync=on". The server is stopped when the test ends.
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
