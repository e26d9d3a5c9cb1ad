package postgres

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPlaintext is the error for a connection string that leaves it to the network whether the
// connection is encrypted.
var ErrPlaintext = errors.New("billing/postgres: the connection string does not say how the database is reached over the network: add " +
	"sslmode=verify-full (with sslrootcert=FILE where a private authority signs), or sslmode=disable where the network is trusted")

// secured rejects the drivers' default for connections over a network (sslmode=prefer, and
// allow): to try with TLS and without, so that whoever is in between can choose.
func secured(c *pgconn.Config) error {
	type ways struct{ encrypted, plain bool }
	hosts := make(map[string]ways)
	for _, f := range append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...) {
		w := hosts[f.Host]
		w.encrypted, w.plain = w.encrypted || f.TLSConfig != nil, w.plain || f.TLSConfig == nil
		if hosts[f.Host] = w; w.encrypted && w.plain && !local(f.Host) {
			return ErrPlaintext
		}
	}
	return nil
}

// unverified reports whether a connection takes any certificate for that of the database.
func unverified(c *pgconn.Config) bool {
	t := c.TLSConfig
	return t != nil && t.InsecureSkipVerify && t.VerifyPeerCertificate == nil
}

// local reports whether host is this machine or one of its sockets.
func local(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
