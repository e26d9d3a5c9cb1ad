package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
)

// asking sends a request and returns the connection.
func (g *rig) asking(body string) *net.TCPConn {
	g.t.Helper()
	c, _ := g.dial().(*net.TCPConn)
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: "+
		"application/json\r\nContent-Length: %d\r\n\r\n%s", g.secret, len(body), body)
	return c
}

// TestHalfClosedClientGetsItsAnswer: a client that says it will send nothing more has not gone.
// It gets exactly the same answer as any other.
func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		body, want string
		fails      bool
	}{
		"plain":         {hi, `"content":"hello"`, false},
		"streamed":      {hiStream, "data: [DONE]", false},
		"refused":       {`{"model":"none","messages":[]}`, `"code":"`, false},
		"failed":        {hi, `"code":"all_providers_failed"`, true},
		"not even JSON": {`{`, `"code":"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			closed := make(chan struct{})
			if tc.body == hiStream {
				g.streams(text("hel"), event{do: func(context.Context) { <-closed }}, text("lo"), finish())
			} else {
				g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
					<-closed
					if tc.fails {
						return nil, &providers.Error{Provider: x.Target.Provider, Kind: providers.KindOverload, Status: 503}
					}
					return plainAnswer(), nil
				}
			}
			c := g.asking(tc.body)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			settle := make(chan string)
			go func() {
				answer, _ := io.ReadAll(c)
				settle <- string(answer)
			}()
			close(closed)
			answer := prove.Receive(t, "the answer", settle)
			if !strings.HasPrefix(answer, "HTTP/1.1 ") || strings.Count(answer, "HTTP/1.") != 1 || !strings.Contains(answer, tc.want) {
				t.Errorf("%q", answer)
			}
		})
	}
}

// TestHalfClosedClientIsWaitedFor: despite all that is written to check whether it is still there.
func TestHalfClosedClientIsWaitedFor(t *testing.T) {
	g := newRig(t)
	release := make(chan struct{})
	g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
		<-release
		return plainAnswer(), nil
	}
	c := g.asking(hi)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 3)
	if _, err := io.ReadFull(c, first); err != nil || string(first) != lead[:3] {
		t.Fatalf("%q, %v", first, err)
	}
	close(release)
	rest, err := io.ReadAll(c)
	if answer := string(first) + string(rest); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") ||
		!strings.HasSuffix(answer, "}") {
		t.Errorf("%q, %v", answer, err)
	}
	if s := g.waitSettled().Attempts[0]; s.Status != billing.StatusOK {
		t.Errorf("row %+v", s)
	}
}

// TestClientThatHasGoneIsTold apart from one that has only closed its side.
func TestClientThatHasGoneIsTold(t *testing.T) {
	for _, body := range []string{hi, hiStream} {
		g := newRig(t)
		began, ended := make(chan struct{}), make(chan struct{})
		g.sender.play = func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
			close(began)
			<-ctx.Done()
			close(ended)
			return nil, &providers.Error{Provider: x.Target.Provider, Kind: providers.KindCanceled, Err: ctx.Err()}
		}
		change := strings.Replace(body, `"m"`, `"stops"`, 1)
		c := g.asking(change)
		prove.Receive(t, "the call", began)
		_ = c.Close()
		prove.Receive(t, "the end of the call", ended)
	}
}

// TestClientThatHangsUpAtAnyEntranceIsCharged makes clients leave at every point of a stream:
// the call ends, what was used is booked, and nothing stays held.
func TestClientThatHangsUpAtAnyEntranceIsCharged(t *testing.T) {
	for _, c := range []struct{ path, body string }{{"/v1/messages", hiMessage}, {"/v1/responses", hiResponse}} {
		for _, deltas := range []int{1, 2, 3} {
			g := newRig(t)
			gone := make(chan struct{})
			events := []event{text("a"), text("b"), text("c")}
			g.streams(append(events[:deltas:deltas], event{do: func(ctx context.Context) { <-ctx.Done(); close(gone) }})...)
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := g.client.Do(g.request(http.MethodPost, c.path, streamed(c.body)).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(resp.Body)
			for seen := 0; seen < deltas && lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), "delta\"") {
					seen++
				}
			}
			cancel()
			_ = resp.Body.Close()
			prove.Receive(t, "the end of the provider's call", gone)
			rows := g.waitSettled().Attempts
			if len(rows) != 1 || rows[0].Status != billing.StatusClientAborted || rows[0].Tokens.Total() == 0 {
				t.Errorf("%s after %d: rows %+v", c.path, deltas, rows)
			}
			prove.Eventually(t, "nothing is held", func() bool { return g.ledger.held.Load() == 0 })
		}
	}
}
