package catalogue

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
)

const full = `
name: acme
display: Acme Inc.
adapter: openai
base_url: http://10.1.2.3:8000/v1
private: true
auth: {kind: header, header: x-acme-key, secret: "env:ACME_API_KEY"}
headers: {X-Title: tallyroute}
quirks:
  rename: {seed: random_seed}
  drop: [logprobs, user]
  max_tokens: max_completion_tokens
  no_stream_usage: true
  path: /chat
  vectors: int8
timeouts: {header: 90s, first_content: 3m, idle: 20s}
billing: {server_errors: true, stops_on_cancel: true, tokens_per_second: 3000}
weight: 3
models:
  - id: acme/large
    upstream: Large-2
    owner: someone
    created: 2025-12-31
    context: 128_000
    max_output: 16k
    tokens_per_second: 250
    can: [tools, vision, audio, documents, json_schema, reasoning]
    tokenizer: {encoding: o200k_base, percent: 110, images: openai-patch, image_multiplier: 162}
    prices:
      - {since: 2026-06-01T12:00:00+02:00, prompt: "0.50", completion: 1.5, cache_read: "0.05", cache_write: "0.6",
          request: "0.001", source: contract}
      - {since: 2026-01-01, prompt: "1", completion: "2"}
  - {id: small}
  - {id: gift, prices: [{since: 2026-01-01, prompt: "0", completion: "0"}]}
`

func TestParse(t *testing.T) {
	p, err := Parse("acme.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	day := func(m time.Month, d, h int) time.Time { return time.Date(2026, m, d, h, 0, 0, 0, time.UTC) }
	for i := range p.Models {
		for j := range p.Models[i].Prices {
			price := &p.Models[i].Prices[j]
			if !strings.HasPrefix(price.ID, "price_") || price.Provider != "acme" || price.Model != p.Models[i].ID {
				t.Errorf("price is of %q %q %q", price.ID, price.Provider, price.Model)
			}
			price.ID, price.Provider, price.Model = "", "", ""
		}
	}
	want := Provider{
		Name: "acme", Display: "Acme Inc.", Adapter: "openai", BaseURL: "http://10.1.2.3:8000/v1", Private: true,
		Auth:    Auth{Kind: "header", Header: "X-Acme-Key", Secret: "env:ACME_API_KEY"},
		Headers: map[string]string{"X-Title": "tallyroute"},
		Quirks: providers.Quirks{
			Rename: map[string]string{"seed": "random_seed"}, Drop: []string{"logprobs", "user"},
			MaxTokens: "max_completion_tokens", NoStreamUsage: true, Path: "/chat", Vectors: "int8",
		},
		Timeouts: Timeouts{90 * time.Second, 3 * time.Minute, 20 * time.Second}, Weight: 3,
		Billing: providers.Billing{Errors: true, Stops: true}, TokensPerSecond: 3000,
		Models: []Model{
			{
				ID: "large", Upstream: "Large-2", Owner: "someone", Created: time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC),
				Context: 128_000, MaxOutput: 16_000, TokensPerSecond: 250,
				Can: providers.Abilities{
					Stream: true, Tools: true, Vision: true, Audio: true, Documents: true, JSONSchema: true,
					Reasoning: true,
				},
				Tokenizer: providers.Tokenizer{Encoding: "o200k_base", Percent: 110, Images: "openai-patch", ImageMultiplier: 162},
				Prices: []billing.Price{
					{Since: day(1, 1, 0), Input: 1e9, Output: 2e9, CacheRead: 1e9, CacheWrite: 1e9, Source: "catalog"},
					{Since: day(6, 1, 10), Input: 5e8, Output: 15e8, CacheRead: 5e7, CacheWrite: 6e8, Request: 1e6, Source: "contract"},
				},
			},
			{ID: "small", Upstream: "small", Owner: "acme", Can: providers.Abilities{Stream: true}},
			{
				ID: "gift", Upstream: "gift", Owner: "acme", Can: providers.Abilities{Stream: true},
				Prices: []billing.Price{{Since: day(1, 1, 0), Source: "catalog"}},
			},
		},
	}
	for _, m := range want.Models {
		for i := range m.Prices {
			m.Prices[i] = m.Prices[i].Resolved()
		}
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got\n%+v\nwant\n%+v", p, want)
	}
}

