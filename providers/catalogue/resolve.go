package catalogue

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/nearest"
)

// alias is a name for several models: the ones listed, or every model that meets the
// conditions.
type alias struct {
	name       string
	path       string
	models     []string // model or provider/model
	every      bool
	minContext int64  // a condition if every is set
	otherwise  string // the model to use if no other is available
}

// autoAlias returns the meaning of "auto" unless the operator defines it.
func autoAlias(otherwise string) alias {
	return alias{name: "auto", every: true, minContext: 16_000, otherwise: otherwise}
}

// operatorAliases reads the section "aliases:" of the operator's configuration.
func (r *reader) operatorAliases(text, otherwise string) []alias {
	list := []alias{autoAlias(otherwise)}
	r.section(text, "aliases", func(path string, n node) {
		r.mapping(path, n, func(path, name string, n node) {
			a := alias{name: name, path: path}
			if _, err := modelName(name); err != nil {
				r.fault(path, "%s", err)
			}
			r.value(path, n, r.alias(&a))
			list = slices.DeleteFunc(list, func(old alias) bool { return old.name == name })
			list = append(list, a)
		})
	})
	return list
}

func (r *reader) alias(a *alias) read {
	return func(path string, n node) {
		switch n.(type) {
		case ast.ArrayNode:
			words(r, &a.models, targetName)(path, n)
			if len(a.models) == 0 {
				r.fault(path, "an alias needs at least one model")
			}
		case ast.MapNode:
			var sort string
			r.object(path, n, map[string]read{
				"sort":        scalar(r, &sort, oneOf("price")),
				"min_context": scalar(r, &a.minContext, tokens),
			})
			a.every = true
		default:
			r.fault(path, "want a list of models, or {sort: price}")
		}
	}
}

var errTarget = errors.New("want the name of a model, as model or provider/model")

func targetName(s string) (string, error) {
	if s == "" || len(s) > 256 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", errTarget
	}
	return s, nil
}

// route is what a name resolves to.
type route struct {
	targets []providers.Target // by provider and model; never modified
	pinned  bool
}

// names registers every name that can be requested. If names collide, aliases win over
// models, and our names over the providers' own. A provider's own name with a slash is known
// only with the provider in front: what looks like another provider's model must not be
// served by this one.
func (b *builder) names(r *reader, aliases []alias, all []loaded) {
	known := knownNames(all)
	models, variants := make(map[string][]providers.Target), make(map[string][]providers.Target)
	for i, t := range b.targets {
		models[t.Model] = append(models[t.Model], t)
		if canonical := b.facts[i].Canonical; canonical != "" && canonical != t.Model {
			models[canonical] = append(models[canonical], t)
			variants[t.Provider+"/"+canonical] = append(variants[t.Provider+"/"+canonical], t)
		}
		models[t.Name()] = []providers.Target{t}
	}
	for name, targets := range variants { // if the provider has only variants of the model
		if models[name] == nil {
			models[name] = targets
		}
	}
	for _, a := range aliases {
		targets := b.members(r, a, models, known)
		if len(targets) == 0 && a.otherwise != "" {
			targets = models[a.otherwise]
		}
		b.add(a.name, targets)
	}
	for name, targets := range models {
		b.add(name, targets)
	}
	b.Catalogue.names = slices.Sorted(maps.Keys(b.routes))
	b.list(aliases)
	upstream := make(map[string][]providers.Target)
	for _, t := range b.targets {
		upstream[t.Provider+"/"+t.Upstream] = []providers.Target{t}
		if !strings.Contains(t.Upstream, "/") {
			upstream[t.Upstream] = append(upstream[t.Upstream], t)
		}
	}
	for name, targets := range upstream {
		b.add(name, targets)
	}
}

// add registers a name unless it is already taken.
func (b *builder) add(name string, targets []providers.Target) {
	if _, ok := b.routes[name]; ok || len(targets) == 0 {
		return
	}
	provider, _, _ := strings.Cut(name, "/")
	b.routes[name] = route{targets: targets, pinned: provider == targets[0].Provider && name != provider}
}

// members returns the targets of an alias. A model that no configured provider offers is left
// out; one that no provider offers at all is a fault.
func (b *builder) members(r *reader, a alias, models map[string][]providers.Target, known []string) (targets []providers.Target) {
	for _, t := range b.targets {
		if a.every && t.Context >= a.minContext && t.Weight > 0 && t.Serves(providers.Chat) {
			targets = append(targets, t)
		}
	}
	for _, name := range a.models {
		if !slices.Contains(known, name) {
			r.fault(a.path, "no provider has a model %q%s", shorten(name), nearest.Hint(name, known))
		}
		targets = append(targets, models[name]...)
	}
	slices.SortStableFunc(targets, func(a, b providers.Target) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(targets, func(a, b providers.Target) bool { return a.Name() == b.Name() })
}

// knownNames returns the names of the models of all providers, configured or not.
func knownNames(all []loaded) (names []string) {
	for _, l := range all {
		for _, name := range l.names() {
			names = append(names, name, l.Name+"/"+name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Resolve finds the targets behind an alias, a model or provider/model; the last form is
// pinned. Providers' own names for their models are accepted too. The targets are shared and
// must not be modified.
func (c *Catalogue) Resolve(name string) (targets []providers.Target, pinned, ok bool) {
	r, ok := c.routes[name]
	return r.targets, r.pinned, ok
}

// Nearest returns the known name most similar to the given one, among those that may be
// shown; "" if none is close. A missing provider prefix adds little to the distance.
func (c *Catalogue) Nearest(name string, may func(string) bool) string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	asked, reach := strings.ToLower(name), nearest.Reach(name)
	for _, known := range c.names {
		d, ok := nearest.Distance(asked, known, reach)
		if _, model, slash := strings.Cut(known, "/"); slash && !ok && !strings.Contains(asked, "/") {
			d, ok = nearest.Distance(asked, model, reach-1)
			d++
		}
		if ok {
			near = append(near, candidate{known, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	for _, n := range near {
		if may(n.name) {
			return n.name
		}
	}
	return ""
}

// Prices returns the prices of every provider that takes part, including old ones.
func (c *Catalogue) Prices() []billing.Price { return slices.Clone(c.prices) }

// Providers returns all known providers, by name.
func (c *Catalogue) Providers() []Status { return slices.Clone(c.statuses) }
