package secrettest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Kept is a secret with its versions, counted from 1.
type Kept struct {
	Versions []string
	Off      map[int]bool // disabled versions
	Deleted  bool         // but can be recovered
}

// REST holds what the fakes of Google, Azure and Conjur share: a token, and names with versions.
type REST struct {
	Server
	Token   string
	Secrets map[string]*Kept
	Logins  int // successful ones
	Key     string
}

// Put writes the next version.
func (s *REST) Put(name, text string) { s.Do(func() { s.put(name, text) }) }

func (s *REST) put(name, text string) int {
	if s.Secrets[name] == nil {
		s.Secrets[name] = &Kept{Off: map[int]bool{}}
	}
	s.Secrets[name].Versions = append(s.Secrets[name].Versions, text)
	return len(s.Secrets[name].Versions)
}

// Text returns the newest version; "" if there is none.
func (s *REST) Text(name string) (text string) {
	s.Do(func() {
		if k := s.Secrets[name]; k != nil && !k.Deleted && len(k.Versions) > 0 {
			text = k.Versions[len(k.Versions)-1]
		}
	})
	return text
}

func newREST(t testing.TB, handler func(*REST, http.ResponseWriter, *http.Request)) *REST {
	s := &REST{Token: "good", Secrets: map[string]*Kept{}}
	s.serve(t, func(w http.ResponseWriter, r *http.Request) { handler(s, w, r) })
	return s
}

// NewGoogle starts a Google Secret Manager whose lists have pages of two.
func NewGoogle(t testing.TB) *REST { return newREST(t, google) }

