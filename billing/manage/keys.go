package manage

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// KeyRequest is a request for a new key.
type KeyRequest struct {
	Name        string
	Project     string // name or id; "" is "default". Created if it is new.
	Team        string // name or id; "" is that of the project, or "default". Created if it is new.
	CostCenter  string // of a new team
	Environment string // "" is that of the project, or dev for a new one

	Models        []string
	Budgets       []billing.Budget // ids and scopes are filled in
	Limits        KeyLimits        // in addition to those
	AllowedCIDRs  []netip.Prefix
	AllowUnpriced bool
	// AllowProviderObjects and KeepResponses are the key's fields of those names.
	AllowProviderObjects, KeepResponses bool
	Tags                                map[string]string
	ExpiresAt                           time.Time // zero: never

	Purpose     string
	Address     string // of its owner
	Sensitivity billing.Sensitivity
	RotateEvery time.Duration // 0 follows from the sensitivity

	Client billing.Client // "" is a server
	Policy *policy.Policy // the key's own; nil is none
	To     DeliverRequest // where its secrets are delivered; without a sink, they are shown

	// Once holds the client's idempotency key and the request body: repeating the request
	// still makes only one key. Without an idempotency key, each request is a new one.
	Once billing.Once
	// DryRun only reports what the key would be. It doesn't create new owners either.
	DryRun bool
}

// CreateKey makes a key and its secret, which isn't stored anywhere.
func (a Actions) CreateKey(ctx context.Context, r KeyRequest, by By) (billing.Key, billing.Secret, error) {
	made, err := a.CreateKeyOnce(ctx, r, by)
	return made.Key, made.Secret, err
}

// CreateKeyOnce makes a key and its secret, unless the same request has made one before:
// then it returns that key, with its secret for as long as a rotation would show it again.
func (a Actions) CreateKeyOnce(ctx context.Context, r KeyRequest, by By) (NewSecret, error) {
	if made, err := a.madeBefore(ctx, r, by); err != nil || made.Existed {
		return a.retoldKey(ctx, made, r, by, err)
	}
	k, err := a.newKey(ctx, r, by)
	if err != nil || r.DryRun {
		return NewSecret{Key: k}, err
	}
	secret, err := a.firstSecret(k.Environment, r, by)
	if err != nil {
		return NewSecret{}, err
	}
	k.Display = secret.Display()
	stored, err := a.storeKey(ctx, k, secret.Hash(a.Pepper), by)
	if r.Once.Name != "" && errors.Is(err, billing.ErrDuplicate) { // by the same request at another router
		made, err := a.madeBefore(ctx, r, by)
		return a.retoldKey(ctx, made, r, by, err)
	}
	return NewSecret{Key: stored, Secret: secret, Number: 1}, err
}

// firstSecret returns the secret of a new key: a named request gets the same one every
// time.
func (a Actions) firstSecret(environment string, r KeyRequest, by By) (billing.Secret, error) {
	source := rand.Reader
	if r.Once.Name != "" {
		var err error
		if source, err = a.derived("key", by.Actor+"\x00"+r.Once.Name); err != nil {
			return billing.Secret{}, err
		}
	}
	return billing.NewSecret(environment, source)
}

// ErrReused refuses a request that reuses the name of a different one.
var ErrReused = errors.New("billing: the name belongs to a request with another body")