// head is a provider without models, in three lines.
const head = "name: acme\nbase_url: https://api.acme.example/v1\napi_key: env:ACME_API_KEY\n"

func TestParse_Shorthand(t *testing.T) {
	p, err := Parse("", []byte(head))
	if err != nil || p.Auth != (Auth{Kind: "bearer", Secret: "env:ACME_API_KEY"}) || p.Adapter != "openai" || p.Weight != 1 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestParse_Faults(t *testing.T) {
	models := func(s string) string { return head + "models:\n  - " + s }
	price := func(s string) string { return models("id: large\n    prices:\n      - " + s) }
	tests := map[string]struct{ text, want string }{
		"empty":         {"", "x.yaml: the document is empty"},
		"comment alone": {"# nothing\n", "the document is empty"},
		"not YAML":      {"name: [", "not valid YAML"},
		"two documents": {head + "---\n" + head, "want one document, not 2"},
		"a list":        {"- a\n", "x.yaml:1: want a group of settings"},
		"no name":       {"base_url: https://a.example/v1\napi_key: env:A\n", "x.yaml:1: a provider needs a name"},
		"name":          {strings.Replace(head, "acme", "Acme Inc", 1), "x.yaml:1: name: want a name of lower-case letters"},
		"aws without its other key": {
			head[:strings.Index(head, "api_key")] + "auth: {kind: aws, secret: env:A}\n",
			"auth: of kind aws needs an access_key beside the secret",
		},
		"a region of nothing": {
			head[:strings.Index(head, "api_key")] + "auth: {kind: bearer, secret: env:A, region: us-east-1}\n",
			"auth: has access_key, session_token, region and profile only where its kind is aws",
		},
		"region": {head[:strings.Index(head, "api_key")] +
			"auth: {kind: aws, secret: env:A, access_key: env:B, region: Here}\n", "auth.region: want a region such as us-east-1"},
		"unknown setting":    {head + "modles: []\n", "x.yaml:4: modles: unknown setting; did you mean models?"},
		"unrelated setting":  {head + "zzzzzzzzzz: []\n", "x.yaml:4: zzzzzzzzzz: unknown setting"},
		"control characters": {head + "\"a\\nb\\u001b\": 1\n", "x.yaml:4: a?b?: unknown setting"},
		"set twice":          {head + "name: acme\n", "x.yaml:4: name: is set twice"},
		"adapter": {head + "adapter: opnai\n", "x.yaml:4: adapter: want one of " + strings.Join(adapterNames(), ", ") +
			"; did you mean openai?"},
		"no base_url": {"name: acme\napi_key: env:A\n", "a provider needs a base_url"},
		"http":        {strings.Replace(head, "https", "http", 1), "x.yaml:2: base_url: base URL must begin with https://"},
		"loopback":    {strings.Replace(head, "api.acme.example", "127.0.0.1", 1), "x.yaml:2: base_url:"},
		"user in base_url": {
			strings.Replace(head, "api.", "me:pass@api.", 1),
			"x.yaml:2: base_url: base URL must not hold a user",
		},
		"slash at the end": {strings.Replace(head, "/v1", "/v1/", 1), "must not end in a slash"},
		"private":          {head + "private: yes\n", "x.yaml:4: private: want true or false"},
		"no credential":    {"name: acme\nbase_url: https://a.example/v1\n", "a provider needs an api_key"},
		"no secret": {
			"name: acme\nbase_url: https://a.example/v1\nauth: {kind: bearer}\n",
			"x.yaml:3: auth: needs a secret",
		},
		"no header":        {head + "auth: {kind: header}\n", "x.yaml:4: auth: of kind header needs a header"},
		"header of bearer": {head + "auth: {kind: bearer, header: X-Key}\n", "x.yaml:4: auth: of kind bearer has no header"},
		"none with secret": {
			"name: a\nbase_url: https://a.example/v1\nauth: {kind: none, secret: env:A}\n",
			"auth: of kind none has no secret",
		},
		"kind": {
			head + "auth: {kind: basic}\n",
			"auth.kind: want one of bearer, header, aws, entra, google, openai, anthropic, none",
		},
		"header's name": {head + "auth: {kind: header, header: 'a b'}\n", "auth.header: must be the name of a header"},
		"credential header": {
			head + "headers: {authorization: x}\n",
			"x.yaml:4: headers.authorization: is set by the router itself",
		},
		"header with a line end": {head + "headers: {X-A: \"b\\r\\nc\"}\n", "headers.X-A: want the value of a header"},
		"name with a line end":   {head + "headers: {\"X-A\\r\\nB\": c}\n", "must be the name of a header"},
		"rename model":           {head + "quirks: {rename: {model: m}}\n", "quirks.rename.model: model, messages and stream cannot be"},
		"rename to messages":     {head + "quirks: {rename: {a: messages}}\n", "quirks.rename.a: model, messages"},
		"drop stream":            {head + "quirks: {drop: [user, stream]}\n", "quirks.drop[1]: model, messages"},
		"path":                   {head + "quirks: {path: '/../admin'}\n", "quirks.path: want a path"},
		"path with a query":      {head + "quirks: {path: '/a?b'}\n", "quirks.path: want a path"},
		"timeout":                {head + "timeouts: {idle: 2h}\n", "timeouts.idle: want a time of at most an hour"},
		"timeout without unit":   {head + "timeouts: {idle: 20}\n", "timeouts.idle: want a time"},
		"weight":                 {head + "weight: -1\n", "weight: want a whole number from 0 to 1000"},
		"weight with decimals":   {head + "weight: 1.5\n", "weight: want a whole number"},
		"models no list":         {head + "models: {a: b}\n", "x.yaml:4: models: want a list"},
		"model no group":         {models("large"), "x.yaml:5: models[0]: a model needs an id"},
		"no id":                  {models("upstream: x"), "models[0]: a model needs an id"},
		"id of another provider": {models("id: other/large"), "models[0].id: want a name of lower-case letters"},
		"id with capitals":       {models("id: Large"), "models[0].id: want a name"},
		"same id": {
			models("id: large\n  - id: acme/large"),
			"x.yaml:6: models[1]: model large is already described in line 5",
		},
		"same upstream": {
			models("id: large\n  - {id: small, upstream: large}"),
			"x.yaml:4: models: models large and small have the same upstream name",
		},
		"upstream":     {models("{id: large, upstream: 'a b'}"), "models[0].upstream: want the provider's name"},
		"context":      {models("{id: large, context: big}"), "models[0].context: want a number of tokens"},
		"context zero": {models("{id: large, context: 0}"), "models[0].context: want a number of tokens"},
		"huge context": {models("{id: large, context: 99999999999999m}"), "models[0].context: want a number of tokens"},
		"output beyond context": {
			models("{id: large, context: 1k, max_output: 2k}"),
			"models[0].max_output: is more than the context of 1000",
		},
		"ability": {
			models("{id: large, can: [tools, visoin]}"),
			"models[0].can[1]: want one of audio, documents, embeddings, json_schema, reasoning, stream, tools, vision; did you " +
				"mean vision?",
		},
		"encoding": {models("{id: large, tokenizer: {encoding: p50k_base}}"), "models[0].tokenizer.encoding: want one of"},
		"percent":  {models("{id: large, tokenizer: {percent: 0}}"), "models[0].tokenizer.percent: want a whole number"},
		"no since": {
			price(`{prompt: "1", completion: "1"}`),
			"models[0].prices[0]: a price needs since, prompt and completion",
		},
		"no completion": {
			price(`{since: 2026-01-01, prompt: "1"}`),
			"models[0].prices[0]: a price needs since, prompt and completion",
		},
		"since": {price(`{since: 2026-13-01, prompt: "1", completion: "1"}`), "prices[0].since: want a date"},
		"rate": {
			price(`{since: 2026-01-01, prompt: "1.2.3", completion: "1"}`),
			"prices[0].prompt: want dollars per million tokens",
		},
		"negative rate": {price(`{since: 2026-01-01, prompt: "-1", completion: "1"}`), "prices[0].prompt: want dollars"},
		"absurd rate": {
			price(`{since: 2026-01-01, prompt: "1", completion: "100001"}`),
			"prices[0].completion: want dollars",
		},
		"too many decimals": {
			price(`{since: 2026-01-01, prompt: "0.0000000001", completion: "1"}`),
			"prices[0].prompt: want dollars",
		},
		"rate with an exponent": {price(`{since: 2026-01-01, prompt: 1e-3, completion: "1"}`), "prices[0].prompt: want dollars"},
		"source": {
			price(`{since: 2026-01-01, prompt: "1", completion: "1", source: rumour}`),
			"prices[0].source: want one of catalog, contract, manual",
		},
		"same since": {price("{since: 2026-01-01, prompt: \"1\", completion: \"1\"}\n      - {since: 2026-01-01T00:00:00Z, " +
			"prompt: \"1\", completion: \"1\"}"), "x.yaml:8: models[0].prices[1]: another price of the model has the same since"},
		"leap up": {price("{since: 2026-01-01, prompt: \"1\", completion: \"1\"}\n      - {since: 2026-02-01, prompt: " +
			"\"1\", completion: \"20.000000001\"}"), "x.yaml:8: models[0].prices[1]: completion goes from $1 to $20.000000001"},
		"leap down": {price("{since: 2026-01-01, prompt: \"2.5\", completion: \"1\"}\n      - {since: 2026-02-01, prompt: " +
			"\"0.0025\", completion: \"1\"}"), "prompt goes from $2.5 to $0.0025 per million tokens; if that is right, add force: true"},
		"leap to nothing": {price("{since: 2026-01-01, prompt: \"1\", completion: \"1\"}\n      - {since: 2026-02-01, prompt: " +
			"\"1\", completion: \"1\", cache_read: \"0\"}"), "cache_read goes from $1 to $0"},
		"leap in another order": {price("{since: 2026-02-01, prompt: \"100\", completion: \"1\"}\n      - {since: 2026-01-01, prompt: " +
			"\"1\", completion: \"1\"}"), "x.yaml:7: models[0].prices[0]: prompt goes from $1 to $100"},
		"anchor":           {head + "display: &x y\n", "x.yaml:4: display: anchors, aliases and tags are not supported"},
		"alias":            {"name: acme\ndisplay: *x\n" + head[11:], "anchors, aliases and tags are not supported"},
		"tag":              {head + "display: !!str y\n", "x.yaml:4: display: anchors, aliases and tags are not supported"},
		"merge key":        {head + "<<: {a: b}\n", "unknown setting"},
		"group for a word": {head + "display: {a: b}\n", "x.yaml:4: display: want a single value"},
		"word for a group": {head + "quirks: none\n", "x.yaml:4: quirks: want a group of settings"},
		"a credential in its place": {
			strings.Replace(head, "acme.example", "acme.example:sk-verysecret", 1),
			"base_url: base URL is not a URL",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.text))
			var faults Faults
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "sk-verysecret") {
				t.Errorf("a credential is repeated: %v", err)
			}
			if strings.ContainsAny(err.Error(), "\r\x1b") {
				t.Errorf("control characters are repeated: %q", err)
			}
		})
	}
}

