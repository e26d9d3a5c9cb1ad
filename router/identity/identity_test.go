package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"tallyroute/router/identity/identitytest"
)

func provider(s *identitytest.Server, change ...func(*Config)) *Provider {
	c := Config{Issuer: s.URL, ClientID: identitytest.Client, ClientSecret: identitytest.Secret, Scopes: []string{"email"}}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

// logIn goes through a whole login.
func logIn(t *testing.T, s *identitytest.Server, p *Provider) (Person, error) {
	t.Helper()
	a := Attempt{
		State: "the state", Nonce: "the nonce", Verifier: "a verifier of more than forty-three characters, as PKCE wants",
		Redirect: "http://127.0.0.1:1/cb",
	}
	page, err := p.URL(t.Context(), a)
	if err != nil {
		return Person{}, err
	}
	back := s.Browse(page).Query()
	if back.Get("state") != a.State {
		t.Errorf("state %q", back.Get("state"))
	}
	who, err := p.Finish(t.Context(), a, back.Get("code"))
	if err == nil {
		if _, again := p.Finish(t.Context(), a, back.Get("code")); !errors.Is(again, ErrRefused) {
			t.Errorf("the code is good twice: %v", again)
		}
	}
	return who, err
}

func TestPersonIsWhomTheProviderSigned(t *testing.T) {
	s := identitytest.New(t)
	s.Person["groups"], s.Person["amr"], s.Person["acr"] = []string{"a", "b"}, []string{"pwd", "otp"}, "gold"
	p := provider(s)
	who, err := logIn(t, s, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(who.Issuer == s.URL, who.Subject, who.Email, who.EmailVerified, who.Name, who.Groups, who.Strength); got !=
		"true u1 ann@example.com true ann [a b] [pwd otp gold]\n" || time.Since(who.AuthenticatedAt) > time.Hour {
		t.Errorf("%s at %s", got, who.AuthenticatedAt)
	}
	s.Rotate()
	if _, err := logIn(t, s, p); err != nil {
		t.Errorf("after the provider changed its key: %v", err)
	}
}

// TestForgeriesAreRefused forges an id token in every way that a client must detect.
func TestForgeriesAreRefused(t *testing.T) {
	for name, change := range map[string]func(*identitytest.Server){
		"another's key": func(s *identitytest.Server) { s.Forge = identitytest.Stranger },
		"no signature":  func(s *identitytest.Server) { s.Forge = identitytest.Unsigned },
		"no token": func(s *identitytest.Server) {
			s.Forge = func(*identitytest.Server, identitytest.Claims) string { return "" }
		},
		"another issuer":    func(s *identitytest.Server) { s.Break = set("iss", "https://evil.example.com") },
		"another audience":  func(s *identitytest.Server) { s.Break = set("aud", "other") },
		"several audiences": func(s *identitytest.Server) { s.Break = set("aud", []string{identitytest.Client, "other"}) },
		"another party":     func(s *identitytest.Server) { s.Break = set("azp", "other") },
		"another nonce":     func(s *identitytest.Server) { s.Break = set("nonce", "other") },
		"no nonce":          func(s *identitytest.Server) { s.Break = func(c identitytest.Claims) { delete(c, "nonce") } },
		"expired":           func(s *identitytest.Server) { s.Break = set("exp", time.Now().Add(-time.Hour).Unix()) },
		"not yet":           func(s *identitytest.Server) { s.Break = set("nbf", time.Now().Add(time.Hour).Unix()) },
		"no subject":        func(s *identitytest.Server) { s.Break = set("sub", "") },
		"another access":    func(s *identitytest.Server) { s.Break = set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA") },
		"another user": func(s *identitytest.Server) {
			s.UserInfo = identitytest.Claims{"sub": "somebody", "groups": []string{"admins"}}
		},
		"groups elsewhere": func(s *identitytest.Server) {
			s.Person["_claim_names"] = identitytest.Claims{"groups": "src1"}
			s.Person["_claim_sources"] = identitytest.Claims{"src1": identitytest.Claims{"endpoint": "https://evil.example.com/groups"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := identitytest.New(t)
			change(s)
			if who, err := logIn(t, s, provider(s)); !errors.Is(err, ErrRefused) {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
}

func set(name string, v any) func(identitytest.Claims) {
	return func(c identitytest.Claims) { c[name] = v }
}

// TestGroupsAreFoundWhereverTheyAre: in the id token, at a path in it, in the user info, at
// their own address; as a list, as a single string, and not at all.
func TestGroupsAreFoundWhereverTheyAre(t *testing.T) {
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprint("group ", i)
	}
	for name, c := range map[string]struct {
		claim  string
		change func(*identitytest.Server)
		want   []string
	}{
		"id token": {"groups", func(s *identitytest.Server) { s.Person["groups"] = []any{"a", 1, "b"} }, []string{"a", "b"}},
		"one text": {"groups", func(s *identitytest.Server) { s.Person["groups"] = "a" }, []string{"a"}},
		"a path": {
			"realm_access.roles",
			func(s *identitytest.Server) { s.Person["realm_access"] = map[string]any{"roles": []string{"r"}} },
			[]string{"r"},
		},
		"an url": {
			"https://x.example.com/g", func(s *identitytest.Server) { s.Person["https://x.example.com/g"] = []string{"u"} },
			[]string{"u"},
		},
		"user info": {"groups", func(s *identitytest.Server) { s.UserInfo = identitytest.Claims{"groups": []string{"i"}} }, []string{"i"}},
		"too many": {"groups", func(s *identitytest.Server) {
			s.ManyGroups = many
			s.Person["_claim_names"] = identitytest.Claims{"groups": "src1"}
			s.Person["_claim_sources"] = identitytest.Claims{"src1": identitytest.Claims{"endpoint": s.URL + "/groups"}}
		}, many},
		"none": {"groups", func(*identitytest.Server) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := identitytest.New(t)
			c.change(s)
			who, err := logIn(t, s, provider(s, func(o *Config) { o.GroupsClaim = c.claim }))
			if err != nil || !slices.Equal(who.Groups, c.want) {
				t.Errorf("%v, %v", who.Groups, err)
			}
		})
	}
}

func TestAddressOfUserInfoCountsWhereTheTokenHasNone(t *testing.T) {
	s := identitytest.New(t)
	delete(s.Person, "email")
	delete(s.Person, "email_verified")
	s.UserInfo = identitytest.Claims{"email": "ann@example.com", "email_verified": "true"}
	who, err := logIn(t, s, provider(s))
	if err != nil || who.Email != "ann@example.com" || !who.EmailVerified {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestVerifierOfAnotherAttemptIsRefused(t *testing.T) {
	s := identitytest.New(t)
	p := provider(s)
	a := Attempt{
		State: "s", Nonce: "n", Verifier: "a verifier of more than forty-three characters, as PKCE wants",
		Redirect: "http://127.0.0.1:1/cb",
	}
	page, err := p.URL(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	a.Verifier += "!"
	if _, err := p.Finish(t.Context(), a, s.Browse(page).Query().Get("code")); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestDeviceFlow(t *testing.T) {
	s := identitytest.New(t)
	p := provider(s)
	d, err := p.BeginDevice(t.Context())
	if err != nil || d.UserCode == "" || d.URL == "" {
		t.Fatalf("%+v, %v", d, err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.FinishDevice(soon, d); !errors.Is(err, ErrPending) {
		t.Error(err)
	}
	s.Approve()
	if who, err := p.FinishDevice(t.Context(), d); err != nil || who.Subject != "u1" {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := p.FinishDevice(t.Context(), d); !errors.Is(err, ErrRefused) {
		t.Errorf("a second time: %v", err)
	}
}

// TestProviderThatComesLateIsFound: a provider that was unavailable at first is asked again.
func TestProviderThatComesLateIsFound(t *testing.T) {
	s := identitytest.New(t)
	away := true
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		s.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.URL = front.URL
	p := provider(s)
	if _, err := logIn(t, s, p); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	away = false
	if _, err := logIn(t, s, p); err != nil {
		t.Error(err)
	}
}
