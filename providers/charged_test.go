package providers_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/auth"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	pt "tallyroute/providers/providertest"
)

// A failed call says whether it may be billed. It certainly is not if nothing reached the
// provider, or if the provider refused it.
func TestFailedCallSaysWhetherItMayBeBilled(t *testing.T) {
	apiError := func(kind string) string { return `{"error":{"message":"no","type":"` + kind + `"}}` }
	for name, c := range map[string]struct {
		reply      pt.Reply
		sent, free bool
	}{
		"400":                     {pt.JSON(400, apiError("invalid_request_error")), true, true},
		"401":                     {pt.JSON(401, apiError("x")), true, true},
		"404":                     {pt.JSON(404, apiError("x")), true, true},
		"408":                     {pt.JSON(408, apiError("x")), true, true},
		"429":                     {pt.JSON(429, apiError("x")), true, true},
		"redirect":                {pt.Redirect(307, "/elsewhere"), true, true},
		"500":                     {pt.JSON(500, apiError("x")), true, true},
		"529 of HTML":             {pt.Body(529, "text/html", "<p>busy"), true, true},
		"error under 200":         {pt.JSON(200, apiError("server_error")), true, false},
		"refusal under 200":       {pt.JSON(200, `{"error":{"message":"no","code":429}}`), true, true},
		"filtered under 200":      {pt.JSON(200, `{"error":{"message":"no","code":"content_filter"}}`), true, false},
		"page under 200":          {pt.Body(200, "text/html", "<p>hi"), true, false},
		"nothing under 200":       {pt.JSON(200, ""), true, false},
		"garbage":                 {pt.JSON(200, `{"choices":[{`), true, false},
		"too large":               {pt.JSON(200, strings.Repeat(" ", 5<<10)), true, false},
		"no header":               {pt.Script(pt.Hang()), true, false},
		"reset before the header": {pt.Script(pt.Reset()), true, false},
		"cut before the header":   {pt.Script(pt.Cut()), true, false},
		"cut in the body":         {pt.Script(pt.Write(`{"choices":`), pt.Cut()), true, false},
		"reset in the body":       {pt.Script(pt.Write(`{"choices":`), pt.Reset()), true, false},
		"stalled in the body":     {pt.Script(pt.Write(`{"choices":`), pt.Hang()), true, false},
	} {
		for shape, body := range map[string]string{"plain": ask, "stream": askStream} {
			t.Run(name+"/"+shape, func(t *testing.T) {
				t.Parallel()
				u := pt.NewUpstream(t, c.reply)
				impatient := providers.Options{
					HeaderTimeout: 300 * time.Millisecond, StreamTimeout: 300 * time.Millisecond,
					IdleTimeout: 200 * time.Millisecond, MaxBody: 4 << 10,
				}
				e := fails(t, client(t, impatient), exchange(t, u, body))
				if e.Sent != c.sent || e.Free != c.free {
					t.Errorf("sent %v, free %v: %v", e.Sent, e.Free, e)
				}
			})
		}
	}
}

// Failures of a provider that is known to bill them are not free.
func TestProviderThatBillsItsFailures(t *testing.T) {
	u := pt.NewUpstream(t, pt.JSON(503, `{"error":{"message":"busy"}}`))
	x := exchange(t, u, ask)
	x.Target.Billing.Errors = true
	if e := fails(t, client(t, providers.Options{}), x); !e.Charged() {
		t.Errorf("it is free: %v", e)
	}
	u.Set(pt.JSON(429, `{"error":{"message":"slow down"}}`))
	if e := fails(t, client(t, providers.Options{}), x); e.Charged() {
		t.Errorf("a refusal is charged: %v", e)
	}
}

