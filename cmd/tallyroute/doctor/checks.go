package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/router/certificate"
)

// files checks the files that other users must not read.
func files(_ context.Context, p *patient) (all []Finding) {
	names := map[string]string{"tls.key_file": p.cfg.TLS.KeyFile, "admin_tls.key_file": p.cfg.AdminTLS.KeyFile}
	settings, tree := p.cfg.Literals()
	if len(settings) > 0 {
		names[strings.Join(settings, ", ")+", with its password, in the configuration"] = p.cfg.File
	}
	if tree != "" {
		all = append(all, Finding{
			Severity: Warning, Found: "the configuration holds a password in the git work tree " + tree,
			Do: "Refer to it: env:NAME, file:/path or, encrypted, age:…",
		})
	}
	if path, err := p.cfg.Database.SQLitePath(); err == nil {
		names["the database"] = path
	}
	for what, name := range names {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err == nil && info.Mode().Perm()&0o004 != 0 {
			all = append(all, Finding{
				Severity: Critical, Found: fmt.Sprintf("%s: everybody may read %s", what, name), Do: "chmod o-rwx " + name,
			})
		}
	}
	if len(all) == 0 {
		all = append(all, ok("no secret is in a file that everybody may read"))
	}
	return all
}

// listeners checks the addresses: each must be free, or be that of a router of ours.
func listeners(ctx context.Context, p *patient) (all []Finding) {
	all = append(all, at(ctx, "listen", p.cfg.Listen, app.PublicURL(p.cfg), p.cfg.TLS.CertFile))
	if !p.cfg.AdminOff() {
		all = append(all, at(ctx, "admin_listen", p.cfg.AdminListen, app.AdminURL(p.cfg), p.cfg.AdminTLS.CertFile))
	}
	if !local(p.cfg.Listen) && !p.cfg.TLS.On() && !p.cfg.RequireTLS {
		all = append(all, Finding{
			Severity: Warning, Found: "listen: keys may come in clear from other hosts",
			Do: "Set tls, or require_tls with a proxy of trusted_proxies that speaks TLS.",
		})
	}
	if !p.cfg.AdminOff() && !local(p.cfg.AdminListen) && !p.cfg.AdminTLS.On() && !p.cfg.RequireTLS {
		all = append(all, Finding{
			Severity: Warning, Found: "admin_listen: tokens may come in clear from other hosts",
			Do: "Set admin_tls, or listen on the loopback.",
		})
	}
	return all
}

func at(ctx context.Context, setting, address, base, certFile string) Finding {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		_ = l.Close()
		return ok("%s: %s is free", setting, address)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err == nil {
		var resp *http.Response
		if resp, err = (&http.Client{Transport: app.OwnTransport(certFile)}).Do(r); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return ok("%s: a router answers at %s", setting, address)
			}
		}
	}
	return Finding{
		Severity: Critical, Found: fmt.Sprintf("%s: %s cannot be listened at, and no router answers there", setting, address),
		Do: "End the program that listens there, or choose another port.",
	}
}

// local reports whether an address can't be reached from other hosts.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// soon is how long before a certificate expires that we report it.
const soon = 14 * 24 * time.Hour

// encryption checks the certificates of the listeners.
func encryption(_ context.Context, p *patient) (all []Finding) {
	for setting, from := range app.CertificatesOf(p.cfg) {
		pair, err := certificate.Read(from)
		if err != nil {
			all = append(all, Finding{
				Severity: Critical, Found: setting + ": " + err.Error(),
				Do: "Put a chain and the key of its leaf there.",
			})
			continue
		}
		switch left := time.Until(pair.Until); {
		case left <= 0:
			all = append(all, Finding{
				Severity: Critical, Found: fmt.Sprintf("%s: expired on %s", setting, pair.Until.Format(time.DateOnly)),
				Do: "Replace the files; running routers take them up.",
			})
		case left < soon:
			all = append(all, Finding{
				Severity: Warning, Found: fmt.Sprintf("%s: expires on %s", setting, pair.Until.Format(time.DateOnly)),
				Do: "Replace the files; running routers take them up.",
			})
		default:
			all = append(all, ok("%s: for %v, until %s", setting, pair.Names, pair.Until.Format(time.DateOnly)))
		}
	}
	if len(all) == 0 {
		all = append(all, Finding{Severity: Info, Found: "no listener speaks TLS", Do: "See docs/tls.md, unless a proxy does."})
	}
	return all
}

