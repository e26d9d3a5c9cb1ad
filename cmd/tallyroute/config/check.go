package config

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/policy"
	"tallyroute/providers/secret"
	"tallyroute/router/federation"
)

// check records settings that can't work, one by one.
func (r *reader) check(cfg *Config) {
	r.checkListeners(cfg)
	r.checkTLS(cfg)
	r.checkDatabase(cfg)
	r.checkIntegrity(cfg.IntegrityEvery)
	r.checkJournal(cfg)
	r.checkDefaults(cfg.Defaults)
	r.checkNumbers(cfg)
	if p := cfg.Overrun.StopPercent; p < 0 || p > 100 {
		r.fault("overrun.stop_percent", "want 1 to 100, or 0 for any")
	}
	r.checkDurations(cfg.Timeouts)
	r.checkMembers(cfg.Members)
	r.checkGroups(cfg.ModelGroups)
	r.checkIdentity(cfg.IdentityIssuers)
	r.checkIdempotency(cfg.Idempotency.TTL)
	r.checkResponses(cfg.Responses)
	r.checkLeaks(cfg.Leaks)
	if t := cfg.Timeouts.KeyEnded; t < 0 || t > Duration(time.Hour) {
		r.fault("timeouts.key_ended", "want 0s to 1h")
	}
	r.checkSecrets(cfg.Secrets)
	r.checkSinks(cfg)
	r.checkLogin(cfg)
	r.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	r.oneOf("log.format", cfg.Log.Format, "auto", "json", "text")
}

func (r *reader) checkGroups(groups []ModelGroup) {
	seen := make(map[string]bool)
	for i, g := range groups {
		at := "model_groups[" + strconv.Itoa(i) + "]"
		switch {
		case !groupName.MatchString(g.Name):
			r.fault(at, "needs a name of letters, digits, - and _")
		case seen[g.Name]:
			r.fault(at, "is the second group %q", g.Name)
		case len(g.Models) == 0:
			r.fault(at, "needs models")
		}
		seen[g.Name] = true
		for _, m := range g.Models {
			if m == "" || strings.HasPrefix(m, "@") {
				r.fault(at+".models", "want names of models, or patterns such as openai/*")
			}
		}
	}
}

var groupName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (r *reader) checkListeners(cfg *Config) {
	if !isHostPort(cfg.Listen) {
		r.fault("listen", "want host:port, such as 127.0.0.1:8080")
	}
	for i, origin := range cfg.CORSOrigins {
		if cfg.CORSOrigins[i] = strings.ToLower(origin); origin != "*" && !isOrigin(cfg.CORSOrigins[i]) {
			r.fault("cors_origins", "want origins such as https://app.example, or *")
		}
	}
	for i, host := range cfg.AdminHosts {
		if cfg.AdminHosts[i] = strings.ToLower(host); host == "" || strings.ContainsAny(host, "/:*@ ") {
			r.fault("admin_hosts", "want names of hosts such as tallyroute.internal")
		}
	}
	if cfg.AdminOff() {
		return
	}
	if !isHostPort(cfg.AdminListen) {
		r.fault("admin_listen", "want host:port, such as 127.0.0.1:8081, or off")
	}
	if cfg.AdminListen == cfg.Listen && !strings.HasSuffix(cfg.Listen, ":0") {
		r.fault("admin_listen", "must not be the same as listen")
	}
}

// isOrigin reports whether s is an origin as browsers write it: a scheme and a host,
// perhaps with a port.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && s == u.Scheme+"://"+u.Host
}

// AdminOff reports whether the admin listener is disabled.
func (c *Config) AdminOff() bool { return c.AdminListen == "off" || c.AdminListen == "" }

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}

func (r *reader) checkDatabase(cfg *Config) {
	_, sqliteErr := cfg.Database.SQLitePath()
	if sqliteErr != nil && !cfg.Database.IsPostgres() && !secret.IsReference(string(cfg.Database)) {
		r.fault("database", "want sqlite:PATH, postgres://… or a reference such as env:DATABASE_URL")
	}
	if d := cfg.DatabaseDirect; d != "" && !d.IsPostgres() && !secret.IsReference(string(d)) {
		r.fault("database_direct", "want postgres://… or a reference such as env:DATABASE_DIRECT_URL")
	}
	if cfg.DatabaseDirect != "" && sqliteErr == nil {
		r.fault("database_direct", "is for PostgreSQL, but database is SQLite")
	}
	if cfg.DatabaseLogin != "" && sqliteErr == nil {
		r.fault("database_login", "is for PostgreSQL, but database is SQLite")
	}
	if cfg.DatabaseConnections < 0 || cfg.DatabaseConnections > 1000 {
		r.fault("database_connections", "want 1 to 1000, or 0 for the default")
	}
	if _, err := time.LoadLocation(cfg.ReportingTimezone); err != nil || cfg.ReportingTimezone == "Local" {
		r.fault("reporting_timezone", "want a name such as Europe/Berlin")
	}
}

// integrityPause is the minimum interval between integrity checks.
const integrityPause = Duration(time.Minute)

