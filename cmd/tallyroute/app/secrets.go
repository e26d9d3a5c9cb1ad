package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/managers"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers"
	"tallyroute/providers/identity"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
	"tallyroute/providers/secret/kubernetes"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/sink"
)

// once returns a keeper for a single reading of the configuration.
func once(c *config.Config) (*manager.Keeper, error) {
	return managers.New(c.Secrets, &identity.Host{}, manager.Options{})
}

// ReadSecret reads what ref refers to, once.
func ReadSecret(ctx context.Context, c *config.Config, ref string) (secret.Value, error) {
	from, err := once(c)
	if err != nil {
		return secret.Value{}, err
	}
	return from.Resolve(ctx, ref)
}

// credential reads what ref refers to; ok is false if ref is empty.
func credential(ctx context.Context, from *manager.Keeper, ref config.SecretRef) (v secret.Value, ok bool, err error) {
	if ref == "" {
		return secret.Value{}, false, nil
	}
	v, err = from.Resolve(ctx, string(ref))
	return v, err == nil, err
}

// proxy returns the proxy for calls to providers (nil for a direct connection) and its
// address as written, which may contain a password.
func proxy(ctx context.Context, from *manager.Keeper, ref config.ProxyRef) (p *providers.Proxy, at string, err error) {
	at = string(ref)
	if secret.IsReference(at) {
		var v secret.Value
		v, err = from.Resolve(ctx, at)
		at = v.Reveal()
	}
	if err == nil {
		p, err = providers.NewProxy(at)
	}
	if err != nil {
		return nil, "", fmt.Errorf("upstream_proxy: %w", err)
	}
	return p, at, nil
}

// responseKey returns the key that encrypts kept responses where the configuration has none.
func responseKey(p billing.Pepper) envelope.Key {
	key, _ := envelope.FromBytes(p.Derive("tallyroute responses")) // of the right length
	return key
}

// ring returns the keys that encrypt stored credentials and kept responses. Without any, no
// credential can be stored. The pepper's own key, where there is a pepper, only opens.
func ring(ctx context.Context, from *manager.Keeper, c *config.Config, p billing.Pepper) (*envelope.Ring, error) {
	var keys []envelope.Key
	for _, at := range []struct {
		setting string
		ref     config.SecretRef
	}{{"secrets.encryption_key", c.Secrets.Key}, {"secrets.previous_encryption_key", c.Secrets.Previous}} {
		v, ok, err := credential(ctx, from, at.ref)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at.setting, err)
		}
		if !ok {
			continue
		}
		k, err := envelope.ParseKey(v.Reveal())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at.setting, err)
		}
		keys = append(keys, k)
	}
	if p == (billing.Pepper{}) {
		return envelope.NewRing(keys...), nil
	}
	return envelope.NewRing(keys...).Opening(responseKey(p)), nil
}

// database returns the connection string, which may itself be kept as a secret.
func database(ctx context.Context, from *manager.Keeper, d config.DSN) (config.DSN, error) {
	if !secret.IsReference(string(d)) {
		return d, nil
	}
	v, err := from.Resolve(ctx, string(d))
	return config.DSN(v.Reveal()), err
}

// PepperFile is where the pepper is kept unless the configuration says otherwise.
const PepperFile = "tallyroute.pepper"

// pepperSetting is the name under which a database remembers the id of its pepper.
const pepperSetting = "pepper_id"

// Pepper is the pepper and where it was found.
type Pepper struct {
	billing.Pepper
	where string
	fresh bool // just created, in a file of our own
}

// ReadPepper reads the pepper, or creates one in a file beside the database on first use.
func ReadPepper(ctx context.Context, c *config.Config) (Pepper, error) {
	from, err := once(c)
	if err != nil {
		return Pepper{}, err
	}
	return readPepper(ctx, from, c)
}

