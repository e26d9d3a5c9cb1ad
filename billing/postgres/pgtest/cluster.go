package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing/billingtest/prove"
)

// patience is how long to wait for a server to start, stop or respond.
const patience = prove.Patience

// account is the user that the server runs as when the tests run as root, since
// PostgreSQL refuses to run as root.
type account struct{ uid, gid uint32 }

// Cluster is a PostgreSQL server for tests.
type Cluster struct {
	admin string // connection string of a superuser
	// The following fields are empty for a server that was already running.
	bin      string
	dir      string
	port     string
	settings []string
	account  *account
	process  *os.Process
	exited   chan struct{}
	paused   []int
}

// DSN creates an empty database and returns its connection string. The database is
// dropped when the test ends.
func (c *Cluster) DSN(t testing.TB) string {
	t.Helper()
	return c.copy(t, "template0")
}

func (c *Cluster) copy(t testing.TB, template string) string {
	t.Helper()
	name, err := c.create(t.Context(), template)
	require(t, err)
	t.Cleanup(func() {
		// A server that the test has stopped keeps its databases until it is removed.
		if err := c.drop(name); err != nil && c.dir == "" {
			t.Errorf("pgtest: %v", err)
		}
	})
	return database(c.admin, name)
}

func (c *Cluster) create(ctx context.Context, template string) (string, error) {
	name := "tallyroute_test_" + strings.ToLower(rand.Text()[:12])
	return name, c.run(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
}

// drop drops a database. It runs after a test, when the test's context has ended.
func (c *Cluster) drop(name string) error {
	if name == "" {
		return nil
	}
	return c.run(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
}

// Run executes statements in the server's default database, as its superuser.
func (c *Cluster) Run(t testing.TB, statements string) {
	t.Helper()
	if err := c.run(t.Context(), statements); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}

func (c *Cluster) run(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.admin)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement has already answered
	_, err = conn.Exec(ctx, sql)
	return err
}

// database returns dsn with a different database name.
func database(dsn, name string) string {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme == "" {
		return dsn + " dbname=" + name
	}
	u.Path = "/" + name
	return u.String()
}

// start creates a cluster in a temporary directory and starts it, using the first
// installation that works.
func start(settings []string) (*Cluster, error) {
	bins := folders()
	if len(bins) == 0 {
		return nil, errNotInstalled
	}
	sweepAbandoned()
	var faults []error
	for _, bin := range bins {
		c := &Cluster{bin: bin, settings: settings}
		running.Store(c, true)
		err := c.prepare()
		if err == nil {
			err = c.boot()
		}
		if err == nil {
			return c, nil
		}
		c.close()
		faults = append(faults, fmt.Errorf("pgtest: %s: %w", bin, err))
	}
	return nil, errors.Join(faults...)
}

// prepare creates the cluster's directory and files.
func (c *Cluster) prepare() error {
	base := prove.Memory()
	if slices.Contains(c.settings, "fsync=on") {
		base = "" // the disk itself is being measured
	}
	dir, err := os.MkdirTemp(base, fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
	if err != nil {
		return err
	}
	c.dir = dir
	password := rand.Text()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password), 0o600); err != nil {
		return err
	}
	if err := c.giveAway(); err != nil {
		return err
	}
	if c.port, err = freePort(); err != nil {
		return err
	}
	c.admin = fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%s/postgres?sslmode=disable&connect_timeout=30", password, c.port)
	initdb := exec.Command( //nolint:gosec,noctx // a program of the machine, bounded by its work
		filepath.Join(c.bin, "initdb"), "--pgdata="+c.data(), "--username=postgres",
		"--auth=scram-sha-256", "--pwfile="+filepath.Join(dir, "password"), "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attributes(c.account)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// giveAway changes the directory's owner to an unprivileged user if the tests run as root.
func (c *Cluster) giveAway() error {
	a, err := unprivileged()
	if c.account = a; err != nil || a == nil {
		return err
	}
	return errors.Join(
		os.Chown(c.dir, int(a.uid), int(a.gid)),
		os.Chown(filepath.Join(c.dir, "password"), int(a.uid), int(a.gid)))
}

// unprivileged returns the user to run servers as if the tests run as root, or else nil.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("the server does not run as root, and there is no user postgres or nobody: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &account{uint32(uid), uint32(gid)}, err
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// boot starts the server and waits until it responds. By default nothing is synced
// to disk, because test data does not have to survive a power failure.
func (c *Cluster) boot() error {
	args := []string{"-D", c.data()}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "port=" + c.port, "unix_socket_directories=", "max_connections=100",
		"fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_wal_size=256MB", "log_min_messages=fatal",
	}, c.settings...) {
		args = append(args, "-c", setting)
	}
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()                                                 //nolint:errcheck // the server has its own descriptor
	server := exec.Command(filepath.Join(c.bin, "postgres"), args...) //nolint:gosec,noctx // the same, until close
	server.Dir, server.Stdout, server.Stderr, server.SysProcAttr = c.dir, log, log, attributes(c.account)
	if err := c.launch(server); err != nil {
		return err
	}
	if err := c.await(); err != nil {
		text, _ := os.ReadFile(log.Name()) // best effort: the log only adds detail
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// launch starts the server from a dedicated thread, because on Linux the parent-death
// signal is sent when the thread that created the child ends, not when the process does.
func (c *Cluster) launch(server *exec.Cmd) error {
	exited, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread()
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait() // its exit status does not matter
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.process, c.exited = server.Process, exited
	return nil
}

// await waits until the server responds.
func (c *Cluster) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		err := c.run(ctx, "SELECT 1")
		if err == nil {
			tick.Stop()
			return nil
		}
		select {
		case <-c.exited:
			return errors.New("the server stopped at once")
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func (c *Cluster) close() {
	running.Delete(c)
	if c.process != nil {
		c.resume()
		c.end(syscall.SIGQUIT)
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir) // a later run removes what is left
	}
}

// end sends the server a signal and reports whether it exits in time.
func (c *Cluster) end(s syscall.Signal) bool {
	_ = c.process.Signal(s) // it may have exited already
	select {
	case <-c.exited:
		c.process = nil
		return true
	case <-time.After(patience):
		return false
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return "", err
	}
	defer l.Close() //nolint:errcheck // only the number was wanted
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
