package app

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/router/certificate"
)

// certificates are those of the listeners; nil where one speaks plain HTTP.
type certificates struct{ public, admin *certificate.Keeper }

// CertificatesOf are the files of the listeners that speak TLS, by the setting that names them.
func CertificatesOf(c *config.Config) map[string]certificate.Files {
	all := make(map[string]certificate.Files)
	if c.TLS.On() {
		all["tls"] = certificate.Files{Cert: c.TLS.CertFile, Key: c.TLS.KeyFile, Oldest: c.TLS.Oldest()}
	}
	if c.AdminTLS.On() && !c.AdminOff() {
		all["admin_tls"] = certificate.Files{
			Cert: c.AdminTLS.CertFile, Key: c.AdminTLS.KeyFile, ClientCA: c.AdminTLS.ClientCAFile, Oldest: c.TLS.Oldest(),
		}
	}
	return all
}

func openCertificates(c *config.Config) (all certificates, err error) {
	for setting, files := range CertificatesOf(c) {
		k, err := certificate.Open(files)
		if err != nil {
			return all, fmt.Errorf("%s: %w", setting, err)
		}
		if setting == "tls" {
			all.public = k
		} else {
			all.admin = k
		}
	}
	return all, nil
}

// checkCertificates refuses files that openCertificates would. A certificate without a key
// is for the reader of the configuration to refuse.
func checkCertificates(c *config.Config) error {
	if c.TLS.On() && c.TLS.KeyFile == "" || c.AdminTLS.On() && c.AdminTLS.KeyFile == "" {
		return nil
	}
	_, err := openCertificates(c)
	return err
}

// each does something for every certificate.
func (c certificates) each(do func(listener string, k *certificate.Keeper)) {
	if c.public != nil {
		do("public", c.public)
	}
	if c.admin != nil {
		do("admin", c.admin)
	}
}

// open are the files of keys that everybody on this host may read.
func (c certificates) open() (files []string) {
	c.each(func(_ string, k *certificate.Keeper) {
		name := k.Files().Key
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o004 != 0 && !slices.Contains(files, name) {
			files = append(files, name)
		}
	})
	return files
}

// states are what Prometheus is told of them.
func (c certificates) states() (all []metrics.Certificate) {
	c.each(func(listener string, k *certificate.Keeper) {
		all = append(all, metrics.Certificate{Listener: listener, Until: k.Current().Until, Failing: k.Err() != nil})
	})
	return all
}

// stale says of which listeners the files are not what is in use; "" of none.
func (c certificates) stale() string {
	var faults []string
	c.each(func(listener string, k *certificate.Keeper) {
		if err := k.Err(); err != nil {
			faults = append(faults, "the certificate files of the "+listener+
				" listener are rejected, and those before stay in use: "+root(err))
		}
	})
	return strings.Join(faults, "; ")
}

// root is what an error wraps in the end, which names no file.
func root(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// exposure is a key that came in clear.
type exposure struct {
	text string
	from netip.Addr
}

// exposures are keys that came in clear and are still to be told of. Requests do not wait
// for that, so what comes too fast is not told.
type exposures struct{ waiting chan exposure }

const mostExposures = 64

func newExposures() *exposures { return &exposures{make(chan exposure, mostExposures)} }

func (e *exposures) add(text string, from netip.Addr) {
	select {
	case e.waiting <- exposure{text, from}:
	default:
	}
}
