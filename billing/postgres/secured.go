package postgres

import (
	"errors"
	"net/netip"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPlaintext is the error for a connection string that does not say whether the
// connection over the network is encrypted.
var ErrPlaintext = errors.New("billing/postgres: the connection string does not say how the database is reached over the network: add " +
	"sslmode=verify-full (with sslrootcert=FILE where a private authority signs), or sslmode=disable where the network is trusted")

// secured rejects the drivers' default for connections over a network: to try TLS without
// verifying anything, and to fall back to plaintext.
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

// local reports whether host is this machine or one of its sockets.
func local(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