func (r *reader) checkIntegrity(every Duration) {
	if every != 0 && every < integrityPause {
		r.fault("integrity_every", "want at least 1m, or 0 for never")
	}
}

func (r *reader) checkJournal(cfg *Config) {
	r.oneOf("journal_sync", cfg.JournalSync, string(journal.SyncAlways), string(journal.SyncInterval), string(journal.SyncOff))
	if cfg.JournalMaxBytes < 1<<20 || cfg.JournalMaxBytes > 1<<40 {
		r.fault("journal_max_bytes", "want %d to %d", 1<<20, 1<<40)
	}
	if t := time.Duration(cfg.OfflineTTL); t < 2*time.Second || t > 24*time.Hour {
		r.fault("offline_ttl", "want 2s to 24h")
	}
	if keep := cfg.LeaversKeep; keep < Duration(time.Hour) || keep > Duration(366*24*time.Hour) {
		r.fault("leavers_keep", "want 1h to 366d")
	}
	if keep := cfg.EventsKeep; keep != 0 && keep < Duration(24*time.Hour) || keep > Duration(3660*24*time.Hour) {
		r.fault("events_keep", "want 1d to 3660d, or 0 for ever")
	}
	if keep := cfg.AccessKeep; keep != 0 && keep < Lifetime(24*time.Hour) || keep > Lifetime(3660*24*time.Hour) {
		r.fault("access_keep", "want 1d to 3660d, or off")
	}
	if cfg.ReplicaLostAfter > Duration(365*24*time.Hour) {
		r.fault("replica_lost_after", "want at most 365d, or 0 for never")
	}
}

func (r *reader) checkDefaults(d Defaults) {
	r.oneOf("defaults.on_unpriced", d.OnUnpriced, "block", "allow")
	if d.MaxOutputTokens < 0 {
		r.fault("defaults.max_output_tokens", "must not be negative")
	}
	b := d.KeyBudget
	if b.Period != "" && !isPeriod(b.Period) {
		r.fault("defaults.key_budget.period", "want one of %s", strings.Join(periodNames(), ", "))
	}
	if b.Period == "" && (b.USD != nil || b.Tokens != nil) {
		r.fault("defaults.key_budget", "needs a period: one of %s", strings.Join(periodNames(), ", "))
	}
	if most := billing.MostUsed(); b.Tokens != nil && (*b.Tokens < 0 || *b.Tokens > most.Tokens) {
		r.fault("defaults.key_budget.tokens", "want 0 to %d", most.Tokens)
	} else if b.USD != nil && *b.USD.Money() > most.Money {
		r.fault("defaults.key_budget.usd", "want at most %s", most.Money.Short())
	}
	if _, err := time.LoadLocation(b.Zone); err != nil {
		r.fault("defaults.key_budget.zone", "want a name such as Europe/Berlin")
	}
}

func periodNames() []string {
	return []string{
		string(billing.PeriodDay), string(billing.PeriodWeek), string(billing.PeriodMonth),
		string(billing.PeriodQuarter), string(billing.PeriodYear), string(billing.PeriodOnce),
	}
}

func isPeriod(p billing.Period) bool {
	for _, name := range periodNames() {
		if string(p) == name {
			return true
		}
	}
	return false
}

func (r *reader) checkNumbers(cfg *Config) {
	for _, n := range []struct {
		path             string
		value, low, high int64
	}{
		{"limits.max_body_bytes", cfg.Limits.MaxBodyBytes, 1 << 10, 256 << 20},
		{"limits.max_messages", cfg.Limits.MaxMessages, 1, 1_000_000},
		{"limits.max_parts", cfg.Limits.MaxParts, 1, 10_000_000},
		{"responses.per_key", cfg.Responses.PerKey, 1, 100_000},
		{"responses.bytes_per_key", cfg.Responses.BytesPerKey, 1 << 10, 1 << 40},
		{"responses.max_bytes", cfg.Responses.MaxBytes, 1 << 10, 1 << 40},
		{"limits.bytes_in_flight", cfg.Limits.BytesInFlight, 1 << 20, 1 << 40},
		{"limits.bytes_in_flight_per_key", cfg.Limits.BytesInFlightPerKey, 1 << 10, 1 << 40},
		{"limits.max_header_bytes", int64(cfg.Limits.MaxHeaderBytes), 4 << 10, 1 << 20},
		{"limits.max_connections", int64(cfg.Limits.MaxConnections), 1, 1_000_000},
		{"limits.background_calls", int64(cfg.Limits.BackgroundCalls), 0, 100_000},
		{"limits.background_calls_per_key", int64(cfg.Limits.BackgroundCallsPerKey), 0, 100_000},
		{"limits.idle_upstream_connections", int64(cfg.Limits.IdleUpstream), 1, 100_000},
		{"routing.max_attempts", int64(cfg.Routing.MaxAttempts), 1, 10},
	} {
		if n.value < n.low || n.value > n.high {
			r.fault(n.path, "want %d to %d", n.low, n.high)
		}
	}
}

