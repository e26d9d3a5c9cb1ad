package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

const (
	keyAnswer   = 10 * time.Millisecond // the longest that 99 of 100 operations on keys may take
	startPerKey = time.Second           // the longest that a router may take to be ready, however many keys there are
)

// manyKeysSQL copies a key and its budget so many times, into a hundred projects.
const manyKeysSQL = `
INSERT INTO projects SELECT (jsonb_populate_record(p, jsonb_build_object('id', 'prj_' || n, 'name', 'p' || n))).*
  FROM projects p, generate_series(1, 100) n WHERE p.name = 'shop';
INSERT INTO api_keys SELECT (jsonb_populate_record(k, jsonb_build_object('id', 'key_' || lpad(n::text, 26, '0'),
    'project_id', 'prj_' || (1 + n %% 100), 'name', 'k' || n, 'created_at', now() - n * interval '1 second'))).*
  FROM api_keys k, generate_series(1, %[1]d) n WHERE k.name = 'test';
INSERT INTO api_key_secrets (key_id, version, secret_hash, display, created_at)
SELECT 'key_' || lpad(n::text, 26, '0'), 1, sha256(n::text::bytea), 'sk-tr-dev-…', now() FROM generate_series(1, %[1]d) n;
INSERT INTO budgets SELECT (jsonb_populate_record(b, jsonb_build_object('id', 'bud_' || lpad(n::text, 26, '0'),
    'scope_id', 'key_' || lpad(n::text, 26, '0')))).*
  FROM budgets b, generate_series(1, %[1]d) n WHERE b.scope_id = (SELECT id FROM api_keys WHERE name = 'test');
ANALYZE`

// TestMillionKeys makes, rotates, lists and verifies keys by REST in a database that has $KEYS
// already, and looks how long a router takes to start and how much memory it needs there.
func TestMillionKeys(t *testing.T) {
	n := prove.Size(t, "KEYS", 0)
	if n == 0 {
		t.Skip("KEYS says how many")
	}
	token, err := billing.NewSecret(billing.EnvironmentAdmin, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.DSN(t)
	config := billedConfig(t, dsn, "admin_token: file:"+file+"\n", newBiller(t, "up0"))
	p, c := spawnListening(t, config, 2)
	p.key("--budget-usd", "100")
	_ = c.Process.Kill()
	_ = c.Wait()
	pgtest.Connect(t, dsn).Exec(fmt.Sprintf(manyKeysSQL, n))

	began := time.Now()
	p, c = spawnListening(t, config, 2)
	started := time.Since(began)
	m := million{t: t, admin: "http://" + p.where["admin"] + "/admin/v1", token: token.Reveal()}
	const times = 500
	m.warm()
	var ids, secrets []string
	m.each("create", times, func(i int) {
		var made struct{ ID, Secret string }
		m.ask(http.MethodPost, "/keys", fmt.Sprintf(`{"name":"new %d","team":"web","project":"shop","budget":{"usd":"5"}}`, i), &made)
		ids, secrets = append(ids, made.ID), append(secrets, made.Secret)
	})
	m.each("rotate", times, func(i int) { m.ask(http.MethodPost, "/keys/"+ids[i]+"/rotate", `{"overlap":"1h"}`, nil) })
	m.each("verify, first", times, func(i int) { m.verify(p.base(), secrets[i]) })
	m.each("verify, again", times, func(i int) { m.verify(p.base(), secrets[i]) })
	var page struct {
		NextCursor string `json:"next_cursor"`
	}
	m.each("list", times, func(int) { m.ask(http.MethodGet, "/keys?limit=200&cursor="+page.NextCursor, "", &page) })
	for _, filter := range []string{"project=prj_7", "team=web", "status=revoked", "q=new+7"} {
		m.each("list "+filter, times/5, func(int) { m.ask(http.MethodGet, "/keys?limit=50&"+filter, "", nil) })
	}
	t.Logf("with %d keys: ready after %s, %d MiB at the most", n, started, (&memoryRig{p: p, c: c}).peak(t)>>20)
	prove.Within(t, "a start", started, startPerKey)
}

// million is an administrator of very many keys.
type million struct {
	t            *testing.T
	admin, token string
}

// warm has the database read what it needs of the tables.
func (m million) warm() {
	for i := range 50 {
		m.ask(http.MethodPost, "/keys", fmt.Sprintf(`{"name":"warm %d","team":"web","project":"shop"}`, i), nil)
		m.ask(http.MethodGet, "/keys?limit=200", "", nil)
	}
}

// each does something so many times, one after another, and reports how long it took.
func (m million) each(what string, times int, do func(int)) {
	m.t.Helper()
	took := make([]time.Duration, times)
	for i := range took {
		began := time.Now()
		do(i)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	m.t.Logf("%s: median %s, p99 %s, longest %s", what, percentile(took, 50), percentile(took, 99), percentile(took, 100))
	prove.Within(m.t, what, percentile(took, 99), keyAnswer)
}

func (m million) ask(method, path, body string, out any) {
	m.t.Helper()
	m.send(method, m.admin+path, m.token, body, out)
}

func (m million) verify(base, secret string) {
	m.t.Helper()
	m.send(http.MethodGet, base+"/v1/models", secret, "", nil)
}

func (m million) send(method, url, credential, body string, out any) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), prove.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		m.t.Fatalf("%s %s: %d %s, %v", method, url, resp.StatusCode, text, err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			m.t.Fatal(err)
		}
	}
}