// database checks that the database answers and has this version's schema. It doesn't
// create one.
func database(ctx context.Context, p *patient) []Finding {
	if path, missing := p.cfg.Database.Missing(); missing {
		return []Finding{{Severity: Info, Found: "there is none at " + path, Do: "tallyroute serve makes it."}}
	}
	store, err := app.OpenStore(ctx, p.cfg)
	if err == nil {
		defer func() { _ = store.Close() }()
		err = store.Ready(ctx)
	}
	switch {
	case errors.Is(err, billing.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return []Finding{{Severity: Critical, Found: "it does not answer", Do: "See whether it runs, and is reached from this host."}}
	case err != nil:
		return []Finding{{
			Severity: Critical, Found: "it cannot be used: " + err.Error(),
			Do: "tallyroute migrate, by the version that runs.",
		}}
	}
	all := []Finding{ok("it answers, and its tables are those of this version")}
	if server, is := store.Database.(billing.Inspector); is {
		all = append(all, inspected(ctx, server)...)
	}
	return all
}

// skew is how far apart the clocks of two hosts may be.
const skew = 2 * time.Second

// inspected checks what the server reports: privileges, TLS and the clock.
func inspected(ctx context.Context, server billing.Inspector) (all []Finding) {
	st, err := server.Inspect(ctx)
	if err != nil {
		return []Finding{{Severity: Warning, Found: "its rights cannot be read: " + err.Error(), Do: "Try again."}}
	}
	if len(st.Powers) > 0 {
		all = append(all, Finding{
			Severity: Warning,
			Found:    fmt.Sprintf("the user %s has %s, which the router needs none of", st.User, strings.Join(st.Powers, ", ")),
			Do: fmt.Sprintf("Give it a user of its own that owns its tables; or ALTER ROLE %q NO%s.", st.User,
				strings.Join(st.Powers, " NO")),
		})
	}
	if len(st.Lacks) > 0 {
		all = append(all, Finding{
			Severity: Critical, Found: fmt.Sprintf("the user %s may not read and write %s", st.User, strings.Join(st.Lacks, ", ")),
			Do: fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %q;", st.User),
		})
	}
	if len(all) == 0 {
		all = append(all, ok("the user %s may do what it has to, and no more", st.User))
	}
	switch {
	case st.TLS != "" && st.Unverified && !st.Local:
		all = append(all, Finding{
			Severity: Warning, Found: "it is reached by " + st.TLS + ", and nobody checks whose certificate that is",
			Do: "Set sslmode=verify-full in database, with sslrootcert=FILE where a private authority signs.",
		})
	case st.TLS != "":
		all = append(all, ok("it is reached by %s", st.TLS))
	case st.Local:
		all = append(all, ok("it is on this host"))
	default:
		all = append(all, Finding{
			Severity: Warning, Found: "it is reached in the clear, over a network", Do: "Add sslmode=verify-full to database.",
		})
	}
	if st.Ahead.Abs() > skew {
		return append(all, Finding{
			Severity: Warning, Found: fmt.Sprintf("its clock is %s off this host's", st.Ahead.Abs().Round(time.Second/10)),
			Do: "Keep both by NTP: periods of budgets and expiry go by them.",
		})
	}
	return append(all, ok("its clock agrees with this host's"))
}

// least is the minimum free space on a disk that is written to, in bytes.
const least = 1 << 30

// disk checks the directories that are written to: whether they are writable, and how much
// space is left.
func disk(_ context.Context, p *patient) (all []Finding) {
	seen := make(map[string]bool)
	for _, dir := range []string{p.cfg.Journal, folder(p)} {
		if dir == "" || dir == "off" || seen[dir] {
			continue
		}
		seen[dir] = true
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			dir = filepath.Dir(dir)
		}
		if err := written(dir); err != nil {
			all = append(all, Finding{
				Severity: Critical, Found: dir + " cannot be written and synced: " + err.Error(),
				Do: "Let the router write there.",
			})
			continue
		}
		left, _, err := free(dir)
		if err == nil && left < least {
			all = append(all, Finding{Severity: Warning, Found: fmt.Sprintf("%s: %d MiB are free", dir, left>>20), Do: "Make room."})
			continue
		}
		all = append(all, ok("%s can be written; %d MiB are free", dir, left>>20))
	}
	return all
}