func (r *reader) checkDurations(t Timeouts) {
	const longest = Duration(24 * time.Hour)
	for _, d := range []struct {
		path  string
		value Duration
	}{
		{"timeouts.read_header", t.ReadHeader},
		{"timeouts.read_body", t.ReadBody},
		{"timeouts.idle", t.Idle},
		{"timeouts.write", t.Write},
		{"timeouts.request", t.Request},
		{"timeouts.stream_silence", t.StreamSilence},
		{"timeouts.read", t.Read},
		{"timeouts.admin", t.Admin},
		{"timeouts.upstream_dial", t.UpstreamDial},
		{"timeouts.upstream_tls", t.UpstreamTLS},
		{"timeouts.upstream_first_content", t.UpstreamFirstContent},
		{"timeouts.upstream_stream_header", t.UpstreamStreamHeader},
		{"timeouts.upstream_idle", t.UpstreamIdle},
		{"timeouts.database_acquire", t.DatabaseAcquire},
		{"timeouts.database_statement", t.DatabaseStatement},
		{"timeouts.database_lock", t.DatabaseLock},
	} {
		if d.value <= 0 || d.value > longest {
			r.fault(d.path, "want more than 0 and at most 24h")
		}
	}
	for path, d := range map[string]Duration{
		"timeouts.shutdown": t.Shutdown, "timeouts.shutdown_wait": t.ShutdownWait,
		"timeouts.upstream_header": t.UpstreamHeader,
	} {
		if d < 0 || d > longest {
			r.fault(path, "want 0 to 24h")
		}
	}
}

// memberPath matches the path of a request field, prefixed by the name of a provider or of
// one of its models.
var memberPath = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*/([^\s]+/)?[A-Za-z0-9_:$-]{1,64}(\.[A-Za-z0-9_:$-]{1,64}){0,8}$`)

func (r *reader) checkMembers(m Members) {
	r.oneOf("members.refuse", m.Refuse, "budgeted", "all")
	for _, name := range m.Allow {
		if !memberPath.MatchString(name) {
			r.fault("members.allow", "want PROVIDER/MEMBER or PROVIDER/MODEL/MEMBER, the member as an error gives it, without positions: "+
				"openrouter/plugins, alibaba/qwen-vl/messages.content.fps")
		}
	}
}

func (r *reader) checkLeaks(l Leaks) {
	r.oneOf("leaks.action", l.Action, "revoke", "disable", "tell")
	if l.Listen != "off" && !isHostPort(l.Listen) {
		r.fault("leaks.listen", "want an address such as 127.0.0.1:8082, or off")
	}
	if !strings.HasPrefix(l.PublicKeys, "https://") && !strings.HasPrefix(l.PublicKeys, "file:") {
		r.fault("leaks.public_keys", "want an address with https:// or file:/path")
	}
}

// checkResponses requires a sensible limit on how long responses are kept.
func (r *reader) checkResponses(c Responses) {
	if c.Keep != 0 && (c.Keep < Lifetime(time.Minute) || c.Keep > Lifetime(90*24*time.Hour)) {
		r.fault("responses.keep", "want 1m to 90d, or off")
	}
}

func (r *reader) checkIdempotency(ttl Lifetime) {
	if ttl != 0 && (ttl < Lifetime(time.Minute) || ttl > Lifetime(30*24*time.Hour)) {
		r.fault("idempotency.ttl", "want 1m to 30d, or off")
	}
}

func (r *reader) checkIdentity(issuers []IdentityIssuer) {
	seen := make(map[string]bool)
	for i, s := range issuers {
		at := "identity_issuers[" + strconv.Itoa(i) + "]"
		switch {
		case !federation.Safe(s.Issuer):
			r.fault(at+".issuer", "want the https address that tokens have as iss, such as https://token.actions.githubusercontent.com")
		case seen[s.Issuer]:
			r.fault(at+".issuer", "is there twice: list its keys under one")
		}
		seen[s.Issuer] = true
		if s.Audience == "" {
			r.fault(at+".audience", "want what tokens are made for, such as tallyroute: others must not be good here")
		}
		if s.JWKSURL != "" && !federation.Safe(s.JWKSURL) {
			r.fault(at+".jwks_url", "want an https address")
		}
		if len(s.Keys) == 0 {
			r.fault(at+".keys", "want at least one key, with a condition on the claims")
		}
		for n, k := range s.Keys {
			r.checkIdentityKey(at+".keys["+strconv.Itoa(n)+"]", k)
		}
	}
}

func (r *reader) checkIdentityKey(at string, k IdentityKey) {
	if !strings.HasPrefix(k.Key, "key_") {
		r.fault(at+".key", "want the id of a key: tallyroute keys list")
	}
	if strings.TrimSpace(k.When) == "" {
		r.fault(at+".when", `want a condition on the claims, such as claims.repository == "acme/app"`)
	} else if _, err := policy.CompileClaims(k.When); err != nil {
		r.fault(at+".when", "%s", err)
	}
	if k.ExpiresIn < 0 || time.Duration(k.ExpiresIn) > federation.Longest {
		r.fault(at+".expires_in", "want 1s to 15m")
	}
}
