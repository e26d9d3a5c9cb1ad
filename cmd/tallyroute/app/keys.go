package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/secret"
	"tallyroute/router/admin"
	"tallyroute/router/identity"
	"tallyroute/router/leaks"
	"tallyroute/router/server"
	"tallyroute/router/web"
)

const (
	// keyLife is how long a cached key may be used while the database answers. It is less
	// than the one second within which a revocation takes effect everywhere, because asking
	// takes a moment, and longer through a pooler or on a busy machine.
	keyLife = 750 * time.Millisecond
	// pollEvery is how often the keys of running streams are checked, whether or not the
	// database sends notices: a notice may be lost along with its connection.
	pollEvery = 500 * time.Millisecond
	// pollPatience is how long such a check may take.
	pollPatience = 2 * time.Second
	// listenAgain is how long we wait before reconnecting to the database after a lost
	// connection.
	listenAgain = time.Second
)

// listenForKeys listens for the database's notices of changes to keys, until ctx ends. If
// the database can't send any, whoever uses a key confirms it every second.
func (s *Service) listenForKeys(ctx context.Context) error {
	feed, ok := s.store.Database.(billing.KeyFeed)
	if !ok {
		return nil
	}
	told := false
	for Wait(ctx, listenAgain) {
		err := feed.FollowKeys(ctx, func() { told = false; s.endKeys(ctx) }, s.keyChanged)
		if errors.Is(err, billing.ErrNoFeed) {
			s.Log.Info("the database is behind a pooler, so keys are looked at every second; database_direct has changes told at once")
			return nil
		}
		if err != nil && ctx.Err() == nil && !told {
			told = true
			s.Log.Warn("the database does not tell of changes of keys for now; they are looked at every second", zap.Error(err))
		}
	}
	return nil
}

// keyChanged handles a notice. It doesn't query the database, because the next notice may
// be waiting.
func (s *Service) keyChanged(n billing.KeyNotice) {
	s.verifier.Changed(n)
	s.metrics.KeyLag(s.ledger.now().Sub(n.At))
	if errors.Is(n.Ended, billing.ErrRevoked) || errors.Is(n.Ended, billing.ErrDisabled) {
		s.endUse(n.KeyID, n.Refusal())
	}
}

// pollKeys ends the requests in flight of keys that have ended, until ctx ends.
func (s *Service) pollKeys(ctx context.Context) error {
	for Wait(ctx, pollEvery) {
		s.endKeys(ctx)
	}
	return nil
}

// endKeys ends the requests in flight of keys that can no longer be used.
func (s *Service) endKeys(ctx context.Context) {
	ids := s.inUse.Followed()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pollPatience)
	defer cancel()
	now := s.ledger.now()
	ended, err := s.store.EndedKeys(ctx, ids, now)
	if err != nil {
		return // offline_ttl decides how long cached keys stay valid
	}
	for i := range ended {
		k := &ended[i]
		s.verifier.Changed(billing.KeyNotice{KeyID: k.ID, Version: k.Version, At: now})
		if err := k.InForce(now); err != nil {
			s.endUse(k.ID, err)
		}
	}
}

// endUse ends the requests in flight of a key, after the configured grace period.
func (s *Service) endUse(id billing.KeyID, why error) {
	if grace := time.Duration(s.now().cfg.Timeouts.KeyEnded); grace > 0 {
		time.AfterFunc(grace, func() { s.inUse.End(id, why) })
		return
	}
	s.inUse.End(id, why)
}

// handOver reveals the secret of a hand-over.
func (s *Service) handOver(ctx context.Context, token, from string) (server.Handed, error) {
	done, err := manage.Actions{Store: s.store, Pepper: s.pepper.Pepper}.TakeHandover(ctx, token, from)
	if err != nil {
		return server.Handed{}, err
	}
	return server.Handed{KeyID: done.Key.ID, Version: done.Number, Secret: done.Secret.Reveal()}, nil
}

