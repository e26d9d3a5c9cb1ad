package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/secret/secrettest"
	"tallyroute/router/certificate/certtest"
)

// examine runs the doctor on a configuration, in a folder of its own.
func examine(t *testing.T, configuration string) (map[string][]Finding, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tallyroute.yaml")
	if err := os.WriteFile(name, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	err := Command{cli.PlainFormat{Output: "json"}}.Run(&cli.Context{Ctx: t.Context(), Stdout: &out, Stderr: &errs, ConfigPath: name})
	var all []Finding
	if e := json.Unmarshal(out.Bytes(), &all); e != nil {
		t.Fatalf("%v: %s", e, out.String())
	}
	found := make(map[string][]Finding)
	for _, f := range all {
		found[f.Check] = append(found[f.Check], f)
		if (f.Severity == Warning || f.Severity == Critical) && f.Do == "" {
			t.Errorf("%+v: nobody is told what to do", f)
		}
	}
	return found, err
}

// has reports a finding of a check with a severity and a text.
func has(list []Finding, s Severity, text string) bool {
	for _, f := range list {
		if f.Severity == s && strings.Contains(f.Found, text) {
			return true
		}
	}
	return false
}

func TestDoctorFindsNothingCriticalInAGoodSetUp(t *testing.T) {
	dir := t.TempDir()
	cert, key := certtest.New(t).Leaf(t, "router", time.Now().Add(365*24*time.Hour)).Write(t, dir)
	found, err := examine(t, "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndatabase: sqlite:"+filepath.Join(dir, "x.db")+
		"\ntls: {cert_file: "+cert+", key_file: "+key+"}\n")
	if err != nil {
		t.Errorf("%v: %+v", err, found)
	}
	if !has(found["tls"], OK, "router") || !has(found["listeners"], OK, "is free") || !has(found["disk"], OK, dir) {
		t.Errorf("%+v", found)
	}
}

func TestDoctorSaysWhatIsCritical(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	go func() { // a program that is no router
		for {
			c, err := taken.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	dir := t.TempDir()
	cert, key := certtest.New(t).Leaf(t, "router", time.Now().Add(-time.Hour)).Write(t, dir)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := examine(t, "listen: "+taken.Addr().String()+"\nadmin_listen: 0.0.0.0:0\ndatabase: sqlite:"+filepath.Join(dir, "x.db")+
		"\ntls: {cert_file: "+cert+", key_file: "+key+"}\n")
	if err == nil {
		t.Error("no error")
	}
	for check, want := range map[string]Finding{
		"tls":   {Severity: Critical, Found: "expired"},
		"files": {Severity: Critical, Found: key},
	} {
		if !has(found[check], want.Severity, want.Found) {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	if l := found["listeners"]; !has(l, Critical, "no router answers") || !has(l, Warning, "tokens may come in clear") {
		t.Errorf("%+v", l)
	}
}

func TestDoctorTellsOfAConfigurationThatIsRefused(t *testing.T) {
	found, err := examine(t, "listn: 127.0.0.1:0\nalerts: {channels: [{name: chat, kind: slack, url: \"env:NOT_SET_ANYWHERE\"}]}\n")
	if err == nil || !has(found["configuration"], Critical, "did you mean listen") ||
		!has(found["configuration"], Critical, "alerts.channels") || len(found) != 1 {
		t.Errorf("%v: %+v", err, found)
	}
}

// server says what it is told to say of itself.
type server struct{ billing.DatabaseState }

func (s server) Inspect(context.Context) (billing.DatabaseState, error) { return s.DatabaseState, nil }

func TestDoctorSaysWhatIsWrongWithTheLoginOfTheDatabase(t *testing.T) {
	good := billing.DatabaseState{User: "router", TLS: "TLSv1.3"}
	for text, c := range map[string]struct {
		change func(*billing.DatabaseState)
		s      Severity
	}{
		"may do what it has to":       {func(*billing.DatabaseState) {}, OK},
		"has SUPERUSER, CREATEDB":     {func(s *billing.DatabaseState) { s.Powers = []string{"SUPERUSER", "CREATEDB"} }, Warning},
		"may not read and write keys": {func(s *billing.DatabaseState) { s.Lacks = []string{"keys"} }, Critical},
		"in the clear":                {func(s *billing.DatabaseState) { s.TLS = "" }, Warning},
		"it is on this host":          {func(s *billing.DatabaseState) { s.TLS, s.Local = "", true }, OK},
		"its clock is 3s off":         {func(s *billing.DatabaseState) { s.Ahead = -3 * time.Second }, Warning},
	} {
		st := good
		c.change(&st)
		found := inspected(t.Context(), server{st})
		if !has(found, c.s, text) {
			t.Errorf("%s: %+v", text, found)
		}
		for _, f := range found {
			if f.Severity != OK && f.Do == "" {
				t.Errorf("%+v: nobody is told what to do", f)
			}
		}
	}
}

// A login of Vault that may do everything, and a secret that is not there, are told.
func TestDoctorLooksAtSecretsAndAtWhatTheirLoginsMayDo(t *testing.T) {
	v := secrettest.NewVault(t)
	v.Put("kv/router/pepper", map[string]any{"value": strings.Repeat("p", 32)})
	t.Setenv("TALLYROUTE_TEST_TOKEN", "root")
	dir := t.TempDir()
	found, _ := examine(t, "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndatabase: sqlite:"+filepath.Join(dir, "x.db")+
		"\nsecrets: {vault: {address: \""+v.URL+"\", auth: token, secret: env:TALLYROUTE_TEST_TOKEN}}\n"+
		"key_pepper: vault:kv/data/router/pepper#value\nwebhook_secret: vault:kv/data/router/none#value\n")
	if !has(found["secrets"], Critical, "webhook_secret cannot be read") || !has(found["secrets"], Warning, "policy root") {
		t.Errorf("%+v", found)
	}
}
