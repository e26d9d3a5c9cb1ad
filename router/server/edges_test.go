package server

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"tallyroute/billing"
)

func TestEveryReadTakesHEAD(t *testing.T) {
	g := newRig(t)
	for _, path := range []string{"/v1/models", "/v1/key", "/healthz", "/readyz", "/docs/errors/not_found"} {
		r := g.do(g.request(http.MethodHead, path, ""))
		if r.StatusCode != http.StatusOK || r.body != "" || r.Header.Get("Content-Length") == "0" {
			t.Errorf("%s: %d, %s bytes, %q", path, r.StatusCode, r.Header.Get("Content-Length"), r.body)
		}
	}
}

func TestPathsAsClientsAreSetUp(t *testing.T) {
	g := newRig(t)
	for _, path := range []string{
		"/v1/chat/completions/", "/chat/completions", "/openai/v1/chat/completions",
		"/openai/v1/chat/completions/",
	} {
		if r := g.do(g.request(http.MethodPost, path, hi)); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
	for _, path := range []string{
		"/models", "/v1/models/", "/models/m", "/openai/v1/models", "/models/openai%2Fgpt-4o-mini",
		"/v1/models/openai%2Fgpt-4o-mini/", "/healthz/",
	} {
		if r := g.get(path); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
}

func TestPathsOfOtherAPIsSayWhatIsServed(t *testing.T) {
	g := newRig(t)
	for path, api := range map[string]string{
		"/v1/responses/resp_1": "stored responses", "/v1/messages/batches": "batches",
		"/v1/completions": "old API", "/v1/images/generations": "images", "/v1/audio/speech": "audio",
		"/v1beta/models/gemini-3:generateContent": "Google",
		"/v1/models/gemini-3:generateContent":     "Google",
		"/api/chat":                               "Ollama", "/openai/deployments/x/chat/completions": "Azure",
		"/model/claude/converse": "Bedrock", "/v2/chat": "Cohere",
		"/v1/rerank": "Reranking", "/admin/v1/keys": "admin API",
	} {
		r := g.do(g.request(http.MethodPost, path, "{}"))
		if e := r.refused(t, http.StatusNotFound, "not_found"); !strings.Contains(e["message"].(string), api+"") {
			t.Errorf("%s: %v", path, e["message"])
		} else if api != "admin API" && !strings.Contains(e["message"].(string), "POST /v1/chat/completions") {
			t.Errorf("%s: %v", path, e["message"])
		}
	}
}

func TestHarmlessSpellingsPass(t *testing.T) {
	g := newRig(t)
	for _, header := range [][2]string{
		{"Content-Type", "application/json; charset=utf8"},
		{"Content-Type", "application/json;charset=UTF8"},
		{"Authorization", "Bearer  " + g.secret},
		{"Authorization", "bearer   " + g.secret + "  "},
	} {
		if r := g.chat(hi, header[0], header[1]); r.StatusCode != http.StatusOK {
			t.Errorf("%v: %d %s", header, r.StatusCode, r.body)
		}
	}
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBodyMayBeCompressed(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Limits.Body = 1 << 20 })
	if r := g.chat(zipped(t, hi), "Content-Encoding", "GZIP"); r.StatusCode != http.StatusOK {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	bomb := zipped(t, strings.Repeat(" ", 200<<20))
	g.chat(bomb, "Content-Encoding", "gzip").refused(t, http.StatusRequestEntityTooLarge, "request_too_large")
	cut := zipped(t, hi)
	g.chat(cut[:len(cut)-9], "Content-Encoding", "gzip").refused(t, http.StatusBadRequest, "incomplete_body")
}

func TestPagesOfOtherOriginsAreLetInWhereConfigured(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Origins = []string{"https://app.example"} })
	preflight := func(origin string) reply {
		r := g.request(http.MethodOptions, "/v1/chat/completions", "")
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os")
		return g.do(r)
	}
	r := preflight("https://app.example")
	if h := r.Header; r.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-stainless-os") ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("%d %v", r.StatusCode, h)
	}
	for _, origin := range []string{"https://evil.example", "https://app.example.evil", "null", "http://app.example"} {
		if r := preflight(origin); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", origin, r.StatusCode, r.Header)
		}
	}
	for _, body := range []string{hi, "{"} {
		if r := g.chat(body, "Origin", "https://app.example"); r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
			r.Header.Get("Vary") != "Origin" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	}
	if r := newRig(t).chat(hi, "Origin", "https://app.example"); r.Header.Get("Access-Control-Allow-Origin") != "" ||
		r.Header.Get("Vary") != "" {
		t.Errorf("by default: %v", r.Header)
	}
}

func TestHeaderThatRepeatsAClientsWordsIsBounded(t *testing.T) {
	many := make([]string, 100_000)
	for i := range many {
		many[i] = strings.Repeat("x", 64)
	}
	if got := listed(many); len(got) > longestList+64 || !strings.HasSuffix(got, " more") {
		t.Errorf("%d bytes, … %q", len(got), got[len(got)-20:])
	}
	if got := listed([]string{"a", "b"}); got != "a, b" {
		t.Errorf("%q", got)
	}
}

func TestUnknownKeysOfANetworkAreLookedUpAFewTimesASecond(t *testing.T) {
	g := newRig(t)
	g.verifier.err, g.verifier.stranger = billing.ErrUnknownKey, true
	for range 300 {
		g.get("/v1/key")
	}
	if n := g.verifier.calls.Load(); n > 120 {
		t.Errorf("%d of 300 were looked up", n)
	}
	r := g.get("/v1/key")
	r.refused(t, http.StatusTooManyRequests, "rate_limit_exceeded")
	if r.Header.Get("Retry-After") == "" {
		t.Error("does not say when to try again")
	}
	g.verifier.err, g.verifier.stranger = nil, false // a known key
	if r := g.get("/v1/key"); r.StatusCode != http.StatusOK {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestKeysThatAreNobodysDoNotFillTheLog(t *testing.T) {
	g := newRig(t)
	g.verifier.err, g.verifier.stranger = billing.ErrUnknownKey, true
	for range 300 {
		g.get("/v1/key")
		g.get("/v1/key", "Authorization", "Bearer nonsense")
	}
	if n := len(g.log.lines()); n < 30 || n > 120 {
		t.Errorf("%d lines for 600 requests", n)
	}
}
