package config

import "path/filepath"

// CertificateFiles are the files of which it is told when what is in them expires.
func (c *Config) CertificateFiles() []string {
	var files []string
	seen := make(map[string]bool)
	for _, name := range append([]string{c.TLS.CertFile, c.AdminTLS.CertFile}, c.Alerts.Certificates...) {
		if at := filepath.Clean(name); name != "" && !seen[at] {
			seen[at] = true
			files = append(files, name)
		}
	}
	return files
}

func (r *reader) checkTLS(cfg *Config) {
	r.oneOf("tls.min_version", cfg.TLS.MinVersion, "1.2", "1.3")
	r.oneOf("exposed_keys", cfg.ExposedKeys, "tell", "disable", "revoke")
	for _, pair := range []struct{ at, cert, key string }{
		{"tls", cfg.TLS.CertFile, cfg.TLS.KeyFile}, {"admin_tls", cfg.AdminTLS.CertFile, cfg.AdminTLS.KeyFile},
	} {
		switch {
		case pair.cert != "" && pair.key == "":
			r.fault(pair.at+".key_file", "is needed beside cert_file")
		case pair.cert == "" && pair.key != "":
			r.fault(pair.at+".cert_file", "is needed beside key_file")
		}
	}
	if cfg.AdminTLS.ClientCAFile != "" && !cfg.AdminTLS.On() {
		r.fault("admin_tls.client_ca_file", "needs admin_tls.cert_file and key_file")
	}
}
