package providertest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	pt "tallyroute/providers/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get sends a request. It uses a client of its own, so that no connection is reused.
func get(t *testing.T, ctx context.Context, u *pt.Upstream) (*http.Response, error) {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.URL()+"/v1/x?a=b", strings.NewReader("ask"))
	if err != nil {
		t.Fatal(err)
	}
	return tr.RoundTrip(req)
}

func TestUpstreamScripts(t *testing.T) {
	for name, c := range map[string]struct {
		reply pt.Reply
		want  string // of the body
		end   error
	}{
		"plain":  {pt.JSON(201, `{}`), `{}`, nil},
		"stream": {pt.Stream("a", "b"), "data: a\n\ndata: b\n\ndata: [DONE]\n\n", nil},
		"cut":    {pt.Script(pt.Event("a"), pt.Cut()), "data: a\n\ndata: {\"id", io.ErrUnexpectedEOF},
		"reset":  {pt.Script(pt.Event("a"), pt.Reset()), "", syscall.ECONNRESET},
		"raw":    {pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")}}, "abc", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, c.reply)
			resp, err := get(t, t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if !errors.Is(err, c.end) {
				t.Errorf("body ended with %v, want %v", err, c.end)
			}
			if c.want != "" && string(body) != c.want {
				t.Errorf("body %q, want %q", body, c.want)
			}
			call := u.Wait(t, 1)
			if call.Path != "/v1/x" || call.Query != "a=b" || string(call.Body) != "ask" {
				t.Errorf("saw %+v", call)
			}
			pt.Await(t, "end of the script", call.Done)
		})
	}
}

func TestUpstreamSeesTheCallerGo(t *testing.T) {
	u := pt.NewUpstream(t, pt.Script(pt.Event("a"), pt.Hang()))
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := get(t, ctx, u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	call := u.Wait(t, 1)
	select {
	case <-call.Gone:
		t.Fatal("gone before it was")
	default:
	}
	cancel()
	_ = resp.Body.Close()
	pt.Await(t, "the caller's going", call.Gone)
}

func TestUpstreamWaitsAndRepeats(t *testing.T) {
	gate := make(chan struct{})
	u := pt.NewUpstream(t, pt.JSON(500, "first"), pt.Reply{Steps: []pt.Step{pt.Until(gate), pt.Write("second")}})
	for i, want := range []string{"first", "second", "second"} {
		if i == 1 {
			close(gate)
		}
		resp, err := get(t, t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != want {
			t.Errorf("answer %d is %q", i, body)
		}
	}
	if n := len(u.Calls()); n != 3 {
		t.Errorf("%d calls seen", n)
	}
}

func TestUpstreamGzipBomb(t *testing.T) {
	u := pt.NewUpstream(t, pt.GzipBomb(10<<20))
	resp, err := get(t, t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n > 100<<10 || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes as %q, %v", n, resp.Header.Get("Content-Encoding"), err)
	}
}
