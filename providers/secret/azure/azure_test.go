package azure_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/providers/secret/azure"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/secret/secrettest"
)

func start(t *testing.T) (*secrettest.REST, *azure.Vaults) {
	server := secrettest.NewAzure(t)
	return server, azure.New(azure.Options{
		Endpoint: server.URL, Client: server.Client, Token: func(context.Context) (string, error) { return "good", nil },
		Pause: func(context.Context, time.Duration) error { return nil },
	})
}

func TestAzureReadsVersions(t *testing.T) {
	server, v := start(t)
	server.Put("openai", "one")
	server.Put("openai", "two")
	for name, want := range map[string]string{"corp/openai": "two", fmt.Sprintf("corp/openai/%032d", 1): "one"} {
		if got, err := v.Fetch(t.Context(), name); err != nil || got.Text.Reveal() != want || len(got.Version) != 32 {
			t.Errorf("%s: %s %s, %v", name, got.Text.Reveal(), got.Version, err)
		}
	}
	for _, name := range []string{"corp/none", fmt.Sprintf("corp/openai/%032d", 9)} {
		if _, err := v.Fetch(t.Context(), name); !manager.Is(err, manager.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "corp", "corp/a_b", "corp.evil.example/x", "corp/a/b/c", "a@b/x"} {
		if _, err := v.Fetch(t.Context(), name); err == nil || manager.Is(err, manager.NotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	server.Fail(secrettest.Fault{Status: http.StatusTooManyRequests, RetryAfter: "2", Body: `{"error":{"code":"Throttled"}}`})
	if _, err := v.Fetch(t.Context(), "corp/openai"); err != nil {
		t.Errorf("throttled once: %v", err)
	}
	server.Fail(secrettest.Fault{
		Status: http.StatusForbidden,
		Body:   `{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}`,
	})
	if _, err := v.Fetch(t.Context(), "corp/openai"); !manager.Is(err, manager.Denied) {
		t.Error(err)
	}
	server.Do(func() { server.Token = "other" })
	if _, err := v.Fetch(t.Context(), "corp/openai"); !manager.Is(err, manager.Expired) {
		t.Errorf("a token that has expired: %v", err)
	}
}

func TestAzureWritesAndRecovers(t *testing.T) {
	server, v := start(t)
	for _, text := range []string{"1", "2", "2"} {
		if err := v.Write(t.Context(), "corp/web", text, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(server.Secrets["web"].Versions); n != 2 {
		t.Errorf("%d versions", n)
	}
	for range 2 {
		if err := v.Delete(t.Context(), "corp/web"); err != nil {
			t.Error(err)
		}
	}
	if err := v.Write(t.Context(), "corp/web#token", "t", nil); err != nil || server.Text("web") != `{"token":"t"}` {
		t.Errorf("after it was deleted: %v, %s", err, server.Text("web"))
	}
	if err := v.Write(t.Context(), "corp/web#more", "m", nil); err != nil || server.Text("web") != `{"more":"m","token":"t"}` {
		t.Errorf("%v, %s", err, server.Text("web"))
	}
	if err := v.Delete(t.Context(), "corp/web#more"); err != nil || server.Text("web") != `{"token":"t"}` {
		t.Errorf("%v, %s", err, server.Text("web"))
	}
}

// TestAzureTellsOfLoginsThatReachTooFar: what a login may do besides is named, and nothing is changed.
func TestAzureTellsOfLoginsThatReachTooFar(t *testing.T) {
	server, v := start(t)
	server.Put("openai", "one")
	server.Put("other", "two")
	use := manager.Use{Names: []string{"corp/openai"}, Places: []string{"keys"}}
	server.May = func(action, name string) bool { return action == "read" && name == "openai" }
	if wide, err := v.Reach(t.Context(), use); err != nil || len(wide) != 0 {
		t.Errorf("a narrow login: %q, %v", wide, err)
	}
	server.May = nil
	wide, err := v.Reach(t.Context(), use)
	if text := strings.Join(wide, "\n"); err != nil || len(wide) != 2 || !strings.Contains(text, "may read 1 secrets of the vault corp that nothing here refers to, such as other") {
		t.Errorf("a wide login: %q, %v", wide, err)
	}
}
