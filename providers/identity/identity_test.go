package identity_test

import (
	"context"
	"testing"

	"tallyroute/providers/identity"
	"tallyroute/providers/identity/identitytest"
)

// AWS tells a process who it is in each of the supported ways, and is asked only once.
func TestAWSLendsKeysToWhoeverRunsThere(t *testing.T) {
	for as, want := range map[string]string{
		"pod": "ASIAPOD", "machine": "ASIAMACHINE", "container": "ASIACONTAINER", "profile": "ASIAPROFILE",
	} {
		t.Run(as, func(t *testing.T) {
			c := identitytest.New(t)
			c.AWS(as)
			var host identity.Host
			for range 3 {
				if got, err := host.AWS("", "").Retrieve(t.Context()); err != nil || got.AccessKeyID != want {
					t.Fatalf("%v, %v", got.AccessKeyID, err)
				}
			}
			if region, err := host.AWS("", "").Home(t.Context()); err != nil || region != "eu-west-1" {
				t.Errorf("%s, %v", region, err)
			}
			for _, at := range []string{"sts", "imds", "container"} {
				if n := c.Asked(at); n > 1 {
					t.Errorf("%s was asked %d times", at, n)
				}
			}
		})
	}
}

func TestAWSProfileByName(t *testing.T) {
	c := identitytest.New(t)
	c.File("credentials", "[one]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n[two]\naws_access_key_id = AKIA2\n"+
		"aws_secret_access_key = s\n")
	var host identity.Host
	for profile, want := range map[string]string{"one": "AKIA1", "two": "AKIA2"} {
		if got, err := host.AWS("eu-west-1", profile).Retrieve(t.Context()); err != nil || got.AccessKeyID != want {
			t.Errorf("%s: %v, %v", profile, got.AccessKeyID, err)
		}
	}
}

func TestAzureGivesTokensToWhoeverRunsThere(t *testing.T) {
	for as, want := range map[string]string{
		"pod": "azure-pod of https%3A%2F%2Fvault.azure.net%2F.default", "app": "azure-app of https://vault.azure.net",
	} {
		t.Run(as, func(t *testing.T) {
			c := identitytest.New(t)
			c.Azure(as)
			host := identity.Host{Client: c.Client}
			for range 2 {
				if got, err := host.Azure("https://vault.azure.net/.default", "")(t.Context()); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
				}
			}
			if n := c.Asked("entra") + c.Asked("app-service"); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
	t.Run("an identity of several", func(t *testing.T) {
		host := identity.Host{Client: identitytest.New(t).Client}
		if got, err := host.Azure("https://x/.default", "user-assigned")(t.Context()); err != nil ||
			got != "azure-machine of user-assigned" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestGoogleGivesTokensToWhoeverRunsThere(t *testing.T) {
	for as, want := range map[string]string{"machine": "google-machine", "federated": "google-federated"} {
		t.Run(as, func(t *testing.T) {
			c := identitytest.New(t)
			c.Google(as)
			var host identity.Host
			for range 2 {
				if got, err := host.Google()(t.Context()); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
				}
			}
			if n := c.Asked("google") + c.Asked("google-sts"); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestCloudsSayToOthersWhoWeAre(t *testing.T) {
	c := identitytest.New(t)
	c.AWS("pod")
	c.Google("machine")
	var host identity.Host
	for want, token := range map[string]identity.Token{
		"proof of aws for aud-1": host.AWS("", "").Proof("aud-1"), "proof of google for aud-1": host.GoogleProof("aud-1"),
	} {
		if got, err := token(t.Context()); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// An outage is distinguished from a refusal, and nobody waits longer than they want to.
func TestServiceThatIsDownIsNoRefusal(t *testing.T) {
	c := identitytest.New(t)
	c.Google("federated")
	c.Down()
	var host identity.Host
	if _, err := host.Google()(t.Context()); !identity.Unreachable(err) {
		t.Errorf("down: %v", err)
	}
	c.Up()
	c.File("google-token", "another jwt")
	if _, err := host.Google()(t.Context()); err == nil || identity.Unreachable(err) {
		t.Errorf("refused: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := host.Google()(gone); err == nil {
		t.Error("a caller who has gone is waited for")
	}
}
