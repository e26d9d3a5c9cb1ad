package config

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"tallyroute/billing/rbac"
)

// checkLogin records what cannot work of logins and roles.
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
	}
}

// secureURL reports an address over TLS, or on the loopback.
func secureURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}
