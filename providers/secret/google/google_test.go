package google_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/providers/secret/google"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/secret/secrettest"
)

func start(t *testing.T) (*secrettest.REST, *google.Secrets) {
	server := secrettest.NewGoogle(t)
	return server, google.New(google.Options{
		Endpoint: server.URL, Client: server.Client, Token: func(context.Context) (string, error) { return "good", nil },
		Pause: func(context.Context, time.Duration) error { return nil },
	})
}

func TestGoogleReadsVersions(t *testing.T) {
	server, s := start(t)
	server.Put("projects/p/secrets/openai", "one")
	server.Put("projects/p/secrets/openai", "two")
	for name, want := range map[string]string{
		"p/openai": "two 2", "p/openai/1": "one 1", "projects/p/secrets/openai": "two 2", "projects/p/secrets/openai/versions/1": "one 1",
	} {
		if got, err := s.Fetch(t.Context(), name); err != nil || got.Text.Reveal()+" "+got.Version != want {
			t.Errorf("%s: %s %s, %v", name, got.Text.Reveal(), got.Version, err)
		}
	}
	server.Do(func() { server.Secrets["projects/p/secrets/openai"].Off[1] = true })
	for _, name := range []string{"p/openai/1", "p/openai/7", "p/none"} {
		if _, err := s.Fetch(t.Context(), name); !manager.Is(err, manager.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "p", "p/a/b/c", "p/../x", "projects/p/secrets/a/b"} {
		if _, err := s.Fetch(t.Context(), name); err == nil || strings.Contains(err.Error(), "(") {
			t.Errorf("%q: %v", name, err)
		}
	}
	server.Fail(secrettest.Fault{Status: http.StatusTooManyRequests, Body: `{"error":{"status":"RESOURCE_EXHAUSTED"}}`})
	if _, err := s.Fetch(t.Context(), "p/openai"); err != nil {
		t.Errorf("throttled once: %v", err)
	}
	server.Fail(secrettest.Fault{Status: http.StatusOK, Body: `{"name":"x/1","payload":{"data":"b25l","dataCrc32c":"1"}}`})
	if _, err := s.Fetch(t.Context(), "p/openai"); !manager.Is(err, manager.Invalid) {
		t.Errorf("damaged on the way: %v", err)
	}
	server.Do(func() { server.Token = "other" })
	if _, err := s.Fetch(t.Context(), "p/openai"); !manager.Is(err, manager.Expired) {
		t.Errorf("a token that has expired: %v", err)
	}
}

// What is written becomes the latest version. All older versions but one are disabled, whichever
// page of the list they are on.
func TestGoogleDisablesOldVersions(t *testing.T) {
	server, s := start(t)
	for _, text := range []string{"1", "2", "2", "3"} {
		if err := s.Write(t.Context(), "p/new", text, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		server.Put("projects/p/secrets/many", "by others")
	}
	if err := s.Write(t.Context(), "p/many", "ours", nil); err != nil {
		t.Fatal(err)
	}
	if k := server.Secrets["projects/p/secrets/new"]; len(k.Versions) != 3 || !k.Off[1] || k.Off[2] || k.Off[3] {
		t.Errorf("%+v", k)
	}
	if k := server.Secrets["projects/p/secrets/many"]; len(k.Off) != 4 || k.Off[5] || k.Off[6] {
		t.Errorf("%+v", k)
	}
	if err := s.Write(t.Context(), "p/obj#token", "t", nil); err != nil || server.Text("projects/p/secrets/obj") != `{"token":"t"}` {
		t.Errorf("%v, %s", err, server.Text("projects/p/secrets/obj"))
	}
	for range 2 {
		for _, place := range []string{"p/obj#token", "p/new"} {
			if err := s.Delete(t.Context(), place); err != nil {
				t.Error(err)
			}
		}
	}
	if server.Text("projects/p/secrets/new") != "" || server.Text("projects/p/secrets/obj") != "" {
		t.Error("they are still there")
	}
}

// TestGoogleTellsOfLoginsThatReachTooFar: what a login may do besides is named, and nothing is changed.
func TestGoogleTellsOfLoginsThatReachTooFar(t *testing.T) {
	server, s := start(t)
	server.Put("projects/p/secrets/openai", "one")
	server.Put("projects/p/secrets/other", "two")
	use := manager.Use{Names: []string{"p/openai", "p/openai/1"}}
	server.May = func(action, name string) bool { return action == "read" && name == "projects/p/secrets/openai" }
	if wide, err := s.Reach(t.Context(), use); err != nil || len(wide) != 0 {
		t.Errorf("a narrow login: %q, %v", wide, err)
	}
	server.May = nil
	wide, err := s.Reach(t.Context(), use)
	if text := strings.Join(wide, "\n"); err != nil || len(wide) != 3 || !strings.Contains(text, "read every secret of projects/p") {
		t.Errorf("a wide login: %q, %v", wide, err)
	}
	if server.Text("projects/p/secrets/openai") != "one" {
		t.Error("it was changed")
	}
}
