package main

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	pt "tallyroute/providers/providertest"
)

// TestARunningRouterSendsTestsToItsChannels: its admin API knows the channels of its
// configuration.
func TestARunningRouterSendsTestsToItsChannels(t *testing.T) {
	got := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	t.Cleanup(hook.Close)
	admin, err := billing.NewSecret(billing.EnvironmentAdmin, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TALLYROUTE_TEST_ADMIN_TOKEN", admin.Reveal())
	t.Setenv("TALLYROUTE_TEST_HOOK_SECRET", strings.Repeat("s", 40))
	g := attacked(t, "admin_token: env:TALLYROUTE_TEST_ADMIN_TOKEN\nalerts: {channels: [{name: hook, kind: webhook, private: true, "+
		"address: \""+hook.URL+"\", secret: env:TALLYROUTE_TEST_HOOK_SECRET}]}\n", pt.JSON(http.StatusOK, attackAnswer))
	test := adminapi.Post("/alerts/test", cli.Fields{"channel": "hook"})
	if err := (adminapi.API{Transport: http.DefaultTransport, Base: "http://" + g.Address("admin"), Token: admin.Reveal()}).
		Do(t.Context(), test, nil); err != nil {
		t.Fatal(err)
	}
	if body := prove.Receive(t, "the test", got); !strings.Contains(body, "This is a test") {
		t.Error(body)
	}
}

func TestEventsOfEveryKindCanBeListed(t *testing.T) {
	for _, k := range billing.EventKinds() {
		a := &cli.Context{Ctx: t.Context(), Stdout: io.Discard, Stderr: io.Discard}
		parser, err := parserOf(a, &grammar{}, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"events", "list", "--kind", string(k)}); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}
