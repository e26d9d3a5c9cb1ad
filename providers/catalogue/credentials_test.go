package catalogue

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/providers/secret"
)

func TestCredentials(t *testing.T) {
	const several = `
providers:
  acme:
    credentials:
      - {secret: env:ONE, weight: 3}
      - {secret: env:TWO}
      - {secret: env:GONE, weight: 5}
      - {secret: env:IDLE, weight: 0}
`
	c := build(t, Input{Text: several}, "ONE", "TWO", "IDLE")
	list, _, ok := c.Resolve("acme/large")
	if !ok || len(list[0].Credentials) != 4 {
		t.Fatalf("%+v", list)
	}
	var got []string
	for _, credential := range list[0].Credentials {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://x.example", nil)
		err := list[0].With(credential).Auth.Sign(t.Context(), r)
		got = append(got, fmt.Sprintf("%s %d %q %v", credential.Name, credential.Weight, r.Header.Get("Authorization"), err != nil))
	}
	want := `1 3 "Bearer value of ONE" false; 2 1 "Bearer value of TWO" false; 3 0 "" true; 4 0 "Bearer value of IDLE" false`
	if strings.Join(got, "; ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "; "), want)
	}
	if s := fmt.Sprintf("%+v %#v", list[0], list[0]); strings.Contains(s, "value of") {
		t.Error("a target prints its credentials")
	}
	if c := build(t, Input{Text: several}, "IDLE"); func() bool {
		l, _, _ := c.Resolve("acme/large")
		return len(l) != 1 ||
			l[0].Weight != 0
	}() {
		t.Error("a provider whose credentials all weigh nothing takes calls")
	}
	if c := build(t, Input{Text: several}); func() bool { _, _, ok := c.Resolve("acme/large"); return ok }() {
		t.Error("a provider without any of its credentials takes part")
	}
}

func TestCredentials_Faults(t *testing.T) {
	for text, want := range map[string]string{
		"credentials: []":                                             "want at least one credential",
		"credentials: [{weight: 1}]":                                  "credentials[0]: a credential needs a secret",
		"credentials: [{secret: env:A, weight: -1}]":                  "credentials[0].weight: want a whole number from 0 to 1000",
		"credentials: [{secret: env:A, key: b}]":                      "credentials[0].key: unknown setting",
		"credentials: [{secret: env:A}]\n    api_key: env:B":          "not both",
		"api_key: env:A\n    credentials: [{secret: env:A}]":          "not both",
		"auth: {kind: none}\n    credentials: [{secret: env:A}]":      "cannot be several where auth is of kind none",
		"credentials: [{secret: env:ONE}, {secret: sk-hunter2value}]": "credentials[1].secret: ",
	} {
		_, err := try(t, Input{Text: "providers:\n  acme:\n    " + text + "\n"}, "ONE")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A credential that can't be sent in a header is a fault of the configuration, which names the
// reference and not its value.
func TestCredentialWithALineEndIsAFault(t *testing.T) {
	o := Options{Secrets: func(context.Context, string) (secret.Value, error) { return secret.New("sk-hunter2\nvalue"), nil }}
	_, err := Build(t.Context(), Input{Text: "providers:\n  openai: {api_key: env:ONE}\n"}, o)
	if err == nil || !strings.Contains(err.Error(), "env:ONE") || !strings.Contains(err.Error(), "line end") ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// A credential file that others can read or write prevents the start; otherwise, its provider
// would be missing without explanation.
func TestCredentialFileOfWideRightsIsAFault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("sk-hunter2value"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, wide := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o602: true, 0o660: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Build(t.Context(), Input{Text: "providers:\n  openai: {api_key: \"file:" + path + "\"}\n"}, Options{})
		if (err != nil) != wide || wide && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%o: %v", mode, err)
		}
	}
}