func google(s *REST, w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string) {
		reply(w, status, object{"error": object{"code": status, "status": code, "message": "no"}})
	}
	if r.Header.Get("Authorization") != "Bearer "+s.Token {
		fail(http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	}
	path, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	name, version, _ := strings.Cut(path, "/versions")
	version = strings.Trim(version, "/")
	var body struct {
		Payload struct {
			Data []byte `json:"data"`
			Sum  string `json:"dataCrc32c"`
		} `json:"payload"`
		Permissions []string `json:"permissions"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	k, n := s.Secrets[name], 0
	if k != nil && version == "latest" {
		n = len(k.Versions)
	} else if version != "" {
		_, _ = fmt.Sscan(version, &n)
	}
	sum := func(data string) string {
		return fmt.Sprint(crc32.Checksum([]byte(data), crc32.MakeTable(crc32.Castagnoli)))
	}
	action := map[string]string{"access": "read", "addVersion": "write", "disable": "write", "testIamPermissions": ""}[verb]
	if r.Method == http.MethodDelete {
		action = "delete"
	}
	switch {
	case action != "" && !s.may(action, name):
		fail(http.StatusForbidden, "PERMISSION_DENIED")
	case verb == "testIamPermissions":
		has := []string{}
		for _, one := range body.Permissions {
			if s.may(map[bool]string{true: "delete", false: "write"}[strings.HasSuffix(one, "delete")], name) {
				has = append(has, one)
			}
		}
		reply(w, http.StatusOK, object{"permissions": has})
	case r.Method == http.MethodPost && verb == "" && r.URL.Query().Get("secretId") != "":
		s.Secrets[path+"/"+r.URL.Query().Get("secretId")] = &Kept{Off: map[int]bool{}}
		reply(w, http.StatusOK, object{})
	case k == nil, verb == "access" && (n < 1 || n > len(k.Versions)):
		fail(http.StatusNotFound, "NOT_FOUND")
	case verb == "access" && k.Off[n]:
		fail(http.StatusBadRequest, "FAILED_PRECONDITION")
	case verb == "access":
		text := k.Versions[n-1]
		reply(w, http.StatusOK, object{"name": fmt.Sprintf("projects/123/secrets/x/versions/%d", n), "payload": object{
			"data": base64.StdEncoding.EncodeToString([]byte(text)), "dataCrc32c": sum(text),
		}})
	case verb == "addVersion" && body.Payload.Sum != sum(string(body.Payload.Data)):
		fail(http.StatusBadRequest, "INVALID_ARGUMENT")
	case verb == "addVersion":
		reply(w, http.StatusOK, object{"name": fmt.Sprint(name, "/versions/", s.put(name, string(body.Payload.Data)))})
	case verb == "disable":
		k.Off[n] = true
		reply(w, http.StatusOK, object{})
	case r.Method == http.MethodDelete:
		delete(s.Secrets, name)
		reply(w, http.StatusOK, object{})
	default:
		googleVersions(w, r, name, k)
	}
}

// googleVersions lists the enabled versions, newest first, two per page.
func googleVersions(w http.ResponseWriter, r *http.Request, name string, k *Kept) {
	from, list, next := len(k.Versions), []object{}, ""
	if page := r.URL.Query().Get("pageToken"); page != "" {
		_, _ = fmt.Sscan(page, &from)
	}
	for n := from; n > 0; n-- {
		if k.Off[n] {
			continue
		}
		if len(list) == 2 {
			next = fmt.Sprint(n)
			break
		}
		list = append(list, object{"name": fmt.Sprint(name, "/versions/", n)})
	}
	reply(w, http.StatusOK, object{"versions": list, "nextPageToken": next})
}

// NewAzure starts an Azure Key Vault.
func NewAzure(t testing.TB) *REST { return newREST(t, azure) }

func azure(s *REST, w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code, inner string) {
		reply(w, status, object{"error": object{"code": code, "message": "no", "innererror": object{"code": inner}}})
	}
	if r.Header.Get("Authorization") != "Bearer "+s.Token {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"`)
		fail(http.StatusUnauthorized, "Unauthorized", "")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) == 1 {
		parts = append(parts, "")
	}
	name := parts[1]
	k := s.Secrets[name]
	var body struct {
		Value string `json:"value"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	bundle := func(n int) {
		reply(w, http.StatusOK, object{
			"value": k.Versions[n-1], "id": fmt.Sprintf("https://v.vault.azure.net/secrets/%s/%032d", name, n),
			"attributes": object{"enabled": true},
		})
	}
	switch {
	case r.URL.Query().Get("api-version") == "":
		fail(http.StatusBadRequest, "BadParameter", "")
	case !s.may(azureAction(r.Method, name), name):
		fail(http.StatusForbidden, "Forbidden", "ForbiddenByRbac")
	case name == "":
		list := []object{}
		for _, one := range slices.Sorted(maps.Keys(s.Secrets)) {
			list = append(list, object{"id": "https://v.vault.azure.net/secrets/" + one})
		}
		reply(w, http.StatusOK, object{"value": list, "nextLink": nil})
	case r.Method == http.MethodPost && parts[0] == "deletedsecrets" && k != nil:
		k.Deleted = false
		reply(w, http.StatusOK, object{})
	case r.Method == http.MethodPut && k != nil && k.Deleted:
		fail(http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable")
	case r.Method == http.MethodPut:
		n := s.put(name, body.Value)
		k = s.Secrets[name]
		bundle(n)
	case k == nil || k.Deleted:
		fail(http.StatusNotFound, "SecretNotFound", "")
	case r.Method == http.MethodDelete:
		k.Deleted = true
		reply(w, http.StatusOK, object{})
	case len(parts) == 3:
		n := 0
		if _, err := fmt.Sscanf(parts[2], "%d", &n); err != nil || n < 1 || n > len(k.Versions) {
			fail(http.StatusNotFound, "SecretNotFound", "")
			return
		}
		bundle(n)
	default:
		bundle(len(k.Versions))
	}
}

func azureAction(method, name string) string {
	switch {
	case name == "":
		return "list"
	case method == http.MethodGet:
		return "read"
	case method == http.MethodDelete:
		return "delete"
	}
	return "write"
}

// NewConjur starts a Conjur with the account "acme", the host "host/router" whose API key is
// Key, and an authenticator "idp" for the JWT "jwt-1". Variables must be declared.
func NewConjur(t testing.TB) *REST {
	s := newREST(t, conjur)
	s.Key = "api-key-1"
	return s
}

func conjur(s *REST, w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	body, _ := io.ReadAll(r.Body)
	if strings.HasSuffix(path, "/authenticate") {
		byKey := path == "/authn/acme/host%2Frouter/authenticate" && string(body) == s.Key
		byJWT := path == "/authn-jwt/idp/acme/authenticate" && string(body) == "jwt=jwt-1"
		if !byKey && !byJWT || r.Header.Get("Accept-Encoding") != "base64" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.Logins++
		_, _ = io.WriteString(w, base64.StdEncoding.EncodeToString([]byte(s.Token)))
		return
	}
	if r.Header.Get("Authorization") != `Token token="`+base64.StdEncoding.EncodeToString([]byte(s.Token))+`"` {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/acme/variable/")
	k := s.Secrets[id]
	n := 0
	if k != nil {
		n = len(k.Versions)
	}
	if asked := r.URL.Query().Get("version"); asked != "" {
		_, _ = fmt.Sscan(asked, &n)
	}
	switch {
	case kind == "resources/acme" && r.URL.Query().Get("kind") == "variable":
		list := []object{}
		for _, one := range slices.Sorted(maps.Keys(s.Secrets)) {
			list = append(list, object{"id": "acme:variable:" + one})
		}
		reply(w, http.StatusOK, list)
	case r.URL.Query().Get("check") == "true":
		action := map[string]string{"execute": "read", "update": "write"}[r.URL.Query().Get("privilege")]
		w.WriteHeader(map[bool]int{true: http.StatusNoContent, false: http.StatusNotFound}[k != nil && s.may(action, id)])
	case strings.Contains(path, id+"/") || k == nil, r.Method == http.MethodGet && (n < 1 || n > len(k.Versions)):
		w.WriteHeader(http.StatusNotFound)
	case kind == "resources":
		list := []object{}
		for i := range k.Versions {
			list = append(list, object{"version": i + 1})
		}
		reply(w, http.StatusOK, object{"id": "acme:variable:" + id, "secrets": list})
	case r.Method == http.MethodPost && len(body) == 0:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case r.Method == http.MethodPost:
		s.put(id, string(body))
		w.WriteHeader(http.StatusCreated)
	default:
		_, _ = io.WriteString(w, k.Versions[n-1])
	}
}