func readPepper(ctx context.Context, from *manager.Keeper, c *config.Config) (Pepper, error) {
	if v, ok, err := credential(ctx, from, c.KeyPepper); ok || err != nil {
		if err != nil {
			return Pepper{}, fmt.Errorf("key_pepper: %w", err)
		}
		p, err := billing.ParsePepper(v.Reveal())
		if err != nil {
			return Pepper{}, fmt.Errorf("key_pepper: %w", err)
		}
		return Pepper{Pepper: p, where: "key_pepper"}, nil
	}
	path := pepperFile(c)
	fresh, err := makePepper(path)
	if err != nil {
		return Pepper{}, fmt.Errorf("key_pepper: %w", err)
	}
	v, err := secret.Resolve(ctx, "file:"+path)
	if err != nil {
		return Pepper{}, fmt.Errorf("key_pepper: %w", err)
	}
	p, err := billing.ParsePepper(v.Reveal())
	if err != nil {
		return Pepper{}, fmt.Errorf("key_pepper: %s: %w", path, err)
	}
	return Pepper{Pepper: p, where: path, fresh: fresh}, nil
}

// pepperFile returns where the pepper is if the configuration doesn't say.
func pepperFile(c *config.Config) string {
	if db, err := c.Database.SQLitePath(); err == nil {
		return filepath.Join(filepath.Dir(db), PepperFile)
	}
	return PepperFile
}

