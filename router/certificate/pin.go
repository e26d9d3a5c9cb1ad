package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

var errStranger = errors.New("the listener has another certificate than the configuration names")

// Pin returns the configuration with which a program on the same host calls a listener whose
// certificate is in a file, under any address: only that certificate is trusted.
func Pin(file string) (*tls.Config, error) {
	own, err := Chain(file)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the certificate itself is compared
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) == 0 || !c.PeerCertificates[0].Equal(own[0]) {
				return errStranger
			}
			return nil
		},
	}, nil
}

// Trust returns the configuration for calling a server that authorities in a file vouch for, in
// addition to those of the system; "" trusts those of the system only. With pair, the client
// presents its own certificate.
func Trust(caFile string, pair Files) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: %w", caFile, ErrNone)
		}
	}
	if pair.Cert != "" || pair.Key != "" {
		own, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", pair.Cert, pair.Key, told(err))
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}
