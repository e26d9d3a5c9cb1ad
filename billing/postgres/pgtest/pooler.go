package pgtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing/billingtest/prove"
)

var errNoPooler = errors.New("pgtest: PgBouncer is not installed; Debian, Ubuntu: apt install pgbouncer")

// Pooler starts a PgBouncer in front of the shared server. It assigns one of a few
// connections to each transaction, and ignores the startup parameters listed in
// ignore. Pooler returns a function that changes a connection string to go through
// it. If PgBouncer is not installed, the test is skipped.
func Pooler(t testing.TB, ignore string) func(dsn string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !executable(program) {
			t.Skip(errNoPooler)
		}
	}
	c, server := &Cluster{}, server(t).admin
	running.Store(c, true)
	t.Cleanup(c.close)
	command, err := c.pooler(program, server, ignore)
	require(t, err)
	require(t, c.launch(command))
	through := func(dsn string) string {
		u, err := url.Parse(dsn)
		require(t, err)
		u.Host = net.JoinHostPort("127.0.0.1", c.port)
		return u.String()
	}
	prove.Eventually(t, "PgBouncer answers", func() bool {
		conn, err := pgx.Connect(t.Context(), through(server))
		return err == nil && conn.Close(t.Context()) == nil
	})
	return through
}

// pooler writes the configuration of a PgBouncer in front of a server, and returns the
// command that starts it.
func (c *Cluster) pooler(program, server, ignore string) (*exec.Cmd, error) {
	to, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	if c.port, err = freePort(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())); err != nil {
		return nil, err
	}
	password, _ := to.User.Password()
	settings := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
ignore_startup_parameters = %s
`, to.Hostname(), to.Port(), to.User.Username(), password, c.port, ignore)
	file := filepath.Join(c.dir, "password") // it contains the password
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	if err := c.giveAway(); err != nil {
		return nil, err
	}
	command := exec.Command(program, "--quiet", file) //nolint:gosec,noctx // a program of the machine, until the test ends
	command.Dir, command.SysProcAttr = c.dir, attributes(c.account)
	return command, nil
}
