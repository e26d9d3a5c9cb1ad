package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
)

// silent returns a rig whose clients are soon told that their streams are being worked on.
func silent(t *testing.T) *rig {
	t.Helper()
	return newRig(t, func(o *Options) { o.Limits.Silence = 5 * time.Millisecond })
}

// hearing reads a stream as it arrives.
type hearing struct {
	*http.Response
	lines *bufio.Scanner
}

func (g *rig) listen(body string) hearing {
	g.t.Helper()
	resp, err := g.client.Do(g.request(http.MethodPost, "/v1/chat/completions", body))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = resp.Body.Close() })
	return hearing{resp, bufio.NewScanner(resp.Body)}
}

// comment reads up to a comment.
func (l hearing) comment(t *testing.T) {
	t.Helper()
	for l.lines.Scan() {
		if l.lines.Text() == ": keepalive" {
			return
		}
	}
	t.Fatalf("the stream ended without a comment: %v", l.lines.Err())
}

// rest returns what follows, without comments.
func (l hearing) rest() (text string, err error) {
	for l.lines.Scan() {
		if line := l.lines.Text(); !strings.HasPrefix(line, ":") {
			text += line + "\n"
		}
	}
	return text, l.lines.Err()
}

// TestSilentProviderIsNotTakenForADeadConnection: the header and comments arrive before the
// provider sends anything, and the last chunk says what the header could not.
func TestSilentProviderIsNotTakenForADeadConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		body   string
		events []event
		usage  bool
	}{
		"usage not asked for": {hiStream, []event{text("hel"), text("lo"), finish(), usageOnly()}, false},
		"usage in a chunk":    {hiUsage, []event{text("hel"), text("lo"), finish(), usageOnly()}, true},
		"usage not told":      {hiUsage, []event{text("hel"), text("lo"), finish()}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := silent(t)
			heard := make(chan struct{})
			s := g.streams(tc.events...)
			play := g.sender.play
			g.sender.play = func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
				<-heard
				return play(ctx, x)
			}
			l := g.listen(tc.body)
			if l.StatusCode != http.StatusOK || l.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" ||
				l.Header.Get("X-Tallyroute-Provider") != "" {
				t.Fatalf("%d %v", l.StatusCode, l.Header)
			}
			l.comment(t)
			l.comment(t)
			close(heard)
			body, err := l.rest()
			if err != nil {
				t.Fatal(err)
			}
			got := frames(t, body)
			if len(got) < 4 || got[len(got)-1] != "[DONE]" {
				t.Fatalf("%q", got)
			}
			var last struct {
				Usage      *struct{ Cost json.Number } `json:"usage"`
				Tallyroute *served                     `json:"tallyroute"`
			}
			if err := json.Unmarshal([]byte(got[len(got)-2]), &last); err != nil || last.Tallyroute == nil {
				t.Fatalf("%v: %s", err, got[len(got)-2])
			}
			if s := last.Tallyroute; s.Provider != "acme" || s.Attempts != 1 || s.CostUSD == nil || *s.CostUSD == "0" {
				t.Errorf("%+v", s)
			}
			if (last.Usage != nil && last.Usage.Cost != "") != tc.usage {
				t.Errorf("usage: %s", got[len(got)-2])
			}
			g.waitSettled()
			g.waitObserved()
			if s.closed.Load() != 1 {
				t.Error("not closed")
			}
		})
	}
}

// TestFailureAfterACommentIsAnEvent: failover continues until the first content, and if all
// attempts fail, the stream reports it and does not end as if it were complete.
func TestFailureAfterACommentIsAnEvent(t *testing.T) {
	g := silent(t)
	heard := make(chan struct{})
	asked := 0
	g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		asked++
		<-heard
		return nil, &providers.Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: providers.KindOverload, Status: 503}
	}
	l := g.listen(strings.Replace(hiStream, `"m"`, `"two"`, 1))
	l.comment(t)
	close(heard)
	body, err := l.rest()
	if got := frames(t, body); len(got) != 1 || !strings.Contains(got[0], `"code":"all_providers_failed"`) ||
		strings.Contains(body, "[DONE]") || err == nil {
		t.Errorf("%q, %v", got, err)
	}
	if asked < 2 {
		t.Errorf("%d providers were asked", asked)
	}
}

// TestSilenceInTheMiddleOfAnAnswer: comments appear between events, never inside one, and a
// full header is sent if it is known who answers.
func TestSilenceInTheMiddleOfAnAnswer(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Limits.Silence = 20 * time.Millisecond })
	heard := make(chan struct{})
	g.streams(text("hel"), event{do: func(context.Context) { <-heard }}, text("lo"), finish())
	l := g.listen(hiStream)
	l.comment(t)
	close(heard)
	body, err := l.rest()
	if got := frames(t, body); err != nil || len(got) < 3 || got[len(got)-1] != "[DONE]" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestClientThatLeavesInTheSilenceEndsTheCall: a comment that cannot be delivered ends the call
// of a client that has gone.
func TestClientThatLeavesInTheSilenceEndsTheCall(t *testing.T) {
	g := silent(t)
	ended := make(chan struct{})
	g.sender.play = func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
		<-ctx.Done()
		close(ended)
		return nil, &providers.Error{Provider: x.Target.Provider, Kind: providers.KindCanceled, Err: ctx.Err()}
	}
	l := g.listen(hiStream)
	l.comment(t)
	_ = l.Body.Close()
	prove.Receive(t, "the end of the call", ended)
	_, _ = io.Copy(io.Discard, l.Body)
}