// inClear handles a plain-text request to a TLS port.
func (s *Service) inClear(r *http.Request) {
	cfg := s.now().cfg
	if text := server.Credential(r); text != "" && cfg.RequireTLS && web.Clear(r, nil) {
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		s.exposed.add(text, from.Addr().Unmap().WithZone(""))
	}
}

// openLeaks opens the listener that receives reports of secrets found in public.
func (s *Service) openLeaks(ctx context.Context, cfg *config.Config) (err error) {
	if cfg.Leaks.Listen == "off" {
		return nil
	}
	intake := web.NewServer(webLimits(cfg), s.Log)
	intake.Strict = time.Duration(cfg.TLS.HSTS)
	intake.Handle(leaks.Handler(leaks.Options{
		Keys: &leaks.Keys{Fetch: publicKeys(cfg.Leaks.PublicKeys)}, Take: s.takeLeak,
		Failed: func(err error) { s.Log.Error("a report of a leak failed", zap.Error(err)) },
	}))
	if s.leaks, err = listen(ctx, "leaks", cfg.Leaks.Listen, intake.Server); err == nil {
		s.leaks.encrypt(s.certs.public, nil)
	}
	return err
}

func (s *Service) takeLeak(ctx context.Context, l manage.Leak) (known bool, err error) {
	by := manage.By{Actor: "secret-scanning", Source: "leaks"}
	return s.Actions().TakeLeak(ctx, l, manage.LeakAction(s.now().cfg.Leaks.Action), by)
}

// mostPublicKeys is the maximum size of a list of public keys, in bytes.
const mostPublicKeys = 1 << 20

// publicKeys returns a function that reads a list of public keys from a file or over HTTPS.
func publicKeys(from string) func(context.Context) ([]byte, error) {
	if path, ok := strings.CutPrefix(from, "file:"); ok {
		return func(context.Context) ([]byte, error) { return os.ReadFile(path) }
	}
	client := &http.Client{Timeout: 10 * time.Second}
	return func(ctx context.Context) (text []byte, err error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, resp.Body.Close()) }()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers with status %d", from, resp.StatusCode)
		}
		return io.ReadAll(io.LimitReader(resp.Body, mostPublicKeys))
	}
}

// login sets up how people log in to n. The identity provider's client survives a reload
// that doesn't change it, because it caches the provider's keys.
func (s *Service) login(ctx context.Context, n *snapshot) error {
	l := n.cfg.Login
	if l.Issuer == "" {
		return nil
	}
	n.identity = identity.Config{Issuer: l.Issuer, ClientID: l.ClientID, Scopes: l.Scopes, GroupsClaim: l.GroupsClaim}
	if l.ClientSecret != "" {
		text, err := secret.Resolve(ctx, string(l.ClientSecret))
		if err != nil {
			return fmt.Errorf("login.client_secret: %w", err)
		}
		n.identity.ClientSecret = text.Reveal()
	}
	n.people = &admin.Login{URL: l.URL, Rules: loginRules(l), Provider: identity.New(n.identity)}
	if old := s.now(); old != nil && old.people != nil && reflect.DeepEqual(old.identity, n.identity) {
		n.people.Provider = old.people.Provider
	}
	return nil
}

func loginRules(l config.Login) manage.LoginRules {
	rules := manage.LoginRules{
		MFA: l.MFA, Idle: time.Duration(l.Idle), Absolute: time.Duration(l.Absolute), StepUp: time.Duration(l.StepUp),
	}
	for _, g := range l.Groups {
		r := manage.GroupRole{Group: g.Group, Role: g.Role, Must: g.Must}
		switch {
		case g.Team != "":
			r.Scope, r.Of = billing.ScopeTeam, g.Team
		case g.Project != "":
			r.Scope, r.Of = billing.ScopeProject, g.Project
		}
		rules.Roles = append(rules.Roles, r)
	}
	return rules
}

// Roles returns the roles of a configuration that has already been checked.
func Roles(c *config.Config) rbac.Roles {
	roles, err := rbac.NewRoles(c.OwnRoles())
	if err != nil {
		return rbac.BuiltIn()
	}
	return roles
}
