package catalogue

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers/secret"
)

// TestBuild_AWS: a provider whose calls are signed takes part if both keys are available; the
// session token is sent if there is one.
func TestBuild_AWS(t *testing.T) {
	const doc = `
name: cloud
adapter: bedrock
base_url: https://bedrock-runtime.eu-west-1.amazonaws.com
auth: {kind: aws, access_key: env:ID, secret: env:KEY, session_token: env:TOKEN}
models: [{id: large}]`
	for _, c := range []struct {
		set   []string
		takes bool
		token string
	}{
		{[]string{"KEY"}, false, ""},
		{[]string{"ID"}, false, ""},
		{[]string{"ID", "KEY"}, true, ""},
		{[]string{"ID", "KEY", "TOKEN"}, true, "value of TOKEN"},
	} {
		t.Run(strings.Join(c.set, "+"), func(t *testing.T) {
			resolve := func(_ context.Context, ref string) (secret.Value, error) {
				name := strings.TrimPrefix(ref, "env:")
				if !slices.Contains(c.set, name) {
					return secret.Value{}, fmt.Errorf("where it is asked: %w", &secret.NotSetError{Name: name})
				}
				return secret.New("value of " + name), nil
			}
			built, err := Build(t.Context(), Input{Documents: []string{doc}}, Options{Data: files(), Secrets: resolve})
			if err != nil {
				t.Fatal(err)
			}
			list, _, ok := built.Resolve("cloud/large")
			if ok != c.takes {
				t.Fatalf("takes part: %t", ok)
			}
			if !ok {
				return
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, list[0].BaseURL+"/model/large/converse",
				strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if err := list[0].Auth.Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get("Authorization"); !strings.Contains(got, "Credential=value of ID/") ||
				!strings.Contains(got, "/eu-west-1/bedrock/aws4_request") {
				t.Errorf("signed %q", got)
			}
			if got := r.Header.Get("X-Amz-Security-Token"); got != c.token {
				t.Errorf("session token %q, want %q", got, c.token)
			}
		})
	}
}
