package catalogue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// files returns built-in documents of three providers that share models.
func files() fs.FS {
	doc := func(name string, more ...string) *fstest.MapFile {
		lines := append([]string{
			"name: " + name, "base_url: https://api." + name + ".example/v1",
			"api_key: env:" + strings.ToUpper(name) + "_API_KEY", "models:",
		}, more...)
		return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n"))}
	}
	return fstest.MapFS{
		"acme.yaml": doc("acme",
			`  - {id: large, upstream: acme-large-2, owner: maker, created: 2025-05-01, context: 128k, max_output: 8k, prices: [{since: `+
				`2026-01-01, prompt: "1", completion: "4"}]}`,
			`  - {id: small, upstream: acme/small, context: 8k, prices: [{since: 2026-01-01, prompt: "0.1", completion: "0.4"}, {since: `+
				`2026-06-01, prompt: "0.2", completion: "0.3"}]}`),
		"bolt.yaml": doc("bolt",
			`  - {id: large, upstream: large-latest, owner: maker, created: 2025-05-01, context: 64k, max_output: 16k, prices: [{since: `+
				`2026-01-01, prompt: "2", completion: "3"}]}`,
			`  - {id: odd, upstream: acme/small2, context: 32k}`),
		"cord.yaml": doc("cord", `  - {id: rare, context: 1m}`),
	}
}

// have resolves references to only those environment variables.
func have(names ...string) func(context.Context, string) (secret.Value, error) {
	return func(ctx context.Context, ref string) (secret.Value, error) {
		name, ok := strings.CutPrefix(ref, "env:")
		if !ok {
			return secret.Resolve(ctx, ref)
		}
		if !slices.Contains(names, name) {
			return secret.Value{}, fmt.Errorf("secret: environment variable %s is not set", name)
		}
		return secret.New("value of " + name), nil
	}
}

