package conjur_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/conjur"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/secret/secrettest"
)

func start(t *testing.T, change func(*conjur.Options)) (*secrettest.REST, *secrettest.Clock, *conjur.Conjur) {
	server, clock := secrettest.NewConjur(t), secrettest.NewClock()
	o := conjur.Options{
		Address: server.URL, Account: "acme", Login: "host/router", Client: server.Client, Clock: clock.Now,
		Secret: func(context.Context) (secret.Value, error) { return secret.New("api-key-1"), nil },
		Pause:  func(context.Context, time.Duration) error { return nil },
	}
	if change != nil {
		change(&o)
	}
	return server, clock, conjur.New(o)
}

func TestConjurReadsVersionsByEitherLogin(t *testing.T) {
	for name, change := range map[string]func(*conjur.Options){
		"API key": nil,
		"JWT": func(o *conjur.Options) {
			o.Login, o.Service = "", "idp"
			o.Secret = func(context.Context) (secret.Value, error) { return secret.New("jwt-1"), nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, clock, c := start(t, change)
			server.Put("prod/openai/key", "one")
			server.Put("prod/openai/key", "two")
			for name, want := range map[string]string{"prod/openai/key": "two 2", "prod/openai/key?version=1": "one 1"} {
				for range 2 {
					if got, err := c.Fetch(t.Context(), name); err != nil || got.Text.Reveal()+" "+got.Version != want {
						t.Errorf("%s: %s %s, %v", name, got.Text.Reveal(), got.Version, err)
					}
				}
			}
			clock.Add(time.Hour)
			if _, err := c.Fetch(t.Context(), "prod/openai/key"); err != nil || server.Logins != 2 {
				t.Errorf("%v, %d logins", err, server.Logins)
			}
			server.Do(func() { server.Token = "another" }) // so that our token has expired
			if _, err := c.Fetch(t.Context(), "prod/openai/key"); err != nil || server.Logins != 3 {
				t.Errorf("%v, %d logins", err, server.Logins)
			}
			for _, name := range []string{"none", "prod/openai/key?version=9"} {
				if _, err := c.Fetch(t.Context(), name); !manager.Is(err, manager.NotFound) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestConjurRefusesAWrongLoginWithoutTellingIt(t *testing.T) {
	_, _, c := start(t, func(o *conjur.Options) {
		o.Secret = func(context.Context) (secret.Value, error) { return secret.New("CANARY"), nil }
	})
	if _, err := c.Fetch(t.Context(), "x"); !manager.Is(err, manager.Expired) || strings.Contains(fmt.Sprintf("%+v", err), "CANARY") {
		t.Errorf("%+v", err)
	}
}

func TestConjurWrites(t *testing.T) {
	server, _, c := start(t, nil)
	server.Do(func() { server.Secrets["keys/web"] = &secrettest.Kept{} })
	for _, text := range []string{"1", "2", "2"} {
		if err := c.Write(t.Context(), "keys/web", text, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(server.Secrets["keys/web"].Versions); n != 2 || server.Text("keys/web") != "2" {
		t.Errorf("%d versions", n)
	}
	if err := c.Write(t.Context(), "keys/none", "x", nil); !manager.Is(err, manager.NotFound) {
		t.Errorf("a variable that was not declared: %v", err)
	}
	for range 2 {
		if err := c.Delete(t.Context(), "keys/web"); err != nil || server.Text("keys/web") == "2" {
			t.Errorf("%v: %s", err, server.Text("keys/web"))
		}
	}
}

// TestConjurTellsOfLoginsThatReachTooFar: what a login may do besides is named, and nothing is changed.
func TestConjurTellsOfLoginsThatReachTooFar(t *testing.T) {
	server, _, c := start(t, nil)
	server.Put("prod/openai", "one")
	server.Put("prod/keys/web", "two")
	server.Put("root", "three")
	use := manager.Use{Names: []string{"prod/openai"}, Places: []string{"prod/keys"}}
	server.May = func(action, name string) bool { return action == "read" && name != "root" }
	if wide, err := c.Reach(t.Context(), use); err != nil || len(wide) != 0 {
		t.Errorf("a narrow login: %q, %v", wide, err)
	}
	server.May = nil
	wide, err := c.Reach(t.Context(), use)
	if text := strings.Join(wide, "\n"); err != nil || len(wide) != 2 || !strings.Contains(text, "may read 1 variables that nothing here refers to, such as root") {
		t.Errorf("a wide login: %q, %v", wide, err)
	}
}
