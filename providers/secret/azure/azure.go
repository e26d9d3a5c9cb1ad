// Package azure reads and writes secrets in Azure Key Vault.
package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// Options say where the vaults are and whose token to use.
type Options struct {
	Suffix   string                                    // of the vaults' hosts; "" means vault.azure.net
	Endpoint string                                    // replaces https://VAULT.SUFFIX for all vaults
	Token    func(ctx context.Context) (string, error) // for Scope
	Client   *http.Client
	Pause    func(ctx context.Context, d time.Duration) error
}

// Scope returns the scope that a token must have.
func Scope(suffix string) string { return "https://" + suffix + "/.default" }

// Public is the suffix of vaults in the public cloud.
const Public = "vault.azure.net"

// Vaults is a client of all vaults.
type Vaults struct {
	Options
	caller manager.Caller
}

var (
	_ manager.Manager = (*Vaults)(nil)
	_ manager.Reacher = (*Vaults)(nil)
)

// New returns a client; it makes no calls yet.
func New(o Options) *Vaults {
	if o.Suffix == "" {
		o.Suffix = Public
	}
	return &Vaults{o, manager.Caller{Name: "azure-kv", Client: o.Client, Judge: judge, Pause: o.Pause}}
}

func judge(status int, body []byte) (manager.Kind, string) {
	var said struct {
		Error struct {
			Code  string `json:"code"`
			Inner struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &said) // otherwise only the status is known
	code := said.Error.Code
	if inner := said.Error.Inner.Code; inner != "" {
		code = inner
	}
	if code == "SecretDisabled" {
		return manager.NotFound, code
	}
	return manager.ByStatus(status), code
}

// version is the API version, which is generally available everywhere.
const version = "?api-version=7.4"

var (
	vaultName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$`)
	secretName = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
)

// at identifies a secret.
type at struct{ vault, id, version string }

// split reads VAULT/NAME[/VERSION].
func split(name string) (at, error) {
	parts := strings.Split(name, "/")
	if len(parts) == 2 {
		parts = append(parts, "")
	}
	if len(parts) != 3 || !vaultName.MatchString(parts[0]) || !secretName.MatchString(parts[1]) ||
		parts[2] != "" && !secretName.MatchString(parts[2]) {
		return at{}, fmt.Errorf("azure-kv: %q is not VAULT/NAME, or VAULT/NAME/VERSION; names have letters, digits and -", name)
	}
	return at{parts[0], parts[1], parts[2]}, nil
}

// bundle is a version of a secret.
type bundle struct {
	Value      string `json:"value"`
	ID         string `json:"id"`
	Attributes struct {
		Expires int64 `json:"exp"`
	} `json:"attributes"`
}

func (v *Vaults) call(ctx context.Context, method, vault, path string, in any) (got bundle, err error) {
	return got, v.ask(ctx, method, vault, path, in, &got)
}

func (v *Vaults) ask(ctx context.Context, method, vault, path string, in, out any) error {
	token, err := v.Token(ctx)
	if err != nil {
		return &manager.Error{
			Manager: "azure-kv", Kind: manager.Expired,
			Err: errors.New("no Azure credentials were found, or they are invalid"),
		}
	}
	var body []byte
	header := http.Header{"Authorization": {"Bearer " + token}}
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		header.Set("Content-Type", "application/json")
	}
	base := v.Endpoint
	if base == "" {
		base = "https://" + vault + "." + v.Suffix
	}
	text, err := v.caller.Do(ctx, manager.Call{Method: method, URL: base + "/" + path + version, Header: header, Body: body})
	if err == nil && json.Unmarshal(text, out) != nil {
		err = manager.Unreadable("azure-kv")
	}
	return err
}

// Fetch reads the current version of VAULT/NAME, or the given one of VAULT/NAME/VERSION.
func (v *Vaults) Fetch(ctx context.Context, name string) (manager.Secret, error) {
	in, err := split(name)
	if err != nil {
		return manager.Secret{}, err
	}
	got, err := v.call(ctx, http.MethodGet, in.vault, strings.TrimSuffix("secrets/"+in.id+"/"+in.version, "/"), nil)
	if err != nil {
		return manager.Secret{}, err
	}
	s := manager.Secret{Text: secret.New(got.Value), Version: got.ID[strings.LastIndexByte(got.ID, '/')+1:]}
	if got.Attributes.Expires > 0 {
		s.Expires = time.Unix(got.Attributes.Expires, 0)
	}
	return s, nil
}

// Write adds a version to VAULT/NAME. A deleted secret is recovered first if possible.
func (v *Vaults) Write(ctx context.Context, place, text string, _ map[string]string) error {
	name, field := manager.Place(place)
	in, err := split(name)
	if err != nil {
		return err
	}
	old, err := v.Fetch(ctx, name)
	if err != nil && !manager.Is(err, manager.NotFound) {
		return err
	}
	fresh, err := manager.Put(old.Text.Reveal(), field, text)
	if err != nil || fresh == old.Text.Reveal() {
		return err
	}
	err = v.put(ctx, in, fresh)
	if !manager.Is(err, manager.Conflict) {
		return err
	}
	if _, err := v.call(ctx, http.MethodPost, in.vault, "deletedsecrets/"+in.id+"/recover", map[string]any{}); err != nil {
		return err
	}
	return v.put(ctx, in, fresh) // fails during the recovery and is retried later
}

func (v *Vaults) put(ctx context.Context, in at, text string) error {
	_, err := v.call(ctx, http.MethodPut, in.vault, "secrets/"+in.id, map[string]any{"value": text})
	return err
}

// Delete removes a field, or deletes the secret if nothing is left. A deleted secret can be
// recovered for as long as the vault retains it.
func (v *Vaults) Delete(ctx context.Context, place string) error {
	name, field := manager.Place(place)
	in, err := split(name)
	if err != nil {
		return err
	}
	return manager.Remove(
		func() (manager.Secret, error) { return v.Fetch(ctx, name) }, field,
		func(left string) error { return v.put(ctx, in, left) },
		func() error {
			_, err := v.call(ctx, http.MethodDelete, in.vault, "secrets/"+in.id, nil)
			return err
		},
	)
}

// Reach implements manager.Reacher.
func (v *Vaults) Reach(ctx context.Context, use manager.Use) (wide []string, err error) {
	used := make(map[string][]string) // by vault
	for _, name := range use.Names {
		in, err := split(name)
		if err != nil {
			return nil, err
		}
		used[in.vault] = append(used[in.vault], in.id)
	}
	for _, vault := range slices.Sorted(maps.Keys(used)) {
		_, err := v.call(ctx, http.MethodGet, vault, "secrets/"+manager.Absent(), nil)
		all, err := manager.Allowed(err)
		if err != nil {
			return wide, err
		}
		if all {
			others, err := v.others(ctx, vault, used[vault])
			if err != nil {
				return wide, err
			}
			if text := manager.Others("secrets of the vault "+vault, others); text != "" {
				wide = append(wide, text)
			}
		}
		if slices.ContainsFunc(use.Places, func(at string) bool { return strings.HasPrefix(at+"/", vault+"/") }) {
			continue // a sink writes there
		}
		absent := "secrets/" + manager.Absent() + "/" + strings.Repeat("0", 32)
		_, err = v.call(ctx, http.MethodPatch, vault, absent, map[string]any{"contentType": "x"})
		if all, err = manager.Allowed(err); err != nil {
			return wide, err
		}
		if all {
			wide = append(wide, "the login may change every secret of the vault "+vault)
		}
	}
	return wide, nil
}

// others returns the names of the first secrets of a vault that are not used, as far as they may be
// listed.
func (v *Vaults) others(ctx context.Context, vault string, used []string) (names []string, err error) {
	var listed struct {
		Value []struct {
			ID string `json:"id"`
		} `json:"value"`
	}
	err = v.ask(ctx, http.MethodGet, vault, "secrets", nil, &listed)
	if manager.Is(err, manager.Denied) {
		return nil, nil
	}
	for _, one := range listed.Value {
		if name := one.ID[strings.LastIndexByte(one.ID, '/')+1:]; !slices.Contains(used, name) {
			names = append(names, name)
		}
	}
	return names, err
}