func build(t *testing.T, in Input, names ...string) *Catalogue {
	t.Helper()
	c, err := try(t, in, names...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func try(t *testing.T, in Input, names ...string) (*Catalogue, error) {
	t.Helper()
	in.File = "tallyroute.yaml"
	now := func() time.Time { return time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC) }
	return Build(t.Context(), in, Options{Data: files(), Secrets: have(names...), Now: now})
}

// both are the credentials of acme and bolt; cord has none.
var both = []string{"ACME_API_KEY", "BOLT_API_KEY"}

func targets(c *Catalogue, name string) string {
	list, pinned, ok := c.Resolve(name)
	var names []string
	for _, t := range list {
		names = append(names, t.Name())
	}
	s := strings.Join(names, " ")
	if pinned {
		s += " pinned"
	}
	if ok != (len(list) > 0) {
		s += " but ok is wrong"
	}
	return s
}

func TestResolve(t *testing.T) {
	c := build(t, Input{Text: `
aliases:
  cheap: [bolt/odd, small, bolt/odd, rare]
  wide: {sort: price, min_context: 64k}
  large: [bolt/large]
  nothing: [cord/rare]
`}, both...)
	for name, want := range map[string]string{
		"small":                  "acme/small",
		"acme/large":             "acme/large pinned",
		"bolt/large":             "bolt/large pinned",
		"cheap":                  "acme/small bolt/odd",
		"wide":                   "acme/large bolt/large",
		"auto":                   "acme/large bolt/large bolt/odd",
		"large":                  "bolt/large", // the alias, not the model
		"acme-large-2":           "acme/large",
		"acme/acme-large-2":      "acme/large pinned",
		"bolt/large-latest":      "bolt/large pinned",
		"acme/acme/small":        "acme/small pinned",
		"bolt/acme/small2":       "bolt/odd pinned",
		"acme/small2":            "", // bolt must not serve what looks like acme's model
		"rare":                   "",
		"cord/rare":              "",
		"nothing":                "",
		"acme":                   "",
		"acme/":                  "",
		"/large":                 "",
		"":                       "",
		"Large":                  "",
		"acme/large ":            "",
		"acme/cheap":             "",
		strings.Repeat("a", 9e6): "",
	} {
		if got := targets(c, name); got != want {
			t.Errorf("%.40q is %q, want %q", name, got, want)
		}
	}
	if got := targets(build(t, Input{}, both...), "large"); got != "acme/large bolt/large" {
		t.Errorf("large without the alias is %q", got)
	}
	if got := targets(build(t, Input{Text: "aliases: {auto: [small]}"}, both...), "auto"); got != "acme/small" {
		t.Errorf("auto is %q in spite of the operator", got)
	}
}

func TestNearest(t *testing.T) {
	c := build(t, Input{Text: "aliases: {chat-cheap: [small]}"}, both...)
	everything := func(string) bool { return true }
	for name, want := range map[string]string{
		"lagre":                  "large",
		"LARGE":                  "large",
		"acme/larg":              "acme/large",
		"cheap-chat":             "chat-cheap",
		"chat-cheep":             "chat-cheap",
		"autoo":                  "auto",
		"zzzzzzzzzzz":            "",
		"":                       "",
		strings.Repeat("a", 9e6): "",
	} {
		if got := c.Nearest(name, everything); got != want {
			t.Errorf("nearest to %.40q is %q, want %q", name, got, want)
		}
	}
	onlyBolt := func(name string) bool { return strings.HasPrefix(name, "bolt/") }
	if got := c.Nearest("larg", onlyBolt); got != "bolt/large" {
		t.Errorf("of those of bolt, the nearest is %q", got)
	}
	if got := c.Nearest("larg", func(string) bool { return false }); got != "" {
		t.Errorf("%q is shown to one who may see nothing", got)
	}
}

func TestModels(t *testing.T) {
	c := build(t, Input{Text: "aliases: {cheap: [small, odd]}"}, both...)
	var got []string
	for _, m := range c.Models() {
		price := "unpriced"
		if m.Prompt != nil {
			price = billing.Money(*m.Prompt).Short() + "/" + billing.Money(*m.Completion).Short()
		}
		got = append(got, fmt.Sprintf("%s %s %s %d %d %v %s", m.ID, m.OwnedBy, m.Created.Format(time.DateOnly), m.ContextLength,
			m.MaxOutput, m.Providers, price))
	}
	want := []string{
		"auto tallyroute 1970-01-01 128000 16000 [acme bolt] 1/3",
		"cheap tallyroute 1970-01-01 32000 0 [acme bolt] 0.2/0.3",
		"large maker 2025-05-01 128000 16000 [acme bolt] 1/3",
		"odd bolt 1970-01-01 32000 0 [bolt] unpriced",
		"small acme 2026-01-01 8000 0 [acme] 0.2/0.3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPrices(t *testing.T) {
	c, again := build(t, Input{}, both...), build(t, Input{}, both...)
	prices := c.Prices()
	if len(prices) != 4 || !reflect.DeepEqual(prices, again.Prices()) {
		t.Errorf("got %v and %v", prices, again.Prices())
	}
	ids := make(map[string]bool)
	for _, p := range prices {
		ids[p.ID] = true
	}
	if len(ids) != 4 {
		t.Errorf("ids are %v", ids)
	}
	book := billing.NewPriceBook(prices)
	if book.At("bolt", "odd", time.Now()) != nil {
		t.Error("a model without prices has one")
	}
	contract := build(t, Input{Text: `providers: {acme: {models: [{id: large, prices: [{since: 2026-01-01, prompt: "1", ` +
		`completion: "4"}]}]}}`}, both...)
	for _, p := range contract.Prices() {
		if p.Provider == "acme" && p.Model == "large" && (ids[p.ID] || p.Source != "contract") {
			t.Errorf("the operator's own price is %+v", p)
		}
	}
}

// What an operator adds does not remove what the catalogue knows, unless that is requested.
func TestOperatorsQuirksAddUp(t *testing.T) {
	data := fstest.MapFS{"acme.yaml": {Data: []byte(`
name: acme
base_url: https://api.acme.example/v1
auth: {kind: bearer, secret: "env:ACME_API_KEY"}
quirks: {drop: [logprobs], refuse: [audio], message_drop: [mood], rename: {seed: random_seed}, bounds: {n: {max: 1}}, no_stream_usage: true}
models: [{id: large, context: 1k, quirks: {drop: [temperature]}}]
`)}}
	quirks := func(provider, model string) providers.Quirks {
		t.Helper()
		c, err := Build(t.Context(), Input{Text: `providers: {acme: {quirks: {` + provider + `}, models: [{id: large, quirks: {` +
			model + `}}]}}`},
			Options{Data: data, Secrets: environment(map[string]string{"ACME_API_KEY": "k"})})
		if err != nil {
			t.Fatal(err)
		}
		list, _, _ := c.Resolve("acme/large")
		q := list[0].Quirks
		q.Members = nil
		return q
	}
	want := providers.Quirks{
		Drop: []string{"logprobs", "user", "temperature", "seed"}, Refuse: []string{"audio", "tools"}, MessageDrop: []string{"mood", "x"},
		Rename: map[string]string{"seed": "random_seed", "a": "b"}, Bounds: map[string]providers.Bound{
			"n":     {Max: "1"},
			"top_p": {Max: "0.9"},
		},
		NoStreamUsage: true,
	}
	if got := quirks("drop: [user], refuse: [tools], message_drop: [x], rename: {a: b}, bounds: {top_p: {max: 0.9}}",
		"drop: [seed]"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	got := quirks("drop: [], refuse: [], message_drop: [], no_stream_usage: false", "drop: []")
	if len(got.Drop)+len(got.Refuse)+len(got.MessageDrop) > 0 || got.NoStreamUsage {
		t.Errorf("taken back they are %+v", got)
	}
}

func TestPriceID(t *testing.T) {
	base := billing.Price{
		Provider: "a", Model: "b", Since: time.Unix(1, 0), Input: 1, CacheRead: 2, CacheWrite: 3, Output: 4, Request: 5,
		Source: "catalog",
	}
	same := base
	same.ID, same.Since = "x", base.Since.In(time.FixedZone("", 3600))
	if priceID(base) != priceID(same) {
		t.Error("the same facts have two ids")
	}
	for name, change := range map[string]func(*billing.Price){
		"provider": func(p *billing.Price) { p.Provider = "c" }, "model": func(p *billing.Price) { p.Model = "c" },
		"since": func(p *billing.Price) { p.Since = time.Unix(2, 0) }, "input": func(p *billing.Price) { p.Input++ },
		"cache read": func(p *billing.Price) { p.CacheRead++ }, "cache write": func(p *billing.Price) { p.CacheWrite++ },
		"output": func(p *billing.Price) { p.Output++ }, "request": func(p *billing.Price) { p.Request++ },
		"source": func(p *billing.Price) { p.Source = "manual" },
	} {
		p := base
		change(&p)
		if priceID(p) == priceID(base) {
			t.Errorf("another %s has the same id", name)
		}
	}
}

func TestBuild_Overlay(t *testing.T) {
	c := build(t, Input{Text: `
providers:
  acme:
    api_key: env:OTHER_KEY
    headers: {x-title: ours}
    quirks: {drop: [user]}
    timeouts: {idle: 5s}
    weight: 7
    models:
      - id: large
        context: 32k
        can: [tools]
        prices: [{since: 2026-05-01, prompt: "0.9", completion: "3.9"}]
      - {id: acme/new, upstream: new-1, context: 1k}
  own:
    base_url: http://127.0.0.1:11434/v1
    private: true
    auth: {kind: none}
    models: [{id: large, upstream: "llama3:70b"}]
`}, "OTHER_KEY")
	if got := targets(c, "large"); got != "acme/large own/large" {
		t.Fatalf("large is %q", got)
	}
	list, _, _ := c.Resolve("large")
	acme, own := list[0], list[1]
	if acme.Upstream != "acme-large-2" || acme.Context != 32_000 || acme.MaxOutput != 8000 || !acme.Can.Tools || !acme.Can.Stream ||
		acme.Weight != 7 ||
		acme.BaseURL != "https://api.acme.example/v1" || acme.Header.Get("X-Title") != "ours" || acme.IdleTimeout != 5*time.Second ||
		!slices.Equal(acme.Quirks.Drop, []string{"user"}) {
		t.Errorf("got %+v", acme)
	}
	if own.Upstream != "llama3:70b" || !own.Private || own.Weight != 1 || own.Adapter.Chat == nil {
		t.Errorf("got %+v", own)
	}
	if got := sign(t, acme); got != "Authorization: Bearer value of OTHER_KEY" {
		t.Errorf("acme is signed %q", got)
	}
	if got := sign(t, own); got != "" {
		t.Errorf("own is signed %q", got)
	}
	if got := targets(c, "acme/new"); got != "acme/new pinned" {
		t.Errorf("acme/new is %q", got)
	}
	if got := targets(c, "small"); got != "acme/small" {
		t.Errorf("what the operator does not mention is %q", got)
	}
	book := billing.NewPriceBook(c.Prices())
	if book.At("acme", "large", time.Date(2026, 4, 30, 0, 0, 0, 0, time.UTC)) != nil {
		t.Error("built-in prices stand beside the operator's")
	}
	if p, ok := book.At("acme", "large", time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)).Listed(billing.TierStandard, 0); !ok ||
		p.Input != 9e8 || p.Source != "contract" {
		t.Errorf("got %+v, %v", p, ok)
	}
}

// sign returns the headers that signing adds to a call to a target.
func sign(t *testing.T, target providers.Target) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.BaseURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Auth.Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for name := range r.Header {
		lines = append(lines, name+": "+r.Header.Get(name))
	}
	return strings.Join(lines, "\n")
}

func TestBuild_List(t *testing.T) {
	c := build(t, Input{Text: `
providers:
  - {name: acme, auth: {kind: header, header: x-key}}
  - {base_url: https://new.example/v1, models: [{id: new/large}], name: new, api_key: env:NEW}
`}, "ACME_API_KEY", "NEW")
	if got := targets(c, "large"); got != "acme/large new/large" {
		t.Errorf("large is %q", got)
	}
	list, _, _ := c.Resolve("acme/large")
	if got := sign(t, list[0]); got != "X-Key: value of ACME_API_KEY" {
		t.Errorf("acme is signed %q", got)
	}
}

func TestBuild_Documents(t *testing.T) {
	c := build(t, Input{
		Text: "providers: {acme: {weight: 2}}",
		Documents: []string{
			"name: own\nbase_url: https://own.example/v1\nauth: {kind: none}\nmodels: [{id: large}]",
			"name: acme\ntimeouts: {idle: 1s}",
		},
	}, "ACME_API_KEY")
	list, _, _ := c.Resolve("large")
	if targets(c, "large") != "acme/large own/large" || list[0].Weight != 2 || list[0].IdleTimeout != time.Second {
		t.Errorf("large is %+v", list)
	}
	if _, err := try(t, Input{Documents: []string{"name: own"}}); err == nil ||
		!strings.Contains(err.Error(), "1: a provider needs a base_url") {
		t.Errorf("got %v", err)
	}
}

// A credential is resolved for every call, so that a rotated one takes effect.
func TestBuild_Rotated(t *testing.T) {
	value := "first"
	c, err := Build(t.Context(), Input{}, Options{Data: files(), Secrets: func(context.Context, string) (secret.Value,
		error,
	) {
		return secret.New(value), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	value = "second"
	list, _, _ := c.Resolve("acme/large")
	if got := sign(t, list[0]); got != "Authorization: Bearer second" {
		t.Errorf("signed %q", got)
	}
}

func TestProviders(t *testing.T) {
	c := build(t, Input{Text: "providers: {acme: {display: Acme Inc.}}"}, "ACME_API_KEY")
	got := c.Providers()
	want := []Status{
		{
			Name: "acme", Display: "Acme Inc.", BaseURL: "https://api.acme.example/v1", Adapter: "openai", Models: 2, Configured: true,
			From: "configuration",
		},
		{
			Name: "bolt", Display: "bolt", BaseURL: "https://api.bolt.example/v1", Adapter: "openai", Models: 2,
			Why: "environment variable BOLT_API_KEY is not set", From: "built-in",
		},
		{
			Name: "cord", Display: "cord", BaseURL: "https://api.cord.example/v1", Adapter: "openai", Models: 1,
			Why: "environment variable CORD_API_KEY is not set", From: "built-in",
		},
	}
	if !slices.EqualFunc(got, want, func(a, b Status) bool {
		a.References = nil // covered by another test
		return reflect.DeepEqual(a, b)
	}) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestBuild_Nothing(t *testing.T) {
	c := build(t, Input{})
	if len(c.Models()) != 0 || len(c.Prices()) != 0 || targets(c, "auto") != "" {
		t.Errorf("without credentials there are %v", c.Models())
	}
}

func TestBuild_Weightless(t *testing.T) {
	c := build(t, Input{Text: "providers: {acme: {weight: 0}}"}, both...)
	if got := targets(c, "auto"); got != "bolt/large bolt/odd" {
		t.Errorf("auto is %q", got)
	}
	if got := targets(c, "acme/large"); got != "acme/large pinned" {
		t.Errorf("acme/large is %q", got)
	}
}

func TestBuild_Faults(t *testing.T) {
	tests := map[string]struct{ providers, aliases, want string }{
		"no group": {"providers: acme", "", "tallyroute.yaml:1: providers: want a group of settings"},
		"incomplete": {
			"providers:\n  new: {api_key: env:NEW}", "",
			"tallyroute.yaml:2: providers.new: a provider needs a base_url",
		},
		"another name":      {"providers:\n  acme: {name: acne}", "", "tallyroute.yaml:2: providers.acme.name: is not the name"},
		"no name in a list": {"providers:\n  - {api_key: env:NEW}", "", "tallyroute.yaml:2: providers[0]: a provider needs a name"},
		"twice": {
			"providers:\n  - {name: acme}\n  - {name: acme}", "",
			"tallyroute.yaml:3: providers[1]: provider acme is already described in line 2",
		},
		"bad name": {"providers:\n  A B: {}", "", "tallyroute.yaml:2: providers.A B: want a name"},
		"literal credential": {
			"providers:\n  acme: {api_key: sk-verysecret}", "",
			"tallyroute.yaml:2: providers.acme.api_key: a credential is referred to, not written down",
		},
		"leap from built-in": {`providers: {acme: {models: [{id: large, prices: [{since: 2026-05-01, prompt: "0.001", ` +
			`completion: "4"}]}]}}`, "", "prompt goes from $1 to $0.001"},
		"upstream of built-in": {
			"providers: {acme: {models: [{id: other, upstream: acme-large-2}]}}", "",
			"models large and other have the same upstream name",
		},
		"unknown in alias": {
			"", "aliases:\n  cheap: [acme/lagre]",
			`tallyroute.yaml:2: aliases.cheap: no provider has a model "acme/lagre"; did you mean acme/large?`,
		},
		"alias of an alias": {"", "aliases:\n  a: [large]\n  b: [a]", `tallyroute.yaml:3: aliases.b: no provider has a model "a"`},
		"empty alias":       {"", "aliases: {cheap: []}", "aliases.cheap: an alias needs at least one model"},
		"word for an alias": {"", "aliases: {cheap: large}", "aliases.cheap: want a list of models, or {sort: price}"},
		"sort":              {"", "aliases: {cheap: {sort: speed}}", "aliases.cheap.sort: want one of price"},
		"condition": {
			"", "aliases: {cheap: {min_contxt: 16k}}",
			"aliases.cheap.min_contxt: unknown setting; did you mean min_context?",
		},
		"alias with a slash": {"", "aliases: {acme/large: [small]}", "aliases.acme/large: want a name of lower-case letters"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := try(t, Input{Text: tt.providers + tt.aliases}, both...)
			var faults Faults
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "verysecret") {
				t.Errorf("the credential is repeated: %v", err)
			}
		})
	}
	_, err := try(t, Input{
		Text: "providers: {acme: {weight: x}, bolt: {api_key: sk-verysecret}}\naliases: {a: [b]}",
	}, both...)
	if n := strings.Count(err.Error(), "\n"); n != 3 {
		t.Errorf("got %d faults at once, want 3: %v", n, err)
	}
}

func TestBuild_BrokenData(t *testing.T) {
	data := fstest.MapFS{
		"a.yaml": {Data: []byte("name: b\nbase_url: https://b.example\nauth: {kind: none}")},
		"c.yaml": {Data: []byte("x: y")},
	}
	_, err := Build(t.Context(), Input{}, Options{Data: data})
	for _, want := range []string{"a.yaml: name: is not that of the file", "c.yaml:1: x: unknown setting"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
