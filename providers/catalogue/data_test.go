package catalogue

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// all returns the built-in catalogue with every credential available.
func all(t testing.TB) *Catalogue {
	c, err := Build(t.Context(), Input{}, Options{Secrets: func(_ context.Context, ref string) (secret.Value, error) {
		if !strings.HasPrefix(ref, "env:") {
			t.Errorf("the built-in credential %s is not in the environment", ref)
		}
		return secret.New("x"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestData(t *testing.T) {
	data, err := fs.Sub(builtin, "data")
	if err != nil {
		t.Fatal(err)
	}
	list, faults := builtins(data)
	if err := faults.err(); err != nil {
		t.Fatal(err)
	}
	if len(list) < 30 {
		t.Errorf("only %d providers are built in", len(list))
	}
	models := 0
	for _, l := range list {
		if l.Display == "" || l.Weight != 1 {
			t.Errorf("%s is not as built-in providers are: %+v", l.Name, l.Provider)
		}
		models += len(l.Models)
		for _, m := range l.Models {
			checkModel(t, l.Name, m)
		}
	}
	if models < 300 {
		t.Errorf("only %d models are built in", models)
	}
}

// What is known about models before they are parsed matches what is parsed later.
func TestData_NamesBeforeReading(t *testing.T) {
	data, err := fs.Sub(builtin, "data")
	if err != nil {
		t.Fatal(err)
	}
	list, faults := heads(data)
	if err := faults.err(); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		l := &list[i]
		before, n, unread := l.names(), l.count(), l.rest != nil
		if err := l.read().err(); err != nil {
			t.Fatal(err)
		}
		after := l.names()
		slices.Sort(before)
		slices.Sort(after)
		if before, after = slices.Compact(before), slices.Compact(after); !slices.Equal(before, after) || n != len(l.Models) || !unread {
			t.Errorf("%s: %d models %v before, %d models %v after", l.Name, n, before, len(l.Models), after)
		}
	}
}

// unpriced lists providers that publish no prices per token.
var unpriced = map[string]bool{"github": true, "nvidia": true, "ollama-cloud": true, "snowflake": true}

// An open model is the same model, whoever serves it.
func TestData_OneNameForOneModel(t *testing.T) {
	c, err := Build(t.Context(), Input{}, Options{Whole: true, Secrets: have()})
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range Strays(c.Offers()) {
		var names []string
		for _, o := range group {
			names = append(names, o.Name()+" is "+o.Is())
		}
		t.Errorf("%s: %s", looks(group[0].Upstream), strings.Join(names, ", "))
	}
	if n := len(c.Offers()); n < 1000 {
		t.Errorf("only %d offers", n)
	}
}

func checkModel(t *testing.T, provider string, m Model) {
	t.Helper()
	name := provider + "/" + m.ID
	if m.Context < 4096 && m.Can.Operation == providers.Chat || m.Context < 256 || m.Context > 20_000_000 ||
		(m.MaxOutput != 0 && m.MaxOutput < 1024) {
		t.Errorf("%s has a context of %d and an output of %d", name, m.Context, m.MaxOutput)
	}
	if m.Can.Stream != (m.Can.Operation == providers.Chat) || m.Owner == "" {
		t.Errorf("%s is %+v", name, m)
	}
	if (len(m.Prices) == 0) != unpriced[provider] {
		t.Errorf("%s has %d prices", name, len(m.Prices))
	}
	for _, p := range m.Prices {
		const dollar = billing.NanoPerUSD
		if p.Input <= 0 || p.Input > 100*dollar || p.Output > 0 != (m.Can.Operation == providers.Chat) || p.Output > 400*dollar ||
			p.Output >= p.Input != (m.Can.Operation == providers.Chat) {
			t.Errorf("%s costs %s and %s", name, p.Input.Short(), p.Output.Short())
		}
		cheaper := p.ServiceTier == billing.TierBatch || p.ServiceTier == billing.TierFlex // may omit the cache
		if p.CacheRead > p.Input || !cheaper && p.CacheWrite > 2*p.Input || p.CacheWrite1h < p.CacheWrite ||
			!cheaper && p.CacheWrite1h > 4*p.Input {
			t.Errorf("%s costs %s from and %s or %s into the cache", name, p.CacheRead.Short(), p.CacheWrite.Short(),
				p.CacheWrite1h.Short())
		}
		if p.Source != sourceCatalog || p.Since.Before(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)) || p.Since.Before(m.Created) {
			t.Errorf("%s has a price of %s since %v", name, p.Source, p.Since)
		}
	}
}

// Models that several providers offer give "cheapest" a choice, and their prices are of the
// same order of magnitude.
func TestData_Shared(t *testing.T) {
	c, err := Build(t.Context(), Input{}, Options{Whole: true, Secrets: have()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	cheapest := make(map[string]Offer)
	hosts := make(map[string]map[string]bool)
	for _, o := range c.Offers() {
		if hosts[o.Is()] == nil {
			hosts[o.Is()] = make(map[string]bool)
		}
		hosts[o.Is()][o.Provider] = true
		if p := o.Price(now); len(p) > 0 {
			if best, ok := cheapest[o.Is()]; !ok || p[0].Input < best.Price(now)[0].Input {
				cheapest[o.Is()] = o
			}
		}
	}
	for _, o := range c.Offers() {
		if p := o.Price(now); len(p) > 0 {
			best := cheapest[o.Is()]
			if low := best.Price(now)[0]; p[0].Input > low.Input*maxLeap || p[0].Output > low.Output*maxLeap*2 {
				t.Errorf("%s costs %s and %s, %s %s and %s", o.Name(), p[0].Input.Short(), p[0].Output.Short(), best.Name(),
					low.Input.Short(), low.Output.Short())
			}
		}
	}
	shared := 0
	for _, h := range hosts {
		if len(h) > 1 {
			shared++
		}
	}
	if shared < 200 || len(hosts) < 400 {
		t.Errorf("of %d models only %d are at several providers", len(hosts), shared)
	}
	c = all(t)
	for _, name := range []string{"llama-3.3-70b", "gpt-oss-120b", "deepseek-v4-pro", "qwen3-coder-480b"} {
		if list, _, _ := c.Resolve(name); len(list) < 2 {
			t.Errorf("%s is at %d providers", name, len(list))
		}
	}
}

func TestData_NamesAreClear(t *testing.T) {
	c := all(t)
	var ids []string
	for _, m := range c.Models() {
		ids = append(ids, m.ID)
	}
	for _, s := range c.Providers() {
		if slices.Contains(ids, s.Name) {
			t.Errorf("%s is a provider and a model", s.Name)
		}
	}
	if list, _, _ := c.Resolve("auto"); len(list) < 40 {
		t.Errorf("auto has %d targets", len(list))
	}
	if list, pinned, ok := c.Resolve("openai/gpt-4o-mini"); !ok || !pinned || len(list) != 1 || list[0].Provider != "openai" {
		t.Errorf("openai/gpt-4o-mini is %v", list)
	}
	if list, _, ok := c.Resolve("openai/gpt-oss-120b"); ok { // the upstream name at several other providers
		t.Errorf("openai/gpt-oss-120b is %v", list)
	}
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		all(b)
	}
}

func BenchmarkResolve(b *testing.B) {
	c := all(b)
	b.ReportAllocs()
	for b.Loop() {
		c.Resolve("llama-3.3-70b")
	}
}

func BenchmarkNearest(b *testing.B) {
	c := all(b)
	b.ReportAllocs()
	for b.Loop() {
		c.Nearest("opnai/gpt-4o-mni", func(string) bool { return true })
	}
}
