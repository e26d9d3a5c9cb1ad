package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
)

// configOf reads a configuration from text and environment.
func configOf(t *testing.T, text string, env ...string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tallyroute.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(file, env)
}

func TestConfigDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "listen:\n"} {
		cfg, err := configOf(t, text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if cfg.Listen != "127.0.0.1:8080" || cfg.Database != "sqlite:./tallyroute.db" || cfg.Timeouts.Write != seconds(15) {
			t.Errorf("%q: defaults are not kept: %+v", text, cfg)
		}
	}
}

func TestConfigReads(t *testing.T) {
	cfg, err := configOf(t, `
listen: 0.0.0.0:9000
database: postgres://tallyroute@db/tallyroute
database_connections: 32
reporting_timezone: Europe/Berlin
key_pepper: file:/run/secrets/pepper
providers:
  openai: {api_key: "env:OPENAI_API_KEY"}

  # a comment
  groq:
    api_key: env:GROQ_API_KEY
aliases:
  chat-cheap: [groq/llama-3.3-70b, openai/gpt-4o-mini]
defaults:
  key_budget: {period: month, usd: 20.50, tokens: 1_000_000, zone: Asia/Kolkata}
limits: {max_body_bytes: 1048576}
timeouts:
  write: 5s
  request: 1h30m
trusted_proxies: [10.0.0.0/8, 192.0.2.7]
demo: true
`)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "0.0.0.0:9000" || !cfg.Demo || cfg.DatabaseConnections != 32 || cfg.Limits.MaxBodyBytes != 1<<20 {
		t.Errorf("scalars: %+v", cfg)
	}
	if cfg.Defaults.KeyBudget.USD.Money().Short() != "20.5" || *cfg.Defaults.KeyBudget.Tokens != 1e6 {
		t.Errorf("key budget: %+v", cfg.Defaults.KeyBudget)
	}
	if time.Duration(cfg.Timeouts.Request) != 90*time.Minute || cfg.Timeouts.Write != seconds(5) {
		t.Errorf("timeouts: %+v", cfg.Timeouts)
	}
	if got := Prefixes(cfg.TrustedProxies); len(got) != 2 || got[1].String() != "192.0.2.7/32" {
		t.Errorf("trusted proxies: %v", got)
	}
	if !strings.Contains(cfg.Text, "GROQ_API_KEY") {
		t.Errorf("the catalogue is not given what it reads: %q", cfg.Text)
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	_, err := configOf(t, `listn: 127.0.0.1:8080
limits:
  max_body: 5
  max_connections: many
database: mysql://root:hunter2@db
listen: 8080
timeouts: {write: fast, idle: 5s, idle: 6s}
log: [debug]
defaults: {on_unpriced: maybe, key_budget: {usd: -1}}
admin_token: hunter3
trusted_proxies: [everyone]
`, "TALLYROUTE_DATABSE=sqlite:x", "TALLYROUTE_DEMO=yes", "TALLYROUTE_PORT=tcp://10.0.0.1:8080", "TALLYROUTE_SERVICE_HOST=10.0.0.1")
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"tallyroute.yaml:1: listn: unknown setting; did you mean listen?",
		"tallyroute.yaml:3: limits.max_body: unknown setting; did you mean max_body_bytes?",
		"tallyroute.yaml:4: limits.max_connections: want a whole number",
		"tallyroute.yaml:5: database: want sqlite:PATH, postgres://… or a reference",
		"tallyroute.yaml:6: listen: want host:port",
		"tallyroute.yaml:7: timeouts.write: want a duration",
		"tallyroute.yaml:7: timeouts.idle: is set twice",
		"tallyroute.yaml:8: log: want a group of settings",
		"tallyroute.yaml:9: defaults.on_unpriced: want one of block, allow",
		"tallyroute.yaml:9: defaults.key_budget.usd: want an amount in dollars",
		"tallyroute.yaml:10: admin_token: want a reference",
		"tallyroute.yaml:11: trusted_proxies[0]: want an address range",
		"environment: TALLYROUTE_DATABSE: unknown variable; did you mean TALLYROUTE_DATABASE?",
		"environment: TALLYROUTE_DEMO: want true or false",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q", want)
		}
	}
	for _, secret := range []string{"hunter2", "hunter3", "SERVICE_HOST", "TALLYROUTE_PORT"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("says %q", secret)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestConfigEnvironment(t *testing.T) {
	cfg, err := configOf(t, "listen: 127.0.0.1:1\ntrusted_proxies: [10.0.0.0/8]\n",
		"TALLYROUTE_LISTEN=127.0.0.1:2",
		"TALLYROUTE_LIMITS_MAX_BODY_BYTES=2048",
		"TALLYROUTE_DEFAULTS_KEY_BUDGET_PERIOD=week",
		"TALLYROUTE_DEFAULTS_KEY_BUDGET_USD=0.25",
		"TALLYROUTE_TRUSTED_PROXIES=192.0.2.0/24, 198.51.100.1",
		"TALLYROUTE_ADMIN_TOKEN=sk-tr-admin-secret",
		"TALLYROUTE_KEY_PEPPER=file:/run/secrets/pepper",
		"OTHER=1",
	)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "127.0.0.1:2" || cfg.Limits.MaxBodyBytes != 2048 || len(cfg.TrustedProxies) != 2 {
		t.Errorf("not overridden: %+v", cfg)
	}
	if cfg.Defaults.KeyBudget.Period != "week" || cfg.Defaults.KeyBudget.USD.Money().Short() != "0.25" {
		t.Errorf("key budget: %+v", cfg.Defaults.KeyBudget)
	}
	if cfg.AdminToken != "env:TALLYROUTE_ADMIN_TOKEN" || cfg.KeyPepper != "file:/run/secrets/pepper" {
		t.Errorf("secrets: %q %q", cfg.AdminToken, cfg.KeyPepper)
	}
}

// TestVariableThatAReferenceNamesIsNoUnknownSetting wherever the reference stands: in a
// setting, a list, a section that others read, another variable or on the command line.
func TestVariableThatAReferenceNamesIsNoUnknownSetting(t *testing.T) {
	env := []string{
		"TALLYROUTE_KEK=k", "TALLYROUTE_OLD_KEK=k", "TALLYROUTE_HOOK=h", "TALLYROUTE_GROQ=g", "TALLYROUTE_PASSWORD=p",
		"TALLYROUTE_ADMIN_TOKEN=env:TALLYROUTE_ADMIN", "TALLYROUTE_ADMIN=a", "TALLYROUTE_KEY=sk-tr-x",
	}
	file := `secrets:
  encryption_key: env:TALLYROUTE_KEK
  previous_encryption_key: "env:TALLYROUTE_OLD_KEK"
webhook_secret: |-
  env:TALLYROUTE_HOOK
providers: {groq: {api_key: env:TALLYROUTE_GROQ}}
database: env:TALLYROUTE_PASSWORD
`
	if _, err := configOf(t, file, env...); err != nil {
		t.Error(err)
	}
	if _, err := configOf(t, "# env:TALLYROUTE_KEK\n", env[0]); err == nil {
		t.Error("a comment is no reference")
	}
	args := []string{"audit", "checkpoint", "--key=env:TALLYROUTE_SIGN", "--sign", "env:TALLYROUTE_LISTEN"}
	got := Ours([]string{"TALLYROUTE_SIGN=s", "TALLYROUTE_LISTEN=:1", "TALLYROUTE_SING=s"}, args)
	if want := []string{"TALLYROUTE_LISTEN=:1", "TALLYROUTE_SING=s"}; !slices.Equal(got, want) {
		t.Errorf("of the environment is left %v, want %v", got, want)
	}
}

// TestVariablesOfTheDocumentsMayBeExported to a shell in which the program runs, too.
func TestVariablesOfTheDocumentsMayBeExported(t *testing.T) {
	variable := regexp.MustCompile(`(env:)?(TALLYROUTE_[A-Z_]*[A-Z])`)
	for _, folder := range []string{"docs", "examples", "README.md", "cmd/tallyroute/connect"} {
		err := filepath.WalkDir(filepath.Join("../../..", folder), func(name string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			for _, found := range variable.FindAllStringSubmatch(string(text), -1) {
				if found[1] != "" || found[2] == "TALLYROUTE_DATABSE" { // which shows the fault
					continue
				}
				if _, err := configOf(t, "", found[2]+"=x"); err != nil && strings.Contains(err.Error(), "unknown variable") {
					t.Errorf("%s: with it set every command ends with %v", name, err)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormerNameOfASettingIsRead in the file and in the environment.
func TestFormerNameOfASettingIsRead(t *testing.T) {
	if cfg, err := configOf(t, "audit_every: 5m\n"); err != nil || time.Duration(cfg.IntegrityEvery) != 5*time.Minute {
		t.Errorf("in the file: %v, %v", cfg.IntegrityEvery, err)
	}
	if cfg, err := configOf(t, "", "TALLYROUTE_AUDIT_EVERY=6m"); err != nil || time.Duration(cfg.IntegrityEvery) != 6*time.Minute {
		t.Errorf("in the environment: %v, %v", cfg.IntegrityEvery, err)
	}
	if _, err := configOf(t, "audit_every: 5m\nintegrity_every: 6m\n"); err == nil {
		t.Error("both names are taken")
	}
}

// TestHostileConfigIsRefused: nothing in a file is executed or expanded, and neither its size nor
// aliases can cause excessive work.
func TestHostileConfigIsRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nlisten: *a\n"
	for name, text := range map[string]string{
		"aliases":   bomb,
		"anchor":    "listen: &x 127.0.0.1:1\n",
		"tag":       "listen: !!binary aGk=\n",
		"documents": "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n",
		"list":      "- listen\n",
		"not yaml":  "listen: [\n",
		"merge":     "log:\n  <<: {level: info}\n",
		"huge":      "# " + strings.Repeat("x", maxConfigBytes),
		"template":  "listen: ${HOME}\n",
	} {
		began := time.Now()
		if _, err := configOf(t, text); err == nil {
			t.Errorf("%s: accepted", name)
		}
		prove.Within(t, "refusing: "+name, time.Since(began), time.Second)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1w": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "24h": 24 * time.Hour,
		"1w2d3h": 9*24*time.Hour + 3*time.Hour, "250ms": 250 * time.Millisecond, "0s": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "1", "1x", "99999999d", "1d1d", "5 s"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: read as %v", text, got)
		}
	}
}

func TestDSNHidesPassword(t *testing.T) {
	for text, want := range map[DSN]string{
		"postgres://u:pw@h:5432/d?sslmode=disable&password=pw": "postgres://u@h:5432/d",
		"postgres://u:p w@h/d":                                 "postgres://…",
		"sqlite:./tallyroute.db":                               "sqlite:./tallyroute.db",
		"host=h password=pw":                                   "…",
	} {
		if got := text.String(); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("listen: 127.0.0.1:1\nlimits: {max_body_bytes: 5}\n")
	f.Add("providers:\n  a: {b: c}\naliases: [1]\n")
	f.Fuzz(func(_ *testing.T, text string) {
		cfg := Default()
		r := newReader("f.yaml")
		r.file([]byte(text), &cfg)
		r.check(&cfg)
	})
}

// A password in the configuration is refused where others can read it, and in production
// where it may be committed.
func TestPasswordInTheFileIsRefusedWhereOthersReadIt(t *testing.T) {
	const literal = "database: postgres://u:canary-p@localhost/x\n"
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		tree bool
		want string
	}{
		"its owner's":              {literal, 0o600, false, ""},
		"its group's":              {literal, 0o640, false, ""},
		"everybody's":              {literal, 0o644, false, "every user of this host"},
		"everybody's, encrypted":   {"database: age:abc\n", 0o644, false, ""},
		"a reference, everybody's": {"database: env:DSN\n", 0o644, true, ""},
		"no password, everybody's": {"database: postgres://u@localhost/x\n", 0o644, true, ""},
		"in a work tree":           {literal, 0o600, true, ""},
		"in production's":          {literal + "production: true\n", 0o600, true, "git work tree"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.tree {
				if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, "tallyroute.yaml")
			if err := errors.Join(os.WriteFile(file, []byte(c.text), 0o600), os.Chmod(file, c.mode)); err != nil {
				t.Fatal(err)
			}
			cfg, err := Read(file, nil)
			if (err != nil) != (c.want != "") || err != nil &&
				(!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if cfg != nil {
				if _, tree := cfg.Literals(); (tree != "") != (c.tree && strings.Contains(c.text, "canary")) {
					t.Errorf("work tree %q", tree)
				}
			}
		})
	}
}