// folder returns the database's directory, or else the working directory, where an unnamed
// journal goes.
func folder(p *patient) string {
	if path, err := p.cfg.Database.SQLitePath(); err == nil {
		return filepath.Dir(path)
	}
	if p.cfg.Journal == "" {
		return "."
	}
	return ""
}

// written tests that a file can be written and synced in a directory, and removes it.
func written(dir string) error {
	f, err := os.CreateTemp(dir, ".tallyroute-doctor-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("x")
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// stale is the maximum age of the newest price.
const stale = 90 * 24 * time.Hour

// prices checks the prices in the catalogue.
func prices(_ context.Context, p *patient) []Finding {
	var newest time.Time
	for _, one := range p.catalogue.Prices() {
		if one.Since.After(newest) && one.Since.Before(time.Now()) {
			newest = one.Since
		}
	}
	if newest.IsZero() {
		return []Finding{{
			Severity: Warning, Found: "no model has a price",
			Do: "Put the credential of a provider into the router's environment: docs/providers.md.",
		}}
	}
	if time.Since(newest) > stale {
		return []Finding{{
			Severity: Warning, Found: "the newest price is of " + newest.Format(time.DateOnly), Do: "tallyroute catalogue update",
		}}
	}
	return []Finding{ok("the newest price is of %s", newest.Format(time.DateOnly))}
}

// keysOf counts keys that never expire or that have no budget.
func keysOf(ctx context.Context, p *patient) []Finding {
	if _, missing := p.cfg.Database.Missing(); missing {
		return nil
	}
	store, err := app.OpenStore(ctx, p.cfg)
	if err != nil {
		return nil // the database check reports this
	}
	defer func() { _ = store.Close() }()
	all, _, err := manage.Actions{Store: store}.Keys(ctx, billing.KeyFilter{})
	if err != nil {
		return nil
	}
	endless, boundless := 0, 0
	for i := range all {
		if all[i].InForce(time.Now()) != nil {
			continue
		}
		if all[i].ExpiresAt.IsZero() {
			endless++
		}
		if len(all[i].Budgets) == 0 {
			boundless++
		}
	}
	if endless+boundless == 0 {
		return []Finding{ok("those in force expire and have budgets")}
	}
	return []Finding{{
		Severity: Info, Found: fmt.Sprintf("of the first %d, %d in force never expire, and no budget binds %d", len(all), endless,
			boundless),
		Do: "tallyroute keys update --expires …; tallyroute budgets set key …",
	}}
}

// secretsOf checks the references in the configuration: whether each can be resolved, above
// all the pepper, and whether the managers' logins have more permissions than they need.
func secretsOf(ctx context.Context, p *patient) (all []Finding) {
	report, err := app.CheckSecrets(ctx, p.cfg, p.catalogue)
	if err != nil {
		return []Finding{{Severity: Critical, Found: err.Error(), Do: "Mend the section secrets."}}
	}
	for _, ref := range slices.Sorted(maps.Keys(report.Missing)) {
		all = append(all, Finding{
			Severity: Critical, Found: fmt.Sprintf("%s cannot be read: %s", ref, report.Missing[ref]),
			Do: "Put it there, or let the router read it.",
		})
	}
	for _, wide := range report.Wide {
		all = append(all, Finding{
			Severity: Warning, Found: wide, Do: "Give the router a policy for its own secrets alone: docs/secrets.md.",
		})
	}
	for _, why := range report.Unclear {
		all = append(all, Finding{
			Severity: Info, Found: "what else the login may do cannot be found out: " + why, Do: "Look at its policy: docs/secrets.md.",
		})
	}
	if report.Pepper != nil {
		all = append(all, Finding{
			Severity: Critical, Found: report.Pepper.Error(), Do: "Put the right one back: without it no key is known.",
		})
	}
	if len(all) == 0 {
		all = append(all, ok("%d secrets can be read, and the pepper is that of the database", report.Read))
	}
	return all
}
