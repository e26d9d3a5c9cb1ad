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

// versioned is what the key-value engine, version 2, keeps at a path.
type versioned struct {
	Data     json.RawMessage `json:"data"`
	Metadata *struct {
		Version   int64  `json:"version"`
		Destroyed bool   `json:"destroyed"`
		Deleted   string `json:"deletion_time"`
	} `json:"metadata"`
}

// Fetch reads a path as the API has it: MOUNT/data/PATH of the key-value engine in its
// version 2, with ?version=N for one that is not the current one, MOUNT/PATH in version 1,
// and database/creds/ROLE of a database.
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

// readable is the secret in an answer.
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

// explained adds what a path of version 2 looks like to a path that is not found.
func explained(err error, path string) error {
	if e := (*manager.Error)(nil); errors.As(err, &e) && e.Kind == manager.NotFound && !strings.Contains(path, "/data/") && e.Detail == "" {
		mount, rest, _ := strings.Cut(path, "/")
		e.Detail = fmt.Sprintf("where the engine has versions, its path is %s/data/%s", mount, rest)
	}
	return err
}

// clean escapes a path, and refuses one that leads elsewhere.
func clean(name string) (string, error) {
	path, query, _ := strings.Cut(strings.Trim(name, "/"), "?")
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("vault: %q is no path of a secret", name)
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

// defaultField is the field of a secret that a sink writes where the place names none.
const defaultField = "api-key"

// mostConflicts is how often a write is begun again because somebody else has written.
const mostConflicts = 5

// Write puts text into a field of what is at MOUNT/data/PATH#FIELD; the other fields stay.
// It is written only if nobody else has written since it was read.
func (v *Vault) Write(ctx context.Context, place, text string, _ map[string]string) error {
	return v.change(ctx, place, func(old, field string) (string, bool, error) {
		fresh, err := manager.Put(old, field, text)
		return fresh, true, err
	})
}

// Delete takes the field away, and the secret where it was the last one.
func (v *Vault) Delete(ctx context.Context, place string) error {
	return v.change(ctx, place, func(old, field string) (string, bool, error) {
		if old == "" {
			return "", false, errNothing
		}
		fresh, left := manager.Without(old, field)
		return fresh, left, nil
	})
}

// errNothing is a change that changes nothing.
var errNothing = errors.New("vault: nothing to change")

// change reads, edits and writes until nobody has written in between.
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

// current is what is at a path and its version, which is 0 where there is nothing, and
// less than that where the engine has no versions. What was deleted has a version too.
func (v *Vault) current(ctx context.Context, path string) (text string, version int64, err error) {
	a, err := v.authorized(ctx, http.MethodGet, path, nil)
	missing := (*manager.Error)(nil)
	if errors.As(err, &missing) && missing.Kind == manager.NotFound {
		_ = json.Unmarshal(missing.Answer(), &a) // what was deleted is told of, what never was is not
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
