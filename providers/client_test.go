package providers_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
	"tallyroute/providers/auth"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	pt "tallyroute/providers/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ask       = `{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0,"unknown":{"a":[1.50]}}`
	askStream = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`
	canary    = "sk-canary-0123456789abcdef"
)

func client(t testing.TB, o providers.Options) *providers.Client {
	c := providers.NewClient(o)
	t.Cleanup(c.Close)
	return c
}

func exchange(t testing.TB, u *pt.Upstream, body string) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	target := u.Target(openai.New(), "p", "m")
	target.Auth = auth.Bearer(func(context.Context) (string, error) { return canary, nil })
	return providers.Exchange{Target: target, Request: r}
}

// fails makes a call that must fail.
func fails(t testing.TB, c *providers.Client, x providers.Exchange) *providers.Error {
	t.Helper()
	a, err := c.Do(t.Context(), x)
	if err == nil {
		_ = a.Close()
		t.Fatal("the call succeeded")
	}
	return asError(t, err)
}

func asError(t testing.TB, err error) *providers.Error {
	t.Helper()
	e := (*providers.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *providers.Error: %v", err, err)
	}
	if e.Provider != "p" || e.Model != "m" {
		t.Errorf("the error is of %q, %q", e.Provider, e.Model)
	}
	return e
}

// succeeds makes a call that must start successfully.
func succeeds(t testing.TB, c *providers.Client, x providers.Exchange) *providers.Answer {
	t.Helper()
	a, err := c.Do(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func closeTwice(t *testing.T, a *providers.Answer) {
	t.Helper()
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// rest returns the remaining chunks of a stream, and how it ends.
func rest(s chat.Stream) ([]string, error) {
	var list []string
	for {
		c, err := s.Next()
		if err != nil {
			return list, err
		}
		list = append(list, string(c.Data))
	}
}

func words() []string { return pt.Chunks("m", 3, 2, "one", "two") }

func TestPlainCall(t *testing.T) {
	body := pt.Completion("m", "hello", 3, 2)
	u := pt.NewUpstream(t, pt.JSON(200, body).With("X-Request-Id", "req-1"))
	x := exchange(t, u, ask)
	x.Target.Header = http.Header{"X-Extra": {"yes"}}
	a := succeeds(t, client(t, providers.Options{}), x)
	if string(a.Response.Body) != body || a.Response.Text != "hello" || a.Stream != nil || a.Header.Get("X-Request-Id") != "req-1" {
		t.Errorf("%+v", a)
	}
	call := u.Wait(t, 1)
	if string(call.Body) != ask || call.Path != "/chat/completions" || call.Method != http.MethodPost {
		t.Errorf("%s %s: %s", call.Method, call.Path, call.Body)
	}
	want := http.Header{
		"Authorization": {"Bearer " + canary}, "Content-Type": {"application/json"}, "Accept": {"application/json"},
		"User-Agent": {"tallyroute"}, "X-Extra": {"yes"}, "Content-Length": {"100"},
	}
	if len(call.Header) != len(want) {
		t.Errorf("headers %v", call.Header)
	}
	for name, values := range want {
		if name != "Content-Length" && !slices.Equal(call.Header[name], values) {
			t.Errorf("header %s is %q", name, call.Header[name])
		}
	}
	closeTwice(t, a)
}

// Callers may fail over until Do returns, so it must not return before there is content.
func TestStreamIsHeldUntilContent(t *testing.T) {
	var sent atomic.Bool
	gate := make(chan struct{})
	list := words()
	u := pt.NewUpstream(t, pt.Script(pt.Event(list[0]), pt.Until(gate), pt.Event(list[1]), pt.Event(list[2]),
		pt.Event(list[3]), pt.Event(list[4]), pt.Event("[DONE]"), pt.Event(`{"never":"seen"}`)))
	go func() {
		u.Wait(t, 1)
		sent.Store(true)
		close(gate)
	}()
	a := succeeds(t, client(t, providers.Options{}), exchange(t, u, askStream))
	if !sent.Load() {
		t.Error("Do returned before there was content")
	}
	got, err := rest(a.Stream)
	if !errors.Is(err, io.EOF) || !slices.Equal(got, list) {
		t.Errorf("%v, %q", err, got)
	}
	if _, err := a.Stream.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	if call := u.Wait(t, 1); call.Header.Get("Accept") != "text/event-stream" {
		t.Errorf("accepts %q", call.Header.Get("Accept"))
	}
}

// Any failure before the first content is an error of Do.
func TestBeforeFirstContent(t *testing.T) {
	list := words()
	role, finish := pt.Event(list[0]), pt.Event(list[3])
	for name, c := range map[string]struct {
		reply pt.Reply
		kind  providers.Kind
	}{
		"cut":              {pt.Script(role, pt.Cut()), providers.KindBroken},
		"cut at once":      {pt.Script(pt.Cut()), providers.KindBroken},
		"reset":            {pt.Script(role, pt.Reset()), providers.KindNetwork},
		"reset at once":    {pt.Reply{Steps: []pt.Step{pt.Reset()}}, providers.KindNetwork},
		"no answer":        {pt.Reply{Steps: []pt.Step{pt.Raw("")}}, providers.KindNetwork},
		"ends":             {pt.Script(role), providers.KindBroken},
		"nothing":          {pt.Script(), providers.KindBroken},
		"nothing but done": {pt.Stream(), providers.KindBroken},
		"role and done":    {pt.Stream(list[0]), providers.KindBroken},
		"not JSON":         {pt.Stream("hello"), providers.KindBroken},
		"HTML as events":   {pt.Script(pt.Write("<html><body>hello</body></html>")), providers.KindBroken},
		"silent":           {pt.Script(role, pt.Hang()), providers.KindTimeout},
		"silent at once":   {pt.Script(pt.Hang()), providers.KindTimeout},
		"no header":        {pt.Reply{Steps: []pt.Step{pt.Hang()}}, providers.KindTimeout},
		"only pings":       {pt.Script(role, pt.Endless(": ping\n\n", 10*time.Millisecond)), providers.KindTimeout},
		"only roles":       {pt.Script(pt.Endless(strings.Repeat("data: "+list[0]+"\n\n", 200), 0)), providers.KindBroken},
		"whole instead":    {pt.JSON(200, pt.Completion("m", "hi", 1, 1)), ""},
		"error event": {
			pt.Script(role, pt.Write("event: error\n"), pt.Event(pt.Problem("busy", "server_error", ""))),
			providers.KindOverload,
		},
		"error in the data":  {pt.Stream(list[0], pt.Problem("slow down", "", "rate_limit_exceeded")), providers.KindRate},
		"refused":            {pt.JSON(400, pt.Problem("no", "invalid_request_error", "")), providers.KindRequest},
		"finish and no text": {pt.Script(role, finish, pt.Hang()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := pt.NewUpstream(t, c.reply)
			o := providers.Options{}
			if c.kind == providers.KindTimeout {
				o = providers.Options{
					IdleTimeout: 200 * time.Millisecond, StreamTimeout: 200 * time.Millisecond,
					FirstTimeout: 300 * time.Millisecond,
				}
			}
			if c.kind == "" {
				succeeds(t, client(t, o), exchange(t, u, askStream))
				return
			}
			if e := fails(t, client(t, o), exchange(t, u, askStream)); e.Kind != c.kind {
				t.Errorf("kind %s: %v", e.Kind, e)
			}
			call := u.Wait(t, 1)
			select {
			case <-call.Gone:
			case <-call.Done:
			case <-time.After(prove.Patience):
				t.Error("the call was left open")
			}
		})
	}
}

// Any failure after that is an error of Next, and what has arrived is kept.
func TestFailureAfterTheFirstContentIsAnErrorOfNext(t *testing.T) {
	list := words()
	begun := []pt.Step{pt.Event(list[0]), pt.Event(list[1]), pt.Event(list[2])}
	for name, c := range map[string]struct {
		then []pt.Step
		kind providers.Kind
		is   error
	}{
		"closes mid-chunk": {[]pt.Step{pt.Cut()}, providers.KindBroken, io.ErrUnexpectedEOF},
		"ends early":       {nil, providers.KindBroken, io.ErrUnexpectedEOF},
		"resets":           {[]pt.Step{pt.Reset()}, providers.KindNetwork, nil},
		"stalls":           {[]pt.Step{pt.Hang()}, providers.KindTimeout, nil},
		"never ends":       {[]pt.Step{pt.Endless(": ping\n\n", 20*time.Millisecond)}, providers.KindTimeout, context.DeadlineExceeded},
		"breaks":           {[]pt.Step{pt.Event(`{"choices":[`)}, providers.KindBroken, chat.ErrMalformed},
		"fails, then cut":  {[]pt.Step{pt.Event(pt.Problem("overloaded", "server_error", "")), pt.Cut()}, providers.KindOverload, nil},
		"fails":            {[]pt.Step{pt.Event(pt.Problem("overloaded", "server_error", ""))}, providers.KindOverload, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := pt.NewUpstream(t, pt.Script(slices.Concat(begun, c.then)...))
			o := providers.Options{}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			switch name {
			case "stalls":
				o.IdleTimeout = 2 * time.Second
			case "never ends":
				ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
			}
			a, err := client(t, o).Do(ctx, exchange(t, u, askStream))
			if err != nil {
				t.Fatal(err)
			}
			got, err := rest(a.Stream)
			if len(got) != len(begun) {
				t.Errorf("%d chunks came through", len(got))
			}
			if e := asError(t, err); e.Kind != c.kind || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("kind %s: %v", e.Kind, err)
			}
			if _, again := a.Stream.Next(); !errors.Is(again, err) {
				t.Errorf("the second time it is %v", again)
			}
			closeTwice(t, a)
		})
	}
}

func TestTargetTimeouts(t *testing.T) {
	u := pt.NewUpstream(t, pt.Reply{Steps: []pt.Step{pt.Hang()}}, pt.Script(pt.Hang()))
	c := client(t, providers.Options{})
	x := exchange(t, u, ask)
	x.Target.HeaderTimeout = 30 * time.Millisecond
	if e := fails(t, c, x); e.Kind != providers.KindTimeout || e.Status != 0 {
		t.Error(e)
	}
	x.Request = exchange(t, u, askStream).Request
	u.Set(pt.Reply{Steps: []pt.Step{pt.Hang()}}, pt.Script(pt.Hang()))
	if e := fails(t, c, x); e.Kind != providers.KindTimeout || e.Status != 0 || !strings.Contains(e.Error(), "the header") {
		t.Error(e)
	}
	x = exchange(t, u, askStream)
	x.Target.IdleTimeout = 30 * time.Millisecond
	if e := fails(t, c, x); e.Kind != providers.KindTimeout || e.Status != 200 {
		t.Error(e)
	}
}

func TestCancellationIsPrompt(t *testing.T) {
	list := words()
	for name, c := range map[string]struct {
		reply pt.Reply
		body  string
		begun bool
	}{
		"before the header": {pt.Reply{Steps: []pt.Step{pt.Hang()}}, ask, false},
		"in the body":       {pt.Reply{Steps: []pt.Step{pt.Write(`{"id":`), pt.Hang()}}, ask, false},
		"before content":    {pt.Script(pt.Event(list[0]), pt.Hang()), askStream, false},
		"in the stream":     {pt.Script(pt.Event(list[1]), pt.Hang()), askStream, true},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, c.reply)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var began time.Time
			go func() {
				u.Wait(t, 1)
				if !c.begun {
					began = time.Now()
					cancel()
				}
			}()
			a, err := client(t, providers.Options{}).Do(ctx, exchange(t, u, c.body))
			if c.begun {
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				began = time.Now()
				cancel()
				_, err = rest(a.Stream)
			}
			if e := asError(t, err); e.Kind != providers.KindCanceled || !errors.Is(err, context.Canceled) {
				t.Errorf("kind %s: %v", e.Kind, err)
			}
			pt.Await(t, "upstream's notice", u.Wait(t, 1).Gone)
			prove.Within(t, "the upstream's notice", time.Since(began), time.Second)
		})
	}
}

func TestCloseEndsTheCall(t *testing.T) {
	u := pt.NewUpstream(t, pt.Script(pt.Event(words()[1]), pt.Hang()))
	a := succeeds(t, client(t, providers.Options{}), exchange(t, u, askStream))
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	pt.Await(t, "upstream's notice", u.Wait(t, 1).Gone)
	if _, err := a.Stream.Next(); err != nil {
		t.Error("what was held is lost") // it was read before Do returned
	}
	if _, err := a.Stream.Next(); asError(t, err).Kind != providers.KindCanceled {
		t.Error(err)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	list := words()
	replies := []pt.Reply{
		pt.JSON(200, pt.Completion("m", "a", 1, 1)),
		pt.Stream(list...),
		pt.Stream(list[:4]...),
		pt.Script(pt.Event(list[1]), pt.Event(list[3])),
		pt.JSON(429, pt.Problem("slow", "", "rate_limit_exceeded")),
		pt.Redirect(302, "http://127.0.0.1:1/"),
		pt.Body(502, "text/html", "<html>"+strings.Repeat("x", 10_000)),
		pt.JSON(429, strings.Repeat("not asked for", 100)).With("Content-Encoding", "gzip"),
		pt.Stream(),
		pt.JSON(200, pt.Completion("m", "a", 1, 1)),
	}
	u := pt.NewUpstream(t, replies...)
	c := client(t, providers.Options{})
	for i := range replies {
		body := askStream
		if i == 0 || i == len(replies)-1 {
			body = ask
		}
		a, err := c.Do(t.Context(), exchange(t, u, body))
		if err != nil {
			continue
		}
		if a.Stream != nil {
			if _, err := rest(a.Stream); !errors.Is(err, io.EOF) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := a.Close(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	calls := u.Calls()
	if len(calls) != len(replies) {
		t.Fatalf("%d calls", len(calls))
	}
	for i, call := range calls {
		if call.Remote != calls[0].Remote {
			t.Errorf("call %d came over another connection", i)
		}
	}
}

// The last bytes of a transfer often arrive a little after [DONE].
func TestConnectionIsUsedAgainAfterALateEnd(t *testing.T) {
	list := words()
	end := make(chan struct{}, 1)
	u := pt.NewUpstream(t, pt.Script(pt.Event(list[1]), pt.Event(list[3]), pt.Event("[DONE]"), pt.Until(end)))
	c := client(t, providers.Options{})
	for range 2 {
		a := succeeds(t, c, exchange(t, u, askStream))
		end <- struct{}{}
		if _, err := rest(a.Stream); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if calls := u.Calls(); calls[0].Remote != calls[1].Remote {
		t.Error("the second call came over another connection")
	}
}

func TestManyAtOnce(t *testing.T) {
	list := words()
	u := pt.NewUpstream(t, pt.Stream(list...))
	c := client(t, providers.Options{})
	x := exchange(t, u, askStream)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			a, err := c.Do(t.Context(), x)
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Close()
			if got, err := rest(a.Stream); !errors.Is(err, io.EOF) || !slices.Equal(got, list) {
				t.Errorf("%v, %q", err, got)
			}
		})
	}
	wg.Wait()
}

func TestCredentialThatCannotBeHad(t *testing.T) {
	u := pt.NewUpstream(t)
	for name, source := range map[string]auth.Source{
		"fails": func(context.Context) (string, error) { return "", errors.New("vault is sealed") },
		"empty": func(context.Context) (string, error) { return "", nil },
	} {
		x := exchange(t, u, ask)
		x.Target.Auth = auth.Header("api-key", source)
		if e := fails(t, client(t, providers.Options{}), x); e.Kind != providers.KindCredential {
			t.Errorf("%s: %v", name, e)
		}
	}
	if len(u.Calls()) != 0 {
		t.Error("a call was made without a credential")
	}
}

func TestAuthKinds(t *testing.T) {
	u := pt.NewUpstream(t, pt.JSON(200, pt.Completion("m", "a", 1, 1)))
	key := func(context.Context) (string, error) { return canary, nil }
	c := client(t, providers.Options{})
	for i, a := range []struct {
		sign   providers.Auth
		header string
		want   string
	}{
		{auth.Bearer(key), "Authorization", "Bearer " + canary},
		{auth.Header("api-key", key), "Api-Key", canary},
		{auth.None(), "Authorization", ""},
		{nil, "Authorization", ""},
	} {
		x := exchange(t, u, ask)
		x.Target.Auth = a.sign
		succeeds(t, c, x)
		if got := u.Wait(t, i+1).Header.Get(a.header); got != a.want {
			t.Errorf("%d: %s is %q", i, a.header, got)
		}
	}
}