// checkPepper is ReadPepper without creating one.
func checkPepper(ctx context.Context, from *manager.Keeper, c *config.Config) error {
	if c.KeyPepper == "" {
		if _, err := os.Stat(pepperFile(c)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	_, err := readPepper(ctx, from, c)
	return err
}

// adminToken returns the token that opens the admin API; "" if that is switched off.
func adminToken(ctx context.Context, from *manager.Keeper, cfg *config.Config) (string, error) {
	v, ok, err := credential(ctx, from, cfg.AdminToken)
	if err != nil {
		return "", fmt.Errorf("admin_token: %w", err)
	}
	if !ok {
		return "", nil
	}
	token, err := billing.ParseSecret(v.Reveal())
	if err != nil || token.Environment() != billing.EnvironmentAdmin {
		return "", errAdminToken
	}
	return token.Reveal(), nil
}

var errAdminToken = errors.New("admin_token: not an admin token; make one with: tallyroute admin token")

// makePepper writes a new pepper to path, unless there already is one. The file appears
// whole or not at all, even if two processes try at once.
func makePepper(path string) (fresh bool, err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	p, err := billing.NewPepper(rand.Reader)
	if err != nil {
		return false, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tallyroute-pepper-*") // with mode 0600
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(p.Reveal() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return false, err
	}
	err = os.Link(f.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// wrongPepperError means that the pepper isn't the one with which the database's keys were
// hashed: with it, every key would be unknown.
type wrongPepperError struct{ where string }

func (e *wrongPepperError) Error() string {
	return fmt.Sprintf("the pepper in %s is not the one that this database's keys were made with; "+
		"put the right one back, or point key_pepper at it", e.where)
}

// Confirm compares p with the pepper that the database remembers.
func (p Pepper) Confirm(ctx context.Context, s billing.Store) error {
	id, err := s.Setting(ctx, pepperSetting, p.ID())
	if err != nil {
		return err
	}
	if id == p.ID() {
		return nil
	}
	if p.fresh {
		if err := os.Remove(p.where); err != nil { // it would hide that the right one is missing
			return err
		}
	}
	return &wrongPepperError{p.where}
}

// sinks returns the places that key secrets can be delivered to, by name.
func sinks(ctx context.Context, from *manager.Keeper, cfg *config.Config) (map[string]manage.Sink, error) {
	all := make(map[string]manage.Sink, len(cfg.Sinks))
	for _, text := range cfg.Sinks {
		s, _ := config.ParseSink(text) // checked when it was read
		switch s.Kind {
		case "file":
			all[s.Name] = sink.File{Dir: s.At}
		case "kubernetes":
			k, err := kubernetes.InCluster(s.At)
			if err != nil {
				return nil, fmt.Errorf("sinks: %s: %w", s.Name, err)
			}
			all[s.Name] = k
		case "webhook":
			key, _, err := credential(ctx, from, cfg.WebhookSecret)
			if err != nil {
				return nil, fmt.Errorf("webhook_secret: %w", err)
			}
			all[s.Name] = sink.Webhook{URL: s.At, Secret: key.Reveal(), Client: &http.Client{}, Clock: time.Now}
		default:
			m, ok := from.Manager(s.Kind)
			if !ok {
				return nil, fmt.Errorf("sinks: %s: %w", s.Name, &secret.UnmanagedError{Scheme: s.Kind})
			}
			all[s.Name] = managers.Below{Manager: m, At: s.At}
		}
	}
	return all, nil
}

// secretHappening is an event in the life of a secret, and when it occurred.
type secretHappening struct {
	manager.Report
	at time.Time
}

// mostHappenings is how many may be queued for the database. Any beyond that are only
// logged.
const mostHappenings = 1024

// secrets holds the secrets kept by secret managers, with the events to report about them.
type secrets struct {
	*manager.Keeper
	host     *identity.Host // this process's identity, as managers and providers see it
	log      *zap.Logger
	metrics  *metrics.Metrics
	rotated  chan struct{}        // signals that a secret has changed since the configuration was read
	happened chan secretHappening // to be written down

	mu     sync.Mutex
	sealed map[string]manager.State // stored credentials that can't be opened, by reference
}

// openSecrets makes the keeper of secrets from secret managers.
func openSecrets(cfg *config.Config, log *zap.Logger, m *metrics.Metrics) (*secrets, error) {
	s := &secrets{
		host: &identity.Host{}, log: log, metrics: m,
		rotated: make(chan struct{}, 1), happened: make(chan secretHappening, mostHappenings),
	}
	k, err := managers.New(cfg.Secrets, s.host, manager.Options{Report: s.changed})
	if err != nil {
		return nil, err
	}
	s.Keeper = k
	m.WatchSecrets(s.states)
	return s, nil
}

// states returns the state of every secret: those in managers, and stored credentials that
// can't be opened.
func (s *secrets) states() []manager.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.States()
	for _, ref := range slices.Sorted(maps.Keys(s.sealed)) {
		list = append(list, s.sealed[ref])
	}
	return list
}

// opened reports which stored credentials can no longer be opened, and which can again.
func (s *secrets) opened(l *upstream.Loaded) {
	now := time.Now()
	sealed := make(map[string]manager.State)
	for name, err := range l.Unreadable {
		sealed[storedRef+name] = manager.State{Ref: storedRef + name, Err: err, Since: now}
	}
	for name, err := range l.Held {
		sealed[storedRef+name] = manager.State{Ref: storedRef + name, Err: err, Since: now, Fetched: now}
	}
	s.mu.Lock()
	before := s.sealed
	for ref, st := range sealed {
		if was, is := before[ref]; is {
			st.Since = was.Since
			sealed[ref] = st
		}
	}
	s.sealed = sealed
	s.mu.Unlock()
	for _, ref := range slices.Sorted(maps.Keys(sealed)) {
		if _, is := before[ref]; !is {
			s.changed(manager.Report{Ref: ref, What: manager.Failed, Err: sealed[ref].Err, Known: !sealed[ref].Fetched.IsZero()})
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(before)) {
		if _, is := sealed[ref]; !is && l.Opened(strings.TrimPrefix(ref, storedRef)) {
			s.changed(manager.Report{Ref: ref, What: manager.Recovered})
		}
	}
}

// storedRef is the prefix of a stored credential's name among the secrets.
const storedRef = secret.Stored + ":"

// changed reports what happened to a secret. It blocks nobody: the first use of a version
// is reported by the request that uses it.
func (s *secrets) changed(r manager.Report) {
	fields := []zap.Field{zap.String("secret", r.Ref), zap.String("version", r.Version)}
	switch {
	case r.What == manager.Failed && strings.HasPrefix(r.Ref, storedRef):
		s.log.Error("a stored credential cannot be opened", append(fields, zap.Bool("goes_on", r.Known), zap.Error(r.Err))...)
	case r.What == manager.Failed && r.Known:
		s.log.Error("a secret cannot be fetched; the last known version stays in use", append(fields, zap.Error(r.Err))...)
	case r.What == manager.Failed:
		s.log.Error("a secret cannot be fetched, and no version of it is known", append(fields, zap.Error(r.Err))...)
	case r.What == manager.FirstUse:
		s.log.Info("a version of a secret is used for the first time", fields...)
	default:
		s.log.Info("a secret was "+r.What, fields...)
	}
	s.metrics.SecretChanged(r.What)
	select {
	case s.happened <- secretHappening{r, time.Now()}:
	default:
	}
	if r.What == manager.Rotated || r.What == manager.Recovered {
		select {
		case s.rotated <- struct{}{}:
		default: // already logged
		}
	}
}

// noteAgain is how soon a failed write of events is retried.
const noteAgain = 5 * time.Second

// note writes down what happens to secrets, until ctx ends.
func (s *secrets) note(ctx context.Context, up func() bool, to billing.EventLog) error {
	process := ulid.Make().String()
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-s.happened:
			for !up() || to.WriteEvents(ctx, h.event(process)) != nil {
				if !Wait(ctx, noteAgain) {
					return nil
				}
			}
		}
	}
}

// event returns the event to write down: one per process and version.
func (h secretHappening) event(process string) billing.Event {
	e := billing.Event{
		Kind: billing.EventSecret, Object: h.Ref, Severity: billing.Info, At: h.at,
		Data:    map[string]string{"what": h.What, "version": h.Version},
		DedupID: strings.Join([]string{string(billing.EventSecret), process, h.What, h.Ref, h.Version}, ":"),
	}
	switch h.What {
	case manager.Failed:
		e.Severity, e.DedupID = billing.Warning, fmt.Sprint(e.DedupID, ":", h.at.UnixNano())
		e.Text = fmt.Sprintf("The secret %s cannot be fetched (%s); what was fetched last stays in use.", h.Ref, manager.KindOf(h.Err))
		e.Data["kind"] = string(manager.KindOf(h.Err))
		if name, stored := strings.CutPrefix(h.Ref, storedRef); stored {
			e.Text = fmt.Sprintf("The stored credential %s cannot be opened by a router: it is sealed under another key than "+
				"secrets.encryption_key.", name)
			e.Data["kind"] = "sealed"
		}
	case manager.Recovered:
		e.DedupID = fmt.Sprint(e.DedupID, ":", h.at.UnixNano())
		e.Text = fmt.Sprintf("The secret %s can be fetched again.", h.Ref)
	case manager.FirstUse:
		e.Text = fmt.Sprintf("The version %q of the secret %s was used for the first time.", h.Version, h.Ref)
	default:
		e.Text = fmt.Sprintf("The version %q of the secret %s was fetched.", h.Version, h.Ref)
	}
	return e
}

// stale returns what a probe may read about secrets that can't be fetched; "" if all can
// be. It names none of them.
func (s *secrets) stale() string {
	failing, missing, all := 0, 0, s.states()
	var since time.Time
	for _, st := range all {
		if st.Err == nil {
			continue
		}
		failing++
		if st.Fetched.IsZero() {
			missing++
		}
		if since.IsZero() || st.Since.Before(since) {
			since = st.Since
		}
	}
	if failing == 0 {
		return ""
	}
	text := fmt.Sprintf("%d of %d cannot be fetched since %s", failing, len(all), since.UTC().Format(time.RFC3339))
	if missing > 0 {
		text += fmt.Sprintf("; %d never could be", missing)
	}
	if missing < failing {
		text += "; what was fetched last is used"
	}
	return text
}
