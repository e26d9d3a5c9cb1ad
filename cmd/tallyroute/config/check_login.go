package config

import (
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
)

// checkLogin records settings of logins and roles that can't work.
func (r *reader) checkLogin(cfg *Config) {
	roles, err := rbac.NewRoles(cfg.OwnRoles())
	if err != nil {
		r.fault("roles", "%s", err)
		roles = rbac.BuiltIn()
	}
	for i, own := range cfg.Roles {
		if slices.ContainsFunc(cfg.Roles[:i], func(o OwnRole) bool { return o.Name == own.Name }) || own.Name == "" {
			r.fault("roles["+strconv.Itoa(i)+"]", "needs a name of its own")
		}
	}
	l := cfg.Login
	if l.Issuer == "" {
		if l.ClientID != "" || len(l.Groups) > 0 {
			r.fault("login.issuer", "is needed for a login")
		}
		return
	}
	if !secureURL(l.Issuer) {
		r.fault("login.issuer", "want the issuer of an OpenID provider, such as https://login.example.com; http only on the loopback")
	}
	if l.ClientID == "" {
		r.fault("login.client_id", "is needed for a login")
	}
	if l.URL != "" && !secureURL(l.URL) {
		r.fault("login.url", "want the address of the admin listener in browsers, such as https://tallyroute.example.com; http only on "+
			"the loopback")
	}
	for path, d := range map[string]Duration{"login.idle": l.Idle, "login.absolute": l.Absolute} {
		if d < Duration(time.Minute) || d > Duration(30*24*time.Hour) {
			r.fault(path, "want 1m to 30d")
		}
	}
	if l.StepUp < Duration(10*time.Second) || l.StepUp > Duration(time.Hour) {
		r.fault("login.step_up", "want 10s to 1h")
	}
	for i, g := range l.Groups {
		at := "login.groups[" + strconv.Itoa(i) + "]"
		switch _, known := roles[g.Role]; {
		case g.Group == "":
			r.fault(at+".group", "is needed")
		case !known:
			r.fault(at+".role", "there is no role %q", g.Role)
		case g.Team != "" && g.Project != "":
			r.fault(at, "want team or project, not both")
		}
		if detail := policy.Guard(g.Must).Fault(); detail != "" {
			r.fault(at+".must", "%s", detail)
		}
	}
}

// secureURL reports whether s is an address that uses TLS or the loopback interface.
func secureURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}

// CertificateFiles returns the files that alerts about expiring certificates cover.
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
	for i, one := range cfg.AdminCertificates {
		at := "admin_certificates[" + strconv.Itoa(i) + "]"
		switch {
		case cfg.AdminTLS.ClientCAFile == "":
			r.fault(at, "needs admin_tls.client_ca_file, whose authorities vouch for it")
		case one.Name == "" || one.Principal == "":
			r.fault(at, "want {name: …, principal: …}: a URI, DNS name or address of the certificate or CN=…, and a principal")
		case slices.ContainsFunc(cfg.AdminCertificates[:i], func(o Certified) bool { return o.Name == one.Name }):
			r.fault(at, "has the name %s twice", one.Name)
		}
	}
}
