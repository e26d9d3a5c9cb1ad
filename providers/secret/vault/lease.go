package vault

import (
	"context"
	"net/http"
	"time"

	"tallyroute/providers/secret/manager"
)

// lease is something lent for a time, such as a database user. Reading its path again would
// create another one.
type lease struct {
	id        string
	kept      manager.Secret
	renewable bool
	renew     time.Time // when it should be renewed
}

// lent returns what a path has already lent, renewed if that is due. It returns false if the
// lease can't be renewed, or is close to its maximum lifetime.
func (v *Vault) lent(ctx context.Context, path string) (manager.Secret, bool) {
	v.mu.Lock()
	l := v.leases[path]
	v.mu.Unlock()
	now := v.Clock()
	switch {
	case l == nil:
		return manager.Secret{}, false
	case now.Before(l.renew):
		return l.kept, true
	case !l.renewable:
		return manager.Secret{}, false
	}
	a, err := v.authorized(ctx, http.MethodPost, "sys/leases/renew", map[string]any{"lease_id": l.id})
	if err != nil || a.LeaseDuration <= 0 {
		return manager.Secret{}, false
	}
	life := time.Duration(a.LeaseDuration) * time.Second
	if before := l.kept.Expires; now.Add(life).Sub(before) < life/renewAt { // it is close to its maximum lifetime
		return manager.Secret{}, false
	}
	return v.lend(path, a, l.kept, now), true
}

// lend records what was lent, and until when.
func (v *Vault) lend(path string, a answer, s manager.Secret, now time.Time) manager.Secret {
	life := time.Duration(a.LeaseDuration) * time.Second
	s.Expires = now.Add(life)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leases[path] = &lease{a.LeaseID, s, a.Renewable, now.Add(life - life/renewAt)}
	return s
}
