package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tallyroute/providers/secret/manager"
)

// Reach implements manager.Reacher.
func (v *Vault) Reach(ctx context.Context, use manager.Use) (wide []string, err error) {
	if _, err := v.token(ctx); err != nil {
		return nil, err
	}
	v.mu.Lock()
	policies := v.login.policies
	v.mu.Unlock()
	if slices.Contains(policies, "root") {
		return []string{"the token has the policy root: it may do everything"}, nil
	}
	beyond := map[string][]string{
		"sys/policies/acl/tallyroute-probe": {"create", "update", "sudo", "root"},
		"sys/auth/tallyroute-probe":         {"create", "update", "sudo", "root"},
		"sys/mounts/tallyroute-probe":       {"create", "update", "sudo", "root"},
		"auth/token/create":                 {"sudo", "root"},
	}
	for _, name := range use.Names {
		path, _, _ := strings.Cut(name, "?")
		mount, rest, found := strings.Cut(strings.Trim(path, "/"), "/")
		if !found {
			continue
		}
		if _, versions := strings.CutPrefix(rest, "data/"); versions {
			beyond[mount+"/data/tallyroute-probe/other"] = []string{"read", "create", "update", "delete", "root"}
			beyond[mount+"/metadata/"] = []string{"list", "delete", "root"}
		}
	}
	a, err := v.authorized(ctx, http.MethodPost, "sys/capabilities-self", map[string]any{"paths": sorted(beyond)})
	if err != nil {
		return nil, err
	}
	var may map[string][]string
	if err := json.Unmarshal(a.Data, &may); err != nil {
		return nil, err
	}
	for _, path := range sorted(beyond) {
		var too []string
		for _, capability := range may[path] {
			if slices.Contains(beyond[path], capability) {
				too = append(too, capability)
			}
		}
		if len(too) > 0 {
			wide = append(wide, fmt.Sprintf("the token may %s at %s", strings.Join(too, ", "),
				strings.Replace(path, "tallyroute-probe", "…", 1)))
		}
	}
	return wide, nil
}

func sorted(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
