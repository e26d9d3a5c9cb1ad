package config

import "crypto/tls"

// TLS is that of the public listener, and of the one for leaks. Without files they speak
// plain HTTP.
type TLS struct {
	CertFile   string   `yaml:"cert_file"` // the chain in PEM, its leaf first
	KeyFile    string   `yaml:"key_file"`
	MinVersion string   `yaml:"min_version"` // 1.2 or 1.3, at all listeners
	HSTS       Lifetime `yaml:"hsts"`        // for how long browsers come over TLS alone; off does not say
}

// AdminTLS is that of the admin listener.
type AdminTLS struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"` // authorities by which clients must have a certificate; "" asks for none
}

// On reports whether the public listener speaks TLS.
func (t TLS) On() bool { return t.CertFile != "" }

// On reports whether the admin listener speaks TLS.
func (t AdminTLS) On() bool { return t.CertFile != "" }

// Oldest is the oldest version of TLS that is spoken.
func (t TLS) Oldest() uint16 {
	if t.MinVersion == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}