// once returns how the request is identified in the store.
func (r *KeyRequest) once(by By) billing.Once {
	if r.Once.Name == "" {
		return billing.Once{}
	}
	return billing.Once{Name: digestOf(by.Actor + "\x00" + r.Once.Name), Body: digestOf(r.Once.Body)}
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// madeBefore returns the key that the request made earlier; Existed is false if there is
// none.
func (a Actions) madeBefore(ctx context.Context, r KeyRequest, by By) (made NewSecret, err error) {
	if r.Once.Name == "" || r.DryRun {
		return NewSecret{}, nil
	}
	if len(r.Once.Name) > maxTag {
		return NewSecret{}, invalid("Idempotency-Key", "must have at most %d bytes", maxTag)
	}
	once := r.once(by)
	k, body, err := a.Store.KeyByOnce(ctx, once.Name)
	switch {
	case errors.Is(err, billing.ErrUnknownKey):
		return NewSecret{}, nil
	case err == nil && body != once.Body:
		err = ErrReused
	}
	return NewSecret{Key: k, Number: 1, Existed: err == nil}, err
}

// retoldKey shows the secret of an existing key again, while that is allowed.
func (a Actions) retoldKey(ctx context.Context, made NewSecret, r KeyRequest, by By, err error) (NewSecret, error) {
	if err != nil {
		return NewSecret{}, err
	}
	if made.Secret, err = a.firstSecret(made.Key.Environment, r, by); err != nil {
		return NewSecret{}, err
	}
	return a.retell(ctx, made)
}

// newKey returns the requested key with its owners, which are created if they are new.
func (a Actions) newKey(ctx context.Context, r KeyRequest, by By) (billing.Key, error) {
	now := a.now()
	k := billing.Key{
		ID: billing.KeyID(billing.NewID("key_")), Name: strings.TrimSpace(r.Name), Models: r.Models, AllowedCIDRs: r.AllowedCIDRs,
		AllowUnpriced:        r.AllowUnpriced,
		AllowProviderObjects: r.AllowProviderObjects, KeepResponses: r.KeepResponses,
		Tags: r.Tags, CreatedBy: by.Actor, CreatedAt: now, ExpiresAt: r.ExpiresAt,
		Purpose: strings.TrimSpace(r.Purpose), Address: strings.TrimSpace(r.Address), RotateEvery: r.RotateEvery,
		Sensitivity: cmp.Or(r.Sensitivity, billing.SensitivityNormal), Client: cmp.Or(r.Client, billing.ClientServer), Once: r.once(by),
	}
	k.Policies.Key = r.Policy
	SetBudgets(&k, changesOf(r.Budgets))
	r.Limits.Set(&k)
	err := errors.Join(a.check(&k), checkOwner(r), checkExpiry(k.ExpiresAt, now), a.checkPolicy(policy.Key, r.Policy), by.check())
	if err == nil {
		err = a.newKeyLawful(ctx, k, r, by)
	}
	if err != nil {
		return billing.Key{}, err
	}
	p, err := a.project(ctx, r, by)
	k.ProjectID, k.Project, k.TeamID, k.Team = p.ID, p.Name, p.TeamID, p.Team
	k.CostCenter, k.Environment, k.DataClass = p.CostCenter, p.Environment, p.DataClass
	if err != nil {
		return k, err
	}
	if k.Policies, err = a.above(ctx, p); err != nil {
		return k, err
	}
	k.Policies.Key = r.Policy
	if len(k.Budgets) == 0 {
		return k, a.keyWithin(&k)
	}
	all, err := a.Store.ListBudgets(ctx, billing.BudgetFilter{Above: true})
	return k, errors.Join(err, a.keyWithin(&k), keyBudgetsWithin(&k, all))
}

// storeKey stores a key under the hash of its secret; a zero hash means no secret.
func (a Actions) storeKey(ctx context.Context, k billing.Key, hash [32]byte, by By) (billing.Key, error) {
	note := a.note(by, "key.create", string(k.ID))
	note.Detail = map[string]string{"name": k.Name, "project": k.Team + "/" + k.Project}
	if err := a.Store.CreateKey(ctx, k, hash, note); err != nil {
		return billing.Key{}, err
	}
	// When read back, it also has the budgets of its owners. If that fails, the secret must
	// not be lost.
	if stored, err := a.Key(ctx, k.ID); err == nil {
		return stored, nil
	}
	k.Version = 1
	return k, nil
}

// Key returns the key with the given id. If a secret is passed by mistake, it isn't
// repeated.
func (a Actions) Key(ctx context.Context, id billing.KeyID) (billing.Key, error) {
	if err := noSecret(string(id)); err != nil {
		return billing.Key{}, err
	}
	if id == "" {
		return billing.Key{}, &billing.NotFoundError{What: "key"}
	}
	list, err := a.Store.ListKeys(ctx, billing.KeyFilter{ID: id, Limit: 1, Now: a.now()})
	if err != nil {
		return billing.Key{}, err
	}
	if len(list) == 0 {
		return billing.Key{}, &billing.NotFoundError{What: "key", ID: string(id)}
	}
	return list[0], nil
}

// FindKey returns the key that a secret belongs to, whether or not it is in force. For
// anything that isn't a secret of ours, or that nobody has, it returns a
// *billing.NotFoundError that shows little of it.
func (a Actions) FindKey(ctx context.Context, text string) (billing.Key, error) {
	secret, err := billing.ParseSecret(strings.TrimSpace(text))
	if err != nil {
		return billing.Key{}, invalid("secret", "must be a whole key: sk-tr-… with its checksum")
	}
	k, err := a.Store.KeyByHash(ctx, secret.Hash(a.Pepper))
	if errors.Is(err, billing.ErrUnknownKey) {
		return k, &billing.NotFoundError{What: "key", ID: secret.Display()}
	}
	return k, err
}

// Keys returns up to limit keys, in the order of creation, and whether there are more.
func (a Actions) Keys(ctx context.Context, f billing.KeyFilter) (keys []billing.Key, more bool, err error) {
	if statuses := billing.KeyStatuses(); f.Status != "" && !slices.Contains(statuses, f.Status) {
		return nil, false, invalid("status", "must be one of %s", strings.Join(statuses, ", "))
	}
	if err := a.checkFilter(ctx, f); err != nil {
		return nil, false, err
	}
	f.Now = a.now()
	limit := f.Limit
	if limit > 0 {
		f.Limit++ // one more than fits, to see whether there are more
	}
	keys, err = a.Store.ListKeys(ctx, f)
	if limit > 0 && len(keys) > limit {
		return keys[:limit], true, err
	}
	return keys, false, err
}

// checkFilter refuses owners that don't exist: a mistyped team must not look like one
// without keys.
func (a Actions) checkFilter(ctx context.Context, f billing.KeyFilter) error {
	if f.Team != "" {
		teams, err := a.Store.ListTeams(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(teams, func(t billing.Team) bool { return t.ID == f.Team || t.Name == f.Team }) {
			return &billing.NotFoundError{What: "team", ID: f.Team}
		}
	}
	if f.Project == "" {
		return nil
	}
	projects, err := a.Store.ListProjects(ctx)
	if err == nil && !slices.ContainsFunc(projects, func(p billing.Project) bool { return p.ID == f.Project || p.Name == f.Project }) {
		err = &billing.NotFoundError{What: "project", ID: f.Project}
	}
	return err
}

// KeyChange says what to change about a key.
type KeyChange struct {
	Edit func(*billing.Key) // may run more than once; nil changes nothing
	// Project is where the key moves to, by name or id; "" leaves it where it is. Earlier
	// spend stays where it was. Team says whose project it is.
	Project, Team string
	// Version is the version of the key that the change is based on; 0 is any.
	Version int64
	DryRun  bool // only report what the key would be
	always  bool // write it, raising the version, even if nothing changes
}

// ErrVersion refuses a change that is based on another version of the object.
var ErrVersion = errors.New("billing: it has changed meanwhile")

// errNotWritten ends a change that was only a dry run, or that changed nothing.
var errNotWritten = errors.New("billing/manage: not written")

// ChangeKey changes a key that isn't revoked. If nothing would change, it isn't written.
func (a Actions) ChangeKey(ctx context.Context, id billing.KeyID, c KeyChange, by By) (billing.Key, error) {
	if err := errors.Join(noSecret(string(id)), by.check()); err != nil {
		return billing.Key{}, err
	}
	if c.Edit == nil && c.Project == "" && c.Team == "" {
		if _, err := a.Key(ctx, id); err != nil {
			return billing.Key{}, err
		}
		return billing.Key{}, nothingSaid()
	}
	var to *billing.Project
	var above policy.Layers
	var budgets []billing.Budget // that may apply at its destination
	if c.Project != "" || c.Team != "" {
		p, err := a.existingProject(ctx, c.Project, c.Team)
		if err != nil {
			return billing.Key{}, err
		}
		to = &p
		if above, err = a.above(ctx, p); err != nil {
			return billing.Key{}, err
		}
		if budgets, err = a.Store.ListBudgets(ctx, billing.BudgetFilter{Above: true}); err != nil {
			return billing.Key{}, err
		}
	}
	judge, err := a.judge(ctx, id)
	if err != nil {
		return billing.Key{}, err
	}
	return a.changeKey(ctx, id, c, a.note(by, "key.change", string(id)), func(k *billing.Key) error {
		if err := notRevoked(k); err != nil {
			return err
		}
		broken := judge.of(k)
		expires, said, limits := k.ExpiresAt, own(k), ownBudgets(k)
		over := budgets
		if to == nil {
			over = k.Budgets
		}
		allOf(k)
		if c.Edit != nil {
			c.Edit(k)
		}
		k.Name = strings.TrimSpace(k.Name)
		if to != nil {
			if to.Environment != k.Environment {
				return &billing.ConflictError{Detail: fmt.Sprintf("key %s is for %s, as its secret says, and project %s/%s for %s: "+
					"make a new key",
					k.ID, k.Environment, to.Team, to.Name, to.Environment)}
			}
			k.ProjectID, k.Project, k.TeamID, k.Team, k.CostCenter = to.ID, to.Name, to.TeamID, to.Team, to.CostCenter
			k.DataClass = to.DataClass
			k.Policies.Team, k.Policies.Project = above.Team, above.Project
		}
		var wider error
		if to != nil || !reflect.DeepEqual(said, own(k)) {
			wider = a.keyWithin(k)
		}
		if to != nil || !reflect.DeepEqual(limits, ownBudgets(k)) {
			wider = errors.Join(wider, keyBudgetsWithin(k, over))
		}
		if !k.ExpiresAt.Equal(expires) {
			wider = errors.Join(wider, checkExpiry(k.ExpiresAt, a.now()))
		}
		if err := errors.Join(a.check(k), wider); err != nil {
			return err
		}
		judged := *k
		if to != nil {
			judged.Budgets = boundIn(k, budgets)
		}
		return judge.changed(broken, &judged)
	})
}

// allOf sets empty lists, which mean everything, to nil, so that they can be told from a
// list that an edit empties.
func allOf(k *billing.Key) {
	if len(k.Models) == 0 {
		k.Models = nil
	}
	if len(k.AllowedCIDRs) == 0 {
		k.AllowedCIDRs = nil
	}
}

// changeKey runs an edit of a key and notes what has changed.
func (a Actions) changeKey(ctx context.Context, id billing.KeyID, c KeyChange, note *billing.Change, edit func(*billing.Key) error) (
	billing.Key, error,
) {
	var tried billing.Key
	k, err := a.Store.UpdateKey(ctx, id, func(k *billing.Key) error {
		if c.Version != 0 && c.Version != k.Version {
			return ErrVersion
		}
		before, every := comparable(k, note.At), k.RotateEvery
		if err := edit(k); err != nil {
			return err
		}
		note.Detail = differences(before, comparable(k, note.At))
		if tried = *k; c.DryRun || (!c.always && len(note.Detail) == 0 && every == k.RotateEvery) {
			return errNotWritten
		}
		return nil
	}, note)
	if errors.Is(err, errNotWritten) {
		return tried, nil
	}
	return k, err
}

func notRevoked(k *billing.Key) error {
	if k.RevokedAt.IsZero() {
		return nil
	}
	return &billing.ConflictError{Detail: fmt.Sprintf("key %s is revoked, which is for good: make a new one", k.ID)}
}

// Urgent is the time limit for stopping a key's use: if the database doesn't answer,
// whoever asked must know within two seconds.
const Urgent = 1800 * time.Millisecond

// Ending says how to stop or resume the use of a key. The zero value does it
// unconditionally.
type Ending struct {
	Version int64 // version of the key that the caller saw; 0 is any
	DryRun  bool  // only report what the key would be
}

// RevokeKey revokes a key for good. A key that is already revoked stays as it is.
func (a Actions) RevokeKey(ctx context.Context, id billing.KeyID, e Ending, by By) (billing.Key, error) {
	return a.endUse(ctx, id, e, by, "key.revoke", func(k *billing.Key, now time.Time) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt, k.RevokedReason = now, strings.TrimSpace(by.Reason)
		}
		return nil
	})
}

