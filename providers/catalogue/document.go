package catalogue

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"tallyroute/billing"
	"tallyroute/providers"
)

type node = ast.Node

// Where a price comes from.
const (
	sourceCatalog  = "catalog"
	sourceContract = "contract"
	sourceManual   = "manual"
)

// document reads one document over a provider that may have something already.
type document struct {
	*reader
	p      *Provider
	source string         // of prices that do not say
	models map[string]int // id → line, of models described here
}

// read is told the name of the provider, or reads it first: models may be
// written with it in front.
func (d document) read(path string, n node) {
	p := d.p
	d.member(path, n, "name", func(path string, n node) {
		given := p.Name
		scalar(d.reader, &p.Name, providerName)(path, n)
		if given != "" && p.Name != given {
			d.fault(path, "is not the name that the provider is listed under")
			p.Name = given
		}
	})
	d.object(path, n, map[string]read{
		"name":     done,
		"display":  scalar(d.reader, &p.Display, plain),
		"adapter":  scalar(d.reader, &p.Adapter, oneOf(adapterNames()...)),
		"base_url": scalar(d.reader, &p.BaseURL, plain),
		"private":  scalar(d.reader, &p.Private, yesNo),
		"api_key":  scalar(d.reader, &p.Auth.Secret, credential),
		"auth":     d.auth,
		"headers":  d.headers,
		"quirks":   d.quirks,
		"timeouts": d.timeouts,
		"weight":   scalar(d.reader, &p.Weight, between(0, 1000)),
		"models":   d.list(d.model),
	})
}

// done is for members that were read already.
func done(string, node) {}

// auth reads a way to authorise over another, of which it keeps what fits.
func (d document) auth(path string, n node) {
	a, before := &d.p.Auth, d.p.Auth
	*a = Auth{}
	d.object(path, n, map[string]read{
		"kind":   scalar(d.reader, &a.Kind, oneOf(authBearer, authHeader, authNone)),
		"header": scalar(d.reader, &a.Header, headerName),
		"secret": scalar(d.reader, &a.Secret, credential),
	})
	if a.Kind == "" {
		a.Kind, a.Header = before.Kind, cmp.Or(a.Header, before.Header)
	}
	if a.Kind != authNone {
		a.Secret = cmp.Or(a.Secret, before.Secret)
	}
}

func (d document) headers(path string, n node) {
	table(d.reader, &d.p.Headers, headerValue)(path, n)
	for _, name := range sortedKeys(d.p.Headers) {
		if _, err := headerName(name); err != nil {
			d.fault(path+"."+shorten(name), "%s", err)
		} else if reserved(name) {
			d.fault(path+"."+name, "is set by the router itself; credentials belong in auth")
		}
	}
}

func (d document) quirks(path string, n node) {
	q := &d.p.Quirks
	d.object(path, n, map[string]read{
		"rename":          table(d.reader, &q.Rename, memberName),
		"drop":            words(d.reader, &q.Drop, memberName),
		"max_tokens":      scalar(d.reader, &q.MaxTokens, memberName),
		"no_stream_usage": scalar(d.reader, &q.NoStreamUsage, yesNo),
		"path":            scalar(d.reader, &q.Path, callPath),
	})
	for _, name := range sortedKeys(q.Rename) {
		if _, err := memberName(name); err != nil {
			d.fault(path+".rename."+shorten(name), "%s", err)
		}
	}
}

func (d document) timeouts(path string, n node) {
	d.object(path, n, map[string]read{
		"header": scalar(d.reader, &d.p.HeaderTimeout, timeout),
		"idle":   scalar(d.reader, &d.p.IdleTimeout, timeout),
	})
}

// model reads an item of models over the model with its id.
func (d document) model(path string, n node) {
	id, faults := "", len(d.faults)
	d.member(path, n, "id", scalar(d.reader, &id, func(s string) (string, error) {
		return modelName(strings.TrimPrefix(s, d.p.Name+"/"))
	}))
	if id == "" {
		if len(d.faults) == faults {
			d.fault(path, "a model needs an id")
		}
		return
	}
	if line, ok := d.models[id]; ok {
		d.fault(path, "model %s is already described in line %d", id, line)
		return
	}
	d.models[id] = d.lines[path]
	m := d.p.model(id)
	d.object(path, n, map[string]read{
		"id":         done,
		"upstream":   scalar(d.reader, &m.Upstream, upstreamName),
		"owner":      scalar(d.reader, &m.Owner, plain),
		"created":    scalar(d.reader, &m.Created, date),
		"context":    scalar(d.reader, &m.Context, tokens),
		"max_output": scalar(d.reader, &m.MaxOutput, tokens),
		"can":        d.abilities(&m.Can),
		"tokenizer":  d.tokenizer(&m.Tokenizer),
		"prices":     d.prices(m),
	})
	if m.Context > 0 && m.MaxOutput > m.Context {
		d.fault(path+".max_output", "is more than the context of %d", m.Context)
	}
}