func TestParse_AllFaultsAtOnce(t *testing.T) {
	text := `name: Acme
base_url: http://api.acme.example/v1
adapter: nobody
weights: 3
quirks: {drop: [model], path: nowhere}
models:
  - {id: A}
  - {id: b, context: x, can: [fly]}
  - id: c
    prices: [{since: never, prompt: a, completion: b}]
`
	_, err := Parse("acme.yaml", []byte(text))
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	lines := make(map[int]int)
	for _, f := range faults {
		lines[f.Line]++
	}
	want := map[int]int{1: 3, 2: 1, 3: 1, 4: 1, 5: 2, 7: 1, 8: 2, 10: 3} // line 1: an invalid name, a missing name and a missing credential
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("faults by line are %v, want %v:\n%v", lines, want, err)
	}
	if !strings.HasPrefix(err.Error(), "catalogue: 14 faults\n  acme.yaml:1: name: ") {
		t.Errorf("got %v", err)
	}
}

func TestParse_LeapAllowed(t *testing.T) {
	text := head + `models:
  - id: large
    prices:
      - {since: 2026-01-01, prompt: "1", completion: "1"}
      - {since: 2026-02-01, prompt: "20", completion: "0.05"}
      - {since: 2026-03-01, prompt: "0", completion: "0", force: true}
`
	if _, err := Parse("x.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
}

// YAML that is designed to be expensive is refused quickly.
func TestHostileDocumentsAreRefusedQuickly(t *testing.T) {
	repeat := strings.Repeat
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	laughs := "a0: &a0 [lol, lol]\n"
	for i := range 30 {
		laughs += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	bombs := map[string]string{
		"billion laughs":       laughs,
		"laughs in a document": head + "headers:\n  " + strings.ReplaceAll(laughs, "\n", "\n  "),
		"50 MB":                repeat("a: b\n", 10<<20),
		"brackets":             "a: " + repeat("[", 200_000),
		"brackets on a line":   "a: " + repeat("[", 4_000),
		"braces on lines":      repeat(repeat("{a: ", 1_000)+"\n", 60),
		"dashes on a line":     repeat("- ", 2_000),
		"questions on a line":  repeat("? ", 2_000),
		"braces over lines":    repeat("{a:\n", 50_000),
		"dashes":               repeat("- ", 100_000),
		"dashes on lines":      repeat(repeat("- ", 15)+"a\n", 2000),
		"questions":            repeat("? ", 100_000),
		"keys":                 many("k%d: v\n", 20_000),
		"flow keys":            "a: {" + many("k%d: v, ", 20_000) + "}",
		"items":                "a:\n" + repeat("- b\n", 50_000),
		"flow items":           "a: [" + repeat("b, ", 80_000) + "]",
		"commas":               "a: [" + repeat(",", 200_000) + "]",
		"commas on lines":      "a: [" + repeat(repeat(",", 1000)+"\n", 200) + "]",
		"one string":           "a: " + repeat("x", 250_000),
		"quotes":               "a: " + repeat(`"`, 250_000),
		"quotes on lines":      "a: " + repeat(repeat(`"`, 4_000)+"\n", 60),
		"indented":             many("%[1]*d:\n", 700),
		"documents":            repeat("---\n", 60_000),
		"anchors":              repeat("- &a x\n", 30_000),
		"NULs":                 repeat("\x00", 250_000),
		"tabs":                 repeat("\t", 250_000),
		"colons":               repeat(": ", 100_000),
		"not UTF-8":            repeat("\xff", 250_000),
	}
	for name, text := range bombs {
		t.Run(name, func(t *testing.T) {
			bytes := []byte(text)
			var err error
			least := time.Hour // of several attempts: the machine may be busy
			for i := 0; i < 10 && least > 100*time.Millisecond; i++ {
				began := time.Now()
				_, err = Parse("x.yaml", bytes)
				least = min(least, time.Since(began))
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want it refused", err)
			}
			prove.Within(t, "the refusal", least, 100*time.Millisecond)
			if len(err.Error()) > 4096 {
				t.Errorf("the refusal has %d bytes", len(err.Error()))
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(head))
	f.Add([]byte("a: [{b: &c d}, *c]\n? x\n: y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("x.yaml", text)
		if err == nil && (p.Name == "" || p.BaseURL == "") {
			t.Errorf("%q is taken for %+v", text, p)
		}
	})
}
