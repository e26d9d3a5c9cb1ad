package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
)

// rehearsals notes the dry runs that a router is asked for.
type rehearsals struct {
	mu   sync.Mutex
	seen []string // method and path
}

// before returns the address of a proxy for a router that notes them.
func (r *rehearsals) before(t *testing.T, router string) string {
	t.Helper()
	to, err := url.Parse(router)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		q.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(`"dry_run":true`)) || q.URL.Query().Get("dry_run") == "true" {
			r.mu.Lock()
			r.seen = append(r.seen, q.Method+" "+q.URL.EscapedPath())
			r.mu.Unlock()
		}
		proxy.ServeHTTP(w, q)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// rehearsable returns the operations of the admin API that have a dry run.
func (g adminRig) rehearsable() (list []string) {
	g.t.Helper()
	ask, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url+"/admin/v1/openapi.json", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer the static token")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	var document struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name string }
			RequestBody struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		g.t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method, o := range methods {
			ref := o.RequestBody.Content["application/json"].Schema.Ref
			_, has := document.Components.Schemas[ref[strings.LastIndex(ref, "/")+1:]].Properties["dry_run"]
			for _, p := range o.Parameters {
				has = has || p.Name == "dry_run"
			}
			if has {
				list = append(list, strings.ToUpper(method)+" "+path)
			}
		}
	}
	return list
}

// TestChangesAreRehearsedByTheCommandLine: every operation with a dry run has a verb with
// --dry-run. It says what would change, and nothing does.
func TestChangesAreRehearsedByTheCommandLine(t *testing.T) {
	g := newAdminRig(t, func(o *admin.Options) { o.Actions.SinkNames = []string{"files"} })
	var noted rehearsals
	owner, through := g.as("owner"), noted.before(t, g.url)
	var key, other struct{ ID, Secret string }
	for _, k := range []struct {
		name string
		into any
	}{{"k", &key}, {"other", &other}} {
		text := owner(cli.ExitOK, "keys", "create", "--name", k.name, "--team", "web", "--project", "shop", "--budget-usd", "5",
			"--period", "once", "-o", "json")
		if err := json.Unmarshal([]byte(text), k.into); err != nil {
			t.Fatal(err)
		}
	}
	owner(cli.ExitOK, "keys", "deliver", other.ID, "--to", "files:k")
	budget, _, _ := strings.Cut(owner(cli.ExitOK, "budgets", "set", "org", "--usd", "100"), ":")
	person := owner(cli.ExitOK, "principals", "create", "--user", "ann")
	owner(cli.ExitOK, "principals", "grant", person, "auditor")
	type principal struct {
		ID     string
		Grants []struct{ ID string }
		Tokens []struct{ ID string }
	}
	var principals []principal
	owner(cli.ExitOK, "principals", "token", person)
	if err := json.Unmarshal([]byte(owner(cli.ExitOK, "principals", "list", "-o", "json")), &principals); err != nil {
		t.Fatal(err)
	}
	ann := principals[slices.IndexFunc(principals, func(p principal) bool { return p.ID == person })]
	policy, rules := filepath.Join(t.TempDir(), "policy.yaml"), filepath.Join(t.TempDir(), "rules.yaml")
	for file, text := range map[string]string{policy: "max_output_tokens: 10\n", rules: "{}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := owner(cli.ExitOK, "audit", "list", "--limit", "1000", "-o", "json")
	for _, verb := range [][]string{
		{"keys", "create", "--name", "new", "--team", "web"},
		{"keys", "update", key.ID, "--name", "renamed"},
		{"keys", "rotate", key.ID},
		{"keys", "disable", key.ID},
		{"keys", "enable", key.ID},
		{"keys", "revoke", key.ID},
		{"keys", "archive", key.ID},
		{"keys", "top-up", key.ID, "--usd", "1", "--reference", "1"},
		{"keys", "deliver", other.ID, "--off"},
		{"access", "erase", "--key", key.ID},
		{"policy", "set", "key", key.ID, "--file", policy},
		{"policy", "set", "team", "web", "--file", policy},
		{"policy", "set", "project", "web/shop", "--file", policy},
		{"budgets", "update", budget, "--usd", "50"},
		{"budgets", "reset", budget, "--reason", "r"},
		{"budgets", "raise", budget, "--usd", "5", "--until", "2099-01-01T00:00:00Z", "--reason", "r"},
		{"budgets", "remove", budget},
		{"teams", "update", "web", "--owner", "ann@example.com"},
		{"teams", "ceiling", "web", "--keys", "3"},
		{"projects", "update", "web/shop", "--name", "till"},
		{"projects", "archive", "web/shop"},
		{"teams", "archive", "web"},
		{"principals", "revoke", person, ann.Grants[0].ID},
		{"principals", "end", person, ann.Tokens[0].ID},
		{"principals", "disable", person},
		{"audit", "prune", "--keep", "2160h"},
		{"governance", "set", "--file", rules, "--reason", "r"},
		{"person", "erase", "ann", "--reason", "r"},
		{"prices", "reprice", "--from", "2026-01-01", "--to", "2026-02-01", "--reason", "r"},
	} {
		said := g.does(cli.ExitOK, append(append([]string{"--router", through}, verb...), "--dry-run")...)
		if !slices.Contains([]string{"governance", "person", "prices"}, verb[0]) && !strings.HasPrefix(said, "Nothing ") && verb[1] != "update" {
			t.Errorf("%v said: %s", verb, said)
		}
	}
	for _, verb := range [][]string{ // of what does not exist
		{"teams", "ceiling", "web", "--remove"},
		{"sessions", "end", "session_none"},
		{"replicas", "forget", "none"},
		{"providers", "remove", "none"},
		{"credentials", "remove", "none/none"},
		{"secrets", "rekey"},
		{"team", "revoke", "key_none"},
		{"team", "rotate", "key_none"},
	} {
		var errs bytes.Buffer
		run(t.Context(), append(append([]string{"--router", through}, verb...), "--dry-run"), strings.NewReader(""), io.Discard, &errs)
	}
	var leaked bytes.Buffer
	if code := run(t.Context(), []string{"--router", through, "keys", "revoke", "--secret", "-", "--dry-run"},
		strings.NewReader(key.Secret), &leaked, io.Discard); code != cli.ExitOK {
		t.Errorf("a leaked secret: %s", leaked.String())
	}
	if after := owner(cli.ExitOK, "audit", "list", "--limit", "1000", "-o", "json"); after != before {
		t.Errorf("a dry run left a record: %s", after)
	}
	parameter := regexp.MustCompile(`\{[a-z]+\}`)
	for _, o := range g.rehearsable() {
		path := regexp.MustCompile("^" + parameter.ReplaceAllString(o, "[^/]+") + "$")
		if !slices.ContainsFunc(noted.seen, path.MatchString) {
			t.Errorf("no verb rehearses %s", o)
		}
	}
}
