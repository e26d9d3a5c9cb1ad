package secrettest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Vault fakes HashiCorp Vault or OpenBao.
type Vault struct {
	Server
	Namespace string
	Logins    map[string]string          // MOUNT/ROLE and secret → policy
	Policies  map[string]map[string]Caps // by policy and path; a trailing * covers everything below
	KV        map[string][]VaultVersion  // by MOUNT/PATH; versions count from 1
	V1        map[string]object          // by path
	Life      time.Duration              // of tokens
	MaxLife   time.Duration              // up to which tokens can be renewed
	Rotate    time.Duration              // lease duration of database users

	tokens map[string]*vaultToken
	leases map[string]*vaultToken
	serial int
}

// Caps are the capabilities at a path.
type Caps []string

// VaultVersion is one version of a secret.
type VaultVersion struct {
	Data    object
	Deleted bool
}

type vaultToken struct {
	policy     string
	made, ends time.Time
}

// NewVault starts one with the token "root", whose policy is root.
func NewVault(t testing.TB) *Vault {
	v := &Vault{
		Logins: map[string]string{}, Policies: map[string]map[string]Caps{}, KV: map[string][]VaultVersion{}, V1: map[string]object{},
		Life: time.Hour, MaxLife: 24 * time.Hour, Rotate: time.Hour,
		tokens: map[string]*vaultToken{"root": {policy: "root"}}, leases: map[string]*vaultToken{},
	}
	v.serve(t, v.answer)
	return v
}

// Put writes the next version of a secret.
func (v *Vault) Put(path string, data map[string]any) {
	v.Do(func() { v.KV[path] = append(v.KV[path], VaultVersion{Data: data}) })
}

// Grant creates a token with a policy and a lifetime; 0 means indefinitely.
func (v *Vault) Grant(token, policy string, life time.Duration) {
	v.Do(func() {
		t := &vaultToken{policy: policy, made: v.Clock()}
		if life > 0 {
			t.ends = t.made.Add(life)
		}
		v.tokens[token] = t
	})
}

// RevokeTokens revokes all tokens that were issued by logins.
func (v *Vault) RevokeTokens() {
	v.Do(func() {
		maps.DeleteFunc(v.tokens, func(name string, _ *vaultToken) bool { return strings.HasPrefix(name, "hvs.") })
	})
}

func (v *Vault) answer(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	var body object
	_ = json.NewDecoder(r.Body).Decode(&body)
	switch {
	case r.Header.Get("X-Vault-Namespace") != v.Namespace:
		refuse(w, http.StatusNotFound)
		return
	case strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login"):
		v.logIn(w, strings.TrimSuffix(strings.TrimPrefix(path, "auth/"), "/login"), body)
		return
	}
	name := r.Header.Get("X-Vault-Token")
	token := v.tokens[name]
	if token == nil || (!token.ends.IsZero() && !v.Clock().Before(token.ends)) {
		refuse(w, http.StatusForbidden, "permission denied", "invalid token")
		return
	}
	switch path {
	case "auth/token/lookup-self":
		reply(w, http.StatusOK, object{"data": object{
			"ttl": v.left(token), "renewable": !token.ends.IsZero(), "policies": []string{"default", token.policy},
		}})
		return
	case "auth/token/renew-self":
		if token.ends.IsZero() {
			refuse(w, http.StatusBadRequest, "lease is not renewable")
			return
		}
		token.ends = earlier(v.Clock().Add(v.Life), token.made.Add(v.MaxLife))
		reply(w, http.StatusOK, object{"auth": v.auth(name, token)})
		return
	case "sys/capabilities-self":
		v.capabilities(w, token, body)
		return
	case "sys/leases/renew":
		v.renewLease(w, fmt.Sprint(body["lease_id"]))
		return
	}
	need := map[string]string{http.MethodGet: "read", http.MethodPost: "update", http.MethodDelete: "delete"}[r.Method]
	if !slices.Contains(v.caps(token, path), need) && !slices.Contains(v.caps(token, path), "root") {
		refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
		return
	}
	v.secret(w, r, path, body)
}

