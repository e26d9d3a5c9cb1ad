package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/cli"
)

// TestBackupIsRestoredWithItsKeysAndBooks takes a backup of a router under load,
// starts another router on it, and asks it for a key, an answer and the proof of
// the books.
func TestBackupIsRestoredWithItsKeysAndBooks(t *testing.T) {
	for store, backUp := range map[string]func(t *testing.T, config, database string) (restored string){
		"SQLite": func(t *testing.T, config, _ string) string {
			copied := filepath.Join(t.TempDir(), "copy.db")
			command(t, "--config", config, "backup", copied)
			return "sqlite:" + copied
		},
		"Postgres": func(t *testing.T, config, database string) string {
			var out bytes.Buffer
			if code := run(t.Context(), []string{"--config", config, "backup", "x"}, strings.NewReader(""), &out,
				&out); code != cli.ExitError || !strings.Contains(out.String(), "pg_dump") {
				t.Errorf("%d %s", code, &out)
			}
			dump, fresh := filepath.Join(t.TempDir(), "tallyroute.dump"), pgtest.DSN(t)
			for _, c := range []*exec.Cmd{
				exec.Command(pgtest.Tool(t, "pg_dump"), "--format=custom", "--file="+dump, database),
				exec.Command(pgtest.Tool(t, "pg_restore"), "--no-owner", "--exit-on-error", "--dbname="+fresh, dump),
			} {
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", c.Args[0], err, out)
				}
			}
			return fresh
		},
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			database, _ := proofStores[store](t)
			b := newBiller(t, "up0")
			config := billedConfig(t, database, "", b)
			p, _ := spawnListening(t, config, 2)
			key := p.key("--budget-tokens", "100000")
			crowd := newCrowd(t)
			ask := func(p *program) {
				t.Helper()
				if answer, err := crowd.ask(t.Context(), question{base: p.base(), key: key, most: 5}); err != nil || answer.status != 200 {
					t.Fatalf("%v, %d %s", err, answer.status, answer.body)
				}
			}
			ask(p)
			p.stored()
			restored := backUp(t, config, database)
			ask(p) // which the backup does not have
			again := billedConfig(t, restored, "", b)
			copied, process := spawnListening(t, again, 2)
			if used := copied.shown().Budgets[0].Standing.UsedTokens; used < promptTokens || used > promptTokens+5 {
				t.Errorf("%d tokens are used in the backup, of one request", used)
			}
			ask(copied)
			quit(t, process)
			command(t, "--config", again, "integrity")
		})
	}
}
