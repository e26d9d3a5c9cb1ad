package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/scripted"
)

// untold matches what we or the clock add to an answer, and so differs between two answers.
var untold = regexp.MustCompile(`"(created|created_at|completed_at)":\d+|(chatcmpl-|resp_|msg_|rs_|fc_|call_)[0-9A-Za-z-]+`)

// pieces is a reader that returns text in pieces that end at the cuts.
type pieces struct {
	text []byte
	cuts []int // in order
	at   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.at == len(p.text) {
		return 0, io.EOF
	}
	for len(p.cuts) > 0 && p.cuts[0] <= p.at {
		p.cuts = p.cuts[1:]
	}
	end := len(p.text)
	if len(p.cuts) > 0 {
		end = p.cuts[0]
	}
	n := copy(b, p.text[p.at:end])
	p.at += n
	return n, nil
}

func (p *pieces) Close() error { return nil }

// chunksOf returns the chunks of a streamed answer in a comparable form.
func chunksOf(x providers.Exchange, body io.ReadCloser) (string, error) {
	s := x.Target.Adapter.Chat.Stream(x, body)
	var said bytes.Buffer
	for {
		c, err := s.Next()
		if err != nil {
			fmt.Fprintf(&said, "%v", err)
			if err == io.EOF { //nolint:errorlint // streams return it bare
				return untold.ReplaceAllString(said.String(), ""), nil
			}
			return said.String(), err
		}
		fmt.Fprintf(&said, "%s %v %q %q\n", c.Data, c.Content, c.Finish, c.Text)
		if c.Usage != nil {
			fmt.Fprintf(&said, "%+v\n", *c.Usage)
		}
	}
}

// streamedBy returns what a scripted upstream streams for x, byte for byte.
func streamedBy(t *testing.T, u *scripted.Upstream, format string, x providers.Exchange) []byte {
	t.Helper()
	call, err := providers.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	under := map[string]string{"openai": "/v1", "anthropic": "/v1", "responses": "/v1", "gemini": "/v1beta"}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, under[format]+call.Path, bytes.NewReader(call.Body))
	w := httptest.NewRecorder()
	u.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", format, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// TestStreamsReadTheSameHoweverTheyAreCut cuts providers' streams at every byte, at one byte in
// 48, and at random positions: the chunks, from which the events of every entrance are made,
// stay the same.
func TestStreamsReadTheSameHoweverTheyAreCut(t *testing.T) {
	u := &scripted.Upstream{Script: func(scripted.Turn) scripted.Reply {
		r := scriptedAnswer
		r.Text = "zwölf Bücher \u2014 日本語 😀 \"quoted\" \\ \n end"
		return r
	}}
	request, err := chat.Limits{}.Parse([]byte(`{"model":"m","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for format, a := range scriptedAdapters() {
		x := providers.Exchange{Request: request, Target: providers.Target{
			Provider: "acme", Model: "m", Upstream: "anthropic.claude-x", Adapter: a, MaxOutput: 1000,
			Can: providers.Abilities{Stream: true},
		}}
		text := streamedBy(t, u, format, x)
		want, err := chunksOf(x, io.NopCloser(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		check := func(cuts []int) bool {
			got, err := chunksOf(x, &pieces{text: text, cuts: cuts})
			if err != nil || got != want {
				t.Errorf("%s cut at %v: %v %s\nwant %s", format, cuts, err, got, want)
				return false
			}
			return true
		}
		every := make([]int, len(text))
		for i := range every {
			every[i] = i
		}
		if !check(every) {
			continue
		}
		for i := random.IntN(48); i < len(text) && check([]int{i}); i += 48 {
		}
		for range 5 {
			var cuts []int
			for i := range text {
				if random.IntN(20) == 0 {
					cuts = append(cuts, i)
				}
			}
			if !check(cuts) {
				break
			}
		}
	}
}

// trickle sends the answers of h byte by byte.
func trickle(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		flush := http.NewResponseController(w)
		for i := range answer.Body.Bytes() {
			_, _ = w.Write(answer.Body.Bytes()[i : i+1])
			_ = flush.Flush()
		}
	})
}

// TestEventsAreTheSameHoweverTheirStreamTrickles makes each entrance answer from a provider
// that sends byte by byte.
func TestEventsAreTheSameHoweverTheirStreamTrickles(t *testing.T) {
	script := func(scripted.Turn) scripted.Reply { return scriptedAnswer }
	g, _ := scriptedRig(t, providers.Options{}, script)
	slow := httptest.NewServer(trickle(&scripted.Upstream{Script: script}))
	defer slow.Close()
	for _, format := range scripted.Formats() {
		for _, e := range entranceCases {
			ask := func() string {
				r := g.do(g.request(http.MethodPost, e.path, e.asking(format, true)))
				if r.StatusCode != http.StatusOK || e.ended(t, eventsOf([]byte(r.body))) != "whole" {
					t.Errorf("%s at %s: %d %s", format, e.path, r.StatusCode, r.body)
				}
				return untold.ReplaceAllString(r.body, "")
			}
			target := &g.models.more["on-"+format][0]
			want, at := ask(), target.BaseURL
			target.BaseURL = slow.URL + at[len("http://"+hostOf(at)):]
			if got := ask(); got != want {
				t.Errorf("%s at %s: %s\nwant %s", format, e.path, got, want)
			}
			target.BaseURL = at
		}
	}
}

// hostOf returns the host of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// ownCode matches our own error codes, which OpenAI's schema does not contain.
var ownCode = regexp.MustCompile(`"error":\{"code":"[a-z_]+"`)

// TestEventsAreThoseOfThePublishedSchema checks what /v1/responses streams, for every wire
// format and for failing streams, against OpenAI's own schema of its events.
func TestEventsAreThoseOfThePublishedSchema(t *testing.T) {
	events := schema(t, "ResponseStreamEvent")
	if events == nil {
		t.Skip("no published schemas: TALLYROUTE_SPEC says where they are")
	}
	var fault scripted.Fault
	g, _ := scriptedRig(t, providers.Options{}, func(scripted.Turn) scripted.Reply {
		r := scriptedAnswer
		r.Fault = fault
		return r
	})
	for _, format := range slices.DeleteFunc(scripted.Formats(), func(f string) bool { return f == "responses" }) { // it is passed on
		for _, f := range []scripted.Fault{{}, {Kind: scripted.Cut, After: 5}} {
			fault = f
			r := g.do(g.request(http.MethodPost, responsesPath, entranceCases[1].asking(format, true)))
			for _, data := range eventsOf([]byte(r.body)) {
				data = ownCode.ReplaceAll(data, []byte(`"error":{"code":"server_error"`))
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
				if err == nil {
					err = events.Validate(v)
				}
				if err != nil {
					t.Errorf("%s: %s: %.2000v", format, data, err)
				}
			}
		}
	}
}
