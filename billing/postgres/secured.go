package postgres

import (
	"errors"
	"net/netip"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPlaintext is a connection string that leaves open whether the database is
// reached in the clear, over a network.
var ErrPlaintext = errors.New("billing/postgres: the connection string does not say how the database is reached over the network: add " +
	"sslmode=verify-full (with sslrootcert=FILE where a private authority signs), or sslmode=disable where the network is trusted")

// secured refuses what drivers do where nothing is said: to try TLS, verify nothing,
// and go on without.
func secured(c *pgconn.Config, dsn string) error {
	if strings.Contains(dsn, "sslmode") || os.Getenv("PGSSLMODE") != "" {
		return nil
	}
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		if !local(host) {
			return ErrPlaintext
		}
	}
	return nil
}

// local reports a host that is this machine, or a socket of it.
func local(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