// DisableKey disables a key until it is enabled. A key that is already disabled stays as it
// is.
func (a Actions) DisableKey(ctx context.Context, id billing.KeyID, e Ending, by By) (billing.Key, error) {
	return a.endUse(ctx, id, e, by, "key.disable", disabling(by))
}

func disabling(by By) func(k *billing.Key, now time.Time) error {
	return func(k *billing.Key, now time.Time) error {
		if err := notRevoked(k); err != nil {
			return err
		}
		if k.DisabledAt.IsZero() {
			k.DisabledAt, k.DisabledBy, k.DisabledReason = now, by.Actor, strings.TrimSpace(by.Reason)
		}
		return nil
	}
}

// ArchiveKey ends a key for good and destroys its secrets and hand-overs. Its spend stays.
func (a Actions) ArchiveKey(ctx context.Context, id billing.KeyID, e Ending, by By) (billing.Key, error) {
	return a.endUse(ctx, id, e, by, "key.archive", func(k *billing.Key, now time.Time) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt, k.RevokedReason = now, strings.TrimSpace(by.Reason)
		}
		if k.ArchivedAt.IsZero() {
			k.ArchivedAt = now
		}
		return nil
	})
}

func (a Actions) endUse(
	ctx context.Context, id billing.KeyID, e Ending, by By, action string, end func(*billing.Key, time.Time) error,
) (billing.Key, error) {
	if err := errors.Join(noSecret(string(id)), by.check()); err != nil {
		return billing.Key{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, Urgent)
	defer cancel()
	note := a.note(by, action, string(id))
	return a.changeKey(ctx, id, KeyChange{Version: e.Version, DryRun: e.DryRun}, note,
		func(k *billing.Key) error { return end(k, note.At) })
}

// EnableKey lets a stopped or disabled key be used again; for a stopped key, the overrun is
// counted afresh. An active key gets a new version, which lifts the stop of runaway
// requests.
func (a Actions) EnableKey(ctx context.Context, id billing.KeyID, e Ending, by By) (billing.Key, error) {
	if err := errors.Join(noSecret(string(id)), by.check()); err != nil {
		return billing.Key{}, err
	}
	note := a.note(by, "key.enable", string(id))
	return a.changeKey(ctx, id, KeyChange{Version: e.Version, DryRun: e.DryRun, always: true}, note, func(k *billing.Key) error {
		if err := notRevoked(k); err != nil {
			return err
		}
		if !k.StoppedAt.IsZero() || !k.DisabledAt.IsZero() {
			if !k.StoppedAt.IsZero() {
				k.EnabledAt = note.At // so that the overrun is counted afresh
			}
			k.StoppedAt, k.DisabledAt, k.DisabledBy, k.DisabledReason = time.Time{}, time.Time{}, "", ""
			k.EnabledBy, k.EnabledReason = by.Actor, strings.TrimSpace(by.Reason)
		}
		return nil
	})
}