// A request that never reached the provider costs nothing, whatever the reason.
func TestNothingIsSentWithoutAConnection(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	plain := pt.NewUpstream(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, c := range map[string]struct {
		ctx    context.Context
		change func(*providers.Target)
	}{
		"refused":      {t.Context(), func(to *providers.Target) { to.BaseURL = "http://" + closed.Addr().String() }},
		"no such host": {t.Context(), func(to *providers.Target) { to.BaseURL = "http://nowhere.invalid" }},
		"not public":   {t.Context(), func(to *providers.Target) { to.Private = false }},
		"distrusted":   {t.Context(), func(to *providers.Target) { to.BaseURL = secure.URL }},
		"no TLS there": {t.Context(), func(to *providers.Target) { to.BaseURL = strings.Replace(plain.URL(), "http:", "https:", 1) }},
		"no credential": {t.Context(), func(to *providers.Target) {
			to.Auth = auth.Bearer(func(context.Context) (string, error) { return "", errors.New("none") })
		}},
		"client is gone": {gone, func(*providers.Target) {}},
	} {
		x := exchange(t, plain, ask)
		c.change(&x.Target)
		a, err := client(t, providers.Options{}).Do(c.ctx, x)
		if err == nil {
			_ = a.Close()
			t.Fatalf("%s: it was answered", name)
		}
		if e := asError(t, err); e.Sent || e.Free {
			t.Errorf("%s: sent %v, free %v: %v", name, e.Sent, e.Free, e)
		}
	}
}

// A batch with one answered call is not free just because another call was refused.
func TestBatchThatIsRefusedHalfwayMayBeBilled(t *testing.T) {
	u := pt.NewUpstream(t, pt.JSON(200, oneVector), pt.JSON(429, `{"error":{"message":"slow down"}}`))
	r, err := providers.Embed.Parse([]byte(`{"model":"m","input":["a","b"]}`), chat.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	adapter := openai.New()
	adapter.Embed = oneByOne{adapter.Embed}
	e := fails(t, client(t, providers.Options{}), providers.Exchange{
		Operation: providers.Embed, Target: u.Target(adapter, "p", "m"),
		Request: r,
	})
	if !e.Charged() || e.Kind != providers.KindRate {
		t.Errorf("%v, charged %v", e, e.Charged())
	}
	if e.Parts == nil || e.Parts.Used.Input != 1 || len(e.Parts.Unsure) != 0 {
		t.Errorf("parts %+v", e.Parts)
	}
	u.Set(pt.JSON(200, oneVector), pt.JSON(200, `{"object":"list","data":[{"emb`))
	e = fails(t, client(t, providers.Options{}), providers.Exchange{
		Operation: providers.Embed, Target: u.Target(adapter, "p", "m"), Request: r,
	})
	if e.Parts == nil || e.Parts.Used.Input != 1 || len(e.Parts.Unsure) != 1 || string(e.Parts.Unsure[0].Get("input")) != `["b"]` {
		t.Errorf("parts %+v", e.Parts)
	}
}

const oneVector = `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":1,` +
	`"total_tokens":1}}`

// oneByOne accepts only one input per call.
type oneByOne struct{ providers.EmbedCodec }

func (oneByOne) InputsPerCall(providers.Exchange) int64 { return 1 }

// A request that cannot be expressed for a target is not sent, and may be sent to another
// target.
func TestRequestThatCannotBeWrittenIsNotSent(t *testing.T) {
	u := pt.NewUpstream(t)
	for name, c := range map[string]struct {
		adapter providers.Adapter
		quirks  providers.Quirks
		param   string
	}{
		"quirk":           {openai.New(), providers.Quirks{Refuse: []string{"n"}}, "n"},
		"format":          {providers.Adapter{Chat: single{openai.New().Chat}}, providers.Quirks{}, "n"},
		"its own dialect": {openai.Mistral(), providers.Quirks{}, "tools"},
	} {
		r, err := providers.Chat.Parse([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"n":2,"tools":[{"type":"custom",`+
			`"custom":{"name":"f"}}]}`), chat.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		to := u.Target(c.adapter, "p", "m")
		to.Quirks = c.quirks
		e := fails(t, client(t, providers.Options{}), providers.Exchange{Target: to, Request: r})
		if e.Kind != providers.KindUnfit || !e.Kind.Failover() || e.Sent || e.Charged() || e.Detail.Param != c.param || e.Provider != "p" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// single is a format that has only one choice.
type single struct{ providers.ChatCodec }

func (single) Encode(providers.Exchange) (providers.Call, error) {
	return providers.Call{}, &chat.FieldError{Code: "unsupported_parameter", Param: "n", Message: "must be 1"}
}
