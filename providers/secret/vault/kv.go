package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// versioned is what version 2 of the key-value engine stores at a path.
type versioned struct {
	Data     json.RawMessage `json:"data"`
	Metadata *struct {
		Version   int64  `json:"version"`
		Destroyed bool   `json:"destroyed"`
		Deleted   string `json:"deletion_time"`
	} `json:"metadata"`
}

// Fetch reads a path in the API's form: MOUNT/data/PATH in version 2 of the key-value engine,
// with ?version=N for a version other than the current one; MOUNT/PATH in version 1; and
// database/creds/ROLE for a database user.
func (v *Vault) Fetch(ctx context.Context, name string) (manager.Secret, error) {
	path, err := clean(name)
	if err != nil {
		return manager.Secret{}, err
	}
	if kept, ok := v.lent(ctx, path); ok {
		return kept, nil
	}
	now := v.Clock()
	a, err := v.authorized(ctx, http.MethodGet, path, nil)
	if err != nil {
		return manager.Secret{}, explained(err, path)
	}
	s, err := readable(a)
	if err == nil && a.LeaseID != "" && a.LeaseDuration > 0 {
		s.Version = a.LeaseID
		s = v.lend(path, a, s, now)
	}
	return s, err
}

// readable extracts the secret from a response.
func readable(a answer) (manager.Secret, error) {
	var kv versioned
	if json.Unmarshal(a.Data, &kv) == nil && kv.Metadata != nil && kv.Metadata.Version > 0 {
		if len(kv.Data) == 0 || string(kv.Data) == "null" {
			return manager.Secret{}, gone()
		}
		return manager.Secret{Text: secret.New(string(kv.Data)), Version: strconv.FormatInt(kv.Metadata.Version, 10)}, nil
	}
	if len(a.Data) == 0 || string(a.Data) == "null" {
		return manager.Secret{}, gone()
	}
	return manager.Secret{Text: secret.New(string(a.Data))}, nil
}

func gone() error {
	return &manager.Error{Manager: "vault", Kind: manager.NotFound, Status: http.StatusNotFound, Detail: "this version was deleted"}
}

// explained adds a hint about paths of version 2 to a not-found error.
func explained(err error, path string) error {
	if e := (*manager.Error)(nil); errors.As(err, &e) && e.Kind == manager.NotFound && !strings.Contains(path, "/data/") && e.Detail == "" {
		mount, rest, _ := strings.Cut(path, "/")
		e.Detail = fmt.Sprintf("where the engine has versions, its path is %s/data/%s", mount, rest)
	}
	return err
}

// clean escapes a path, and refuses one that could lead elsewhere.
func clean(name string) (string, error) {
	path, query, _ := strings.Cut(strings.Trim(name, "/"), "?")
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("vault: %q is not the path of a secret", name)
		}
		parts[i] = url.PathEscape(part)
	}
	path = strings.Join(parts, "/")
	if query == "" {
		return path, nil
	}
	if n, ok := strings.CutPrefix(query, "version="); !ok || strings.Trim(n, "0123456789") != "" {
		return "", fmt.Errorf("vault: %q asks for more than a version", name)
	}
	return path + "?" + query, nil
}

// defaultField is the field that a sink writes if the place names none.
const defaultField = "api-key"

// mostConflicts is how often a write is attempted when others keep writing at the same time.
const mostConflicts = 5

// Write sets a field of the secret at MOUNT/data/PATH#FIELD; the other fields stay. It writes
// only if nobody else has written since the secret was read.
func (v *Vault) Write(ctx context.Context, place, text string, _ map[string]string) error {
	return v.change(ctx, place, func(old, field string) (string, bool, error) {
		fresh, err := manager.Put(old, field, text)
		return fresh, true, err
	})
}

// Delete removes the field, and the whole secret if that was its last field.
func (v *Vault) Delete(ctx context.Context, place string) error {
	return v.change(ctx, place, func(old, field string) (string, bool, error) {
		if old == "" {
			return "", false, errNothing
		}
		fresh, left := manager.Without(old, field)
		return fresh, left, nil
	})
}

// errNothing means that there is nothing to change.
var errNothing = errors.New("vault: nothing to change")

// change reads, edits and writes a secret, and starts over if somebody wrote in between.
func (v *Vault) change(ctx context.Context, place string, edit func(old, field string) (string, bool, error)) error {
	name, field := manager.Place(place)
	if field == "" {
		field = defaultField
	}
	path, err := clean(name)
	if err != nil {
		return err
	}
	for range mostConflicts {
		old, version, err := v.current(ctx, path)
		if err != nil {
			return err
		}
		fresh, keep, err := edit(old, field)
		switch {
		case errors.Is(err, errNothing), err == nil && keep && fresh == old:
			return nil
		case err != nil:
			return err
		case !keep:
			_, err = v.authorized(ctx, http.MethodDelete, path, nil)
		case version < 0:
			_, err = v.authorized(ctx, http.MethodPost, path, json.RawMessage(fresh))
		default:
			_, err = v.authorized(ctx, http.MethodPost, path, map[string]any{
				"options": map[string]any{"cas": version}, "data": json.RawMessage(fresh),
			})
		}
		if !manager.Is(err, manager.Conflict) {
			return err
		}
	}
	return &manager.Error{Manager: "vault", Kind: manager.Conflict, Detail: "others write the same secret all the time"}
}

// current returns what is at a path and its version: 0 if there is nothing, and negative if the
// engine has no versions. A deleted secret has a version too.
func (v *Vault) current(ctx context.Context, path string) (text string, version int64, err error) {
	a, err := v.authorized(ctx, http.MethodGet, path, nil)
	missing := (*manager.Error)(nil)
	if errors.As(err, &missing) && missing.Kind == manager.NotFound {
		_ = json.Unmarshal(missing.Answer(), &a) // a deleted secret's response has a body, one that never existed has none
		err = nil
	}
	if err != nil {
		return "", 0, err
	}
	var kv versioned
	if json.Unmarshal(a.Data, &kv) == nil && kv.Metadata != nil && kv.Metadata.Version > 0 {
		return strings.TrimPrefix(string(kv.Data), "null"), kv.Metadata.Version, nil
	}
	if missing != nil && strings.Contains(path, "/data/") {
		return "", 0, nil
	}
	return string(a.Data), -1, nil
}