func (d document) abilities(into *providers.Abilities) read {
	return func(path string, n node) {
		can := providers.Abilities{Stream: true}
		flags := map[string]*bool{
			"stream": &can.Stream, "tools": &can.Tools, "vision": &can.Vision, "audio": &can.Audio,
			"documents": &can.Documents, "json_schema": &can.JSONSchema, "reasoning": &can.Reasoning,
		}
		d.list(func(path string, n node) {
			var name string
			scalar(d.reader, &name, oneOf(sortedKeys(flags)...))(path, n)
			if name != "" {
				*flags[name] = true
			}
		})(path, n)
		*into = can
	}
}

func (d document) tokenizer(t *providers.Tokenizer) read {
	return func(path string, n node) {
		d.object(path, n, map[string]read{
			"encoding":         scalar(d.reader, &t.Encoding, oneOf("o200k_base", "cl100k_base")),
			"percent":          scalar(d.reader, &t.Percent, between64(1, 1000)),
			"images":           scalar(d.reader, &t.Images, oneOf("openai-tile", "openai-patch")),
			"image_multiplier": scalar(d.reader, &t.ImageMultiplier, between64(1, 10_000)),
		})
	}
}

// written is a price as it stands in a document.
type written struct {
	billing.Price
	force bool
	path  string
}

// prices reads all prices of a model in place of the ones before.
func (d document) prices(m *Model) read {
	return func(path string, n node) {
		var list []written
		d.list(func(path string, n node) {
			if p, ok := d.price(path, n); ok {
				list = append(list, p)
			}
		})(path, n)
		slices.SortStableFunc(list, func(a, b written) int { return a.Since.Compare(b.Since) })
		var before *billing.Price
		if len(m.Prices) > 0 {
			before = &m.Prices[len(m.Prices)-1]
		}
		now := make([]billing.Price, len(list))
		for i, w := range list {
			if i > 0 && list[i-1].Since.Equal(w.Since) {
				d.fault(w.path, "another price of the model has the same since")
			}
			if before != nil && !w.force {
				d.leap(w, *before)
			}
			now[i], before = w.Price, &list[i].Price
		}
		m.Prices = now
	}
}

// leap refuses a price that is far from the one before it: nearly always it
// was written for a thousand tokens, or a digit slipped.
func (d document) leap(w written, before billing.Price) {
	for _, rate := range []struct {
		name     string
		old, now billing.Money
	}{
		{"prompt", before.Input, w.Input},
		{"completion", before.Output, w.Output},
		{"cache_read", before.CacheRead, w.CacheRead},
		{"cache_write", before.CacheWrite, w.CacheWrite},
	} {
		low, high := min(rate.old, rate.now), max(rate.old, rate.now)
		if high > low*maxLeap {
			d.fault(w.path, "%s goes from $%s to $%s per million tokens; if that is right, add force: true",
				rate.name, rate.old.Short(), rate.now.Short())
			return
		}
	}
}

const maxLeap = 20

// price reads one price in dollars per million tokens, which is nano-dollars
// per million tokens as billing has it. Reading from and writing to a cache
// cost as much as the prompt where nothing else is said.
func (d document) price(path string, n node) (written, bool) {
	w := written{path: path, Price: billing.Price{Source: d.source}}
	var prompt, completion, cacheRead, cacheWrite *billing.Money
	faults := len(d.faults)
	d.object(path, n, map[string]read{
		"since":       scalar(d.reader, &w.Since, date),
		"prompt":      scalar(d.reader, &prompt, rate),
		"completion":  scalar(d.reader, &completion, rate),
		"cache_read":  scalar(d.reader, &cacheRead, rate),
		"cache_write": scalar(d.reader, &cacheWrite, rate),
		"request":     scalar(d.reader, &w.Request, dollars),
		"source":      scalar(d.reader, &w.Source, oneOf(sourceCatalog, sourceContract, sourceManual)),
		"force":       scalar(d.reader, &w.force, yesNo),
	})
	if len(d.faults) == faults && (w.Since.IsZero() || prompt == nil || completion == nil) {
		d.fault(path, "a price needs since, prompt and completion")
	}
	if len(d.faults) > faults {
		return w, false
	}
	w.Input, w.Output = *prompt, *completion
	w.CacheRead, w.CacheWrite = *cmp.Or(cacheRead, prompt), *cmp.Or(cacheWrite, prompt)
	return w, true
}

var (
	errRate    = errors.New(`want dollars per million tokens, such as "0.50"`)
	errDollars = errors.New(`want dollars, such as "0.005"`)
	errDate    = errors.New("want a date such as 2026-01-31")
)

// dearest is far above any price there is.
const dearest = 100_000 * billing.NanoPerUSD

func rate(s string) (*billing.Money, error) {
	m, err := billing.ParseMoney(s)
	if err != nil || m < 0 || m > dearest {
		return nil, errRate
	}
	return &m, nil
}

func dollars(s string) (billing.Money, error) {
	m, err := billing.ParseMoney(s)
	if err != nil || m < 0 || m > dearest {
		return 0, errDollars
	}
	return m, nil
}

func date(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errDate
}
