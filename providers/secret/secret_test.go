package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const canary = "sk-canary-0123456789"

// A credential is never printed, however it is formatted.
func TestSecretDoesNotPrint(t *testing.T) {
	type holder struct {
		Open   Value
		closed Value
		In     []Value
		Deep   map[string]*Value
	}
	v := New(canary)
	h := holder{v, v, []Value{v}, map[string]*Value{"x": &v}}
	for _, thing := range []any{v, &v, h, &h, []Value{v}, map[string]Value{"k": v}, struct{ v Value }{v}, fmt.Errorf("wrapped: %v", v)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T", "%p"} {
			if out := fmt.Sprintf(verb, thing); strings.Contains(out, canary) || strings.Contains(out, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s of %T prints %s", verb, thing, out)
			}
		}
	}
	out, err := json.Marshal(h)
	if err != nil || strings.Contains(string(out), canary) || !strings.Contains(string(out), redacted) {
		t.Errorf("%s, %v", out, err)
	}
	if v.String() != redacted || v.Reveal() != canary || (Value{}).Reveal() != "" {
		t.Error("String or Reveal")
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	t.Setenv("TALLYROUTE_TEST_SECRET", canary)
	t.Setenv("TALLYROUTE_TEST_EMPTY", "")
	t.Setenv("TALLYROUTE_TEST_LINE", canary+"\r\n")
	t.Setenv("TALLYROUTE_TEST_BLANK", " \n")
	for name, c := range map[string]struct {
		ref, want, fault string
	}{
		"env":                {"env:TALLYROUTE_TEST_SECRET", canary, ""},
		"env not set":        {"env:TALLYROUTE_TEST_NONE", "", "environment variable TALLYROUTE_TEST_NONE is not set"},
		"env empty":          {"env:TALLYROUTE_TEST_EMPTY", "", "TALLYROUTE_TEST_EMPTY is not set"},
		"env literal":        {"env:" + canary, "", "name of an environment variable"},
		"env nothing":        {"env:", "", "name of an environment variable"},
		"file":               {file("a", canary, 0o600), canary, ""},
		"one newline":        {file("b", canary+"\n", 0o400), canary, ""},
		"windows":            {file("c", canary+"\r\n", 0o640), canary, ""},
		"white space":        {file("d", "\ufeff "+canary+" \n\n", 0o600), canary, ""},
		"env newline":        {"env:TALLYROUTE_TEST_LINE", canary, ""},
		"env blank":          {"env:TALLYROUTE_TEST_BLANK", "", "env:TALLYROUTE_TEST_BLANK is empty"},
		"for everybody":      {file("e", canary, 0o644), "", "chmod 600 " + filepath.Join(dir, "e")},
		"written by all":     {file("e2", canary, 0o602), "", "can write " + filepath.Join(dir, "e2")},
		"written by a group": {file("e3", canary, 0o620), "", "chmod 600 " + filepath.Join(dir, "e3")},
		"empty":              {file("f", "\n", 0o600), "", "is empty"},
		"large":              {file("g", strings.Repeat("x", maxFile+1), 0o600), "", "larger than"},
		"a folder":           {"file:" + dir, "", "is not a file"},
		"absent":             {"file:" + filepath.Join(dir, "none"), "", "no such file"},
		"literal":            {canary, "", `write "env:NAME"`},
		"nothing":            {"", "", `write "env:NAME"`},
		"unknown scheme":     {"volt:" + canary, "", `write "env:NAME"`},
		"of a manager":       {"vault:kv/data/x", "", "references with vault: need its settings"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := Resolve(t.Context(), c.ref)
			if c.fault == "" {
				if err != nil || v.Reveal() != c.want {
					t.Fatalf("%q, %v", v.Reveal(), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) || !strings.HasPrefix(err.Error(), "secret: ") {
				t.Fatalf("error %v, want %q", err, c.fault)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats the credential: %v", err)
			}
		})
	}
	if _, err := Resolve(t.Context(), canary); !errors.Is(err, ErrLiteral) {
		t.Errorf("%v is not ErrLiteral", err)
	}
}

func TestManagedReferencesAreSplit(t *testing.T) {
	for ref, want := range map[string]Kept{
		"vault:kv/data/a#key": {"vault", "kv/data/a", "key"}, "vault://kv/data/a": {"vault", "kv/data/a", ""},
		"aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:a#b": {"aws-sm", "arn:aws:secretsmanager:eu-west-1:1:secret:a", "b"},
		"env:vault:x": {}, "vault": {}, "vaults:x": {},
	} {
		got, ok := Managed(ref)
		if got != want || ok != (want.Scheme != "") || ok && !IsReference(ref) {
			t.Errorf("%s: %q", ref, got)
		}
	}
}
