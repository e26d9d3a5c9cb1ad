package main

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"

	"tallyroute/billing/billingtest/prove"
	pt "tallyroute/providers/providertest"
)

// Whatever a provider has sent reaches the client before more of it is waited
// for, through the whole program: here each part is sent only once the client
// has all of the part before.
func TestStreamIsNotHeldBack(t *testing.T) {
	word := func(s string) string {
		return "data: " + strings.Replace(attackWord, "hello there", s, 1) + "\n\n"
	}
	seen := map[string]chan struct{}{"one": make(chan struct{}), "three": make(chan struct{}), "four": make(chan struct{})}
	g := attacked(t, "", pt.Script(
		pt.Write(word("one")), pt.Until(seen["one"]),
		pt.Write(word("two")+word("three")+": a comment\n\ndata: {\"id\""), pt.Until(seen["three"]),
		pt.Write(strings.TrimPrefix(word("four"), `data: {"id"`)), pt.Until(seen["four"]),
		pt.Event(attackFinish), pt.Event(attackUsage), pt.Event("[DONE]"),
	))
	ctx, cancel := context.WithTimeout(t.Context(), prove.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Address("public")+"/v1/chat/completions",
		strings.NewReader(attackStream))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Authorization", "Bearer "+g.secret)
	resp, err := attackClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewScanner(resp.Body)
	for _, want := range []string{"one", "two", "three", "four", `"stop"`, "[DONE]"} {
		for events.Scan() && events.Text() == "" {
		}
		if !strings.Contains(events.Text(), want) {
			t.Fatalf("%q (%v), want %s", events.Text(), events.Err(), want)
		}
		if c := seen[want]; c != nil {
			close(c)
		}
	}
	g.rows(1)
}
