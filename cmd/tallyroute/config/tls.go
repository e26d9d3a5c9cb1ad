package config

import "crypto/tls"

// TLS configures TLS on the public listener and the one for leaks. Without files they speak
// plain HTTP.
type TLS struct {
	CertFile   string   `yaml:"cert_file"` // the chain in PEM, leaf first
	KeyFile    string   `yaml:"key_file"`
	MinVersion string   `yaml:"min_version"` // 1.2 or 1.3, on all listeners
	HSTS       Lifetime `yaml:"hsts"`        // for how long browsers must only use TLS; off sends no header
}

// AdminTLS configures TLS on the admin listener.
type AdminTLS struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"` // CA certificates that client certificates must chain to; "" requires none
}

// On reports whether the public listener speaks TLS.
func (t TLS) On() bool { return t.CertFile != "" }

// On reports whether the admin listener speaks TLS.
func (t AdminTLS) On() bool { return t.CertFile != "" }

// Oldest returns the oldest TLS version that is accepted.
func (t TLS) Oldest() uint16 {
	if t.MinVersion == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}
