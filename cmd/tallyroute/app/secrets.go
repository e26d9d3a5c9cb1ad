package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/managers"
	"tallyroute/providers"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
	"tallyroute/providers/secret/kubernetes"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/sink"
)

// once is a keeper for who reads the configuration and goes.
func once(c *config.Config) (*manager.Keeper, error) {
	return managers.New(c.Secrets, manager.Options{})
}

// ReadSecret reads what ref refers to, once.
func ReadSecret(ctx context.Context, c *config.Config, ref string) (secret.Value, error) {
	from, err := once(c)
	if err != nil {
		return secret.Value{}, err
	}
	return from.Resolve(ctx, ref)
}

// credential reads what ref refers to; ok is false where that is nothing.
func credential(ctx context.Context, from *manager.Keeper, ref config.SecretRef) (v secret.Value, ok bool, err error) {
	if ref == "" {
		return secret.Value{}, false, nil
	}
	v, err = from.Resolve(ctx, string(ref))
	return v, err == nil, err
}

// proxy is the way to providers, nil where it is the direct one, and how it is
// written, which may hold a password.
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

// ring are the keys under which credentials are stored. Without any nothing can be.
func ring(ctx context.Context, from *manager.Keeper, c *config.Config) (*envelope.Ring, error) {
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
	return envelope.NewRing(keys...), nil
}

// database is the connection string, which may be kept like a credential.
func database(ctx context.Context, from *manager.Keeper, d config.DSN) (config.DSN, error) {
	if !secret.IsReference(string(d)) {
		return d, nil
	}
	v, err := from.Resolve(ctx, string(d))
	return config.DSN(v.Reveal()), err
}

// PepperFile is where the pepper is kept when the configuration does not say.
const PepperFile = "tallyroute.pepper"

// pepperSetting is under which name a database remembers its pepper's id.
const pepperSetting = "pepper_id"

// Pepper is the pepper and where it was found.
type Pepper struct {
	billing.Pepper
	where string
	fresh bool // made just now, in a file of our own
}

// ReadPepper reads the pepper, or makes one in a file beside the database on first use.
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

// pepperFile is where the pepper is that the configuration does not name.
func pepperFile(c *config.Config) string {
	if db, err := c.Database.SQLitePath(); err == nil {
		return filepath.Join(filepath.Dir(db), PepperFile)
	}
	return PepperFile
}

// checkPepper is ReadPepper without making one.
func checkPepper(ctx context.Context, from *manager.Keeper, c *config.Config) error {
	if c.KeyPepper == "" {
		if _, err := os.Stat(pepperFile(c)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	_, err := readPepper(ctx, from, c)
	return err
}

// adminToken is what opens the admin API; "" where it is switched off.
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

// makePepper writes a new pepper to path, unless there is one. The file appears
// whole or not at all, also when two processes try at once.
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

// wrongPepperError is a pepper that is not the one under which the database's
// keys were hashed: with it, every key would be unknown.
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

// sinks are where secrets of keys may be delivered to, by their names.
func sinks(ctx context.Context, from *manager.Keeper, cfg *config.Config) (map[string]manage.Sink, error) {
	all := make(map[string]manage.Sink, len(cfg.Sinks))
	for _, text := range cfg.Sinks {
		s, _ := config.ParseSink(text) // which was checked when it was read
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