func refuse(w http.ResponseWriter, status int, errs ...string) {
	reply(w, status, object{"errors": append([]string{}, errs...)})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (v *Vault) left(t *vaultToken) int64 {
	if t.ends.IsZero() {
		return 0
	}
	return int64(t.ends.Sub(v.Clock()).Seconds())
}

func (v *Vault) auth(name string, t *vaultToken) object {
	return object{"client_token": name, "lease_duration": v.left(t), "renewable": true, "policies": []string{"default", t.policy}}
}

func (v *Vault) logIn(w http.ResponseWriter, mount string, body object) {
	who := fmt.Sprint(mount, "/", body["role"], " ", body["jwt"])
	if body["role_id"] != nil {
		who = fmt.Sprint(mount, "/", body["role_id"], " ", body["secret_id"])
	}
	policy, known := v.Logins[who]
	if !known {
		refuse(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	}
	v.serial++
	name := fmt.Sprintf("hvs.%d", v.serial)
	v.tokens[name] = &vaultToken{policy: policy, made: v.Clock(), ends: v.Clock().Add(v.Life)}
	reply(w, http.StatusOK, object{"auth": v.auth(name, v.tokens[name])})
}

func (v *Vault) caps(t *vaultToken, path string) Caps {
	if t.policy == "root" {
		return Caps{"root"}
	}
	rules := v.Policies[t.policy]
	if caps, exact := rules[path]; exact {
		return caps
	}
	for rule, caps := range rules {
		if below, ok := strings.CutSuffix(rule, "*"); ok && strings.HasPrefix(path, below) {
			return caps
		}
	}
	return Caps{"deny"}
}

func (v *Vault) capabilities(w http.ResponseWriter, t *vaultToken, body object) {
	all := object{}
	paths, _ := body["paths"].([]any)
	for _, p := range paths {
		all[fmt.Sprint(p)] = v.caps(t, fmt.Sprint(p))
	}
	reply(w, http.StatusOK, object{"data": all})
}

// secret handles what is at a path: a database user, or version 1 or 2 of the key-value engine.
func (v *Vault) secret(w http.ResponseWriter, r *http.Request, path string, body object) {
	mount, rest, _ := strings.Cut(path, "/")
	name, versions := strings.CutPrefix(rest, "data/")
	switch {
	case strings.HasPrefix(path, "database/creds/"):
		v.serial++
		id := fmt.Sprintf("%s/%d", path, v.serial)
		v.leases[id] = &vaultToken{made: v.Clock(), ends: v.Clock().Add(v.Rotate)}
		reply(w, http.StatusOK, object{
			"lease_id": id, "lease_duration": int64(v.Rotate.Seconds()), "renewable": true,
			"data": object{"username": fmt.Sprintf("v-%d", v.serial), "password": fmt.Sprintf("p-%d", v.serial)},
		})
	case versions && r.Method == http.MethodGet:
		v.read(w, v.KV[mount+"/"+name], r.URL.Query().Get("version"))
	case versions && r.Method == http.MethodPost:
		v.write(w, mount+"/"+name, body)
	case versions:
		if all := v.KV[mount+"/"+name]; len(all) > 0 {
			all[len(all)-1].Deleted = true
		}
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost:
		v.V1[path] = body
		w.WriteHeader(http.StatusNoContent)
	case v.V1[path] == nil:
		refuse(w, http.StatusNotFound)
	default:
		reply(w, http.StatusOK, object{"lease_id": "", "lease_duration": 2764800, "data": v.V1[path]})
	}
}

func (v *Vault) read(w http.ResponseWriter, all []VaultVersion, asked string) {
	n := len(all)
	if asked != "" {
		_, _ = fmt.Sscan(asked, &n)
	}
	if n < 1 || n > len(all) {
		refuse(w, http.StatusNotFound)
		return
	}
	about := object{"version": n, "destroyed": false, "deletion_time": ""}
	if all[n-1].Deleted {
		about["deletion_time"] = "2026-03-01T12:00:00Z"
		reply(w, http.StatusNotFound, object{"data": object{"data": nil, "metadata": about}})
		return
	}
	reply(w, http.StatusOK, object{"data": object{"data": all[n-1].Data, "metadata": about}})
}

func (v *Vault) write(w http.ResponseWriter, path string, body object) {
	options, _ := body["options"].(object)
	data, isObject := body["data"].(object)
	if cas, given := options["cas"].(float64); given && int(cas) != len(v.KV[path]) {
		refuse(w, http.StatusBadRequest, "check-and-set parameter did not match the current version")
		return
	}
	if !isObject {
		refuse(w, http.StatusBadRequest, "no data provided")
		return
	}
	v.KV[path] = append(v.KV[path], VaultVersion{Data: data})
	reply(w, http.StatusOK, object{"data": object{"version": len(v.KV[path])}})
}

func (v *Vault) renewLease(w http.ResponseWriter, id string) {
	l := v.leases[id]
	if l == nil || !v.Clock().Before(l.ends) {
		refuse(w, http.StatusBadRequest, "lease not found or lease is not renewable")
		return
	}
	l.ends = earlier(v.Clock().Add(v.Rotate), l.made.Add(v.MaxLife))
	reply(w, http.StatusOK, object{"lease_id": id, "lease_duration": int64(l.ends.Sub(v.Clock()).Seconds()), "renewable": true})
}
