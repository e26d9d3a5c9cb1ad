package catalogue

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// loaded is a provider with what is needed to report a fault of it later.
type loaded struct {
	Provider
	reader *reader
	path   string
	rest   *unread // nil where all was read
}

// operatorProviders reads the section "providers:" of the operator's
// configuration over the built-in documents: by name, or as a list of documents
// that have one. Those that are new must be complete.
func (r *reader) operatorProviders(text string, all []loaded) []loaded {
	r.section(text, "providers", func(path string, n node) {
		if _, ok := n.(ast.ArrayNode); ok {
			r.list(func(path string, n node) { all = r.named(path, n, all) })(path, n)
			return
		}
		r.mapping(path, n, func(path, name string, n node) {
			if _, err := providerName(name); err != nil {
				r.fault(path, "%s", err)
				return
			}
			r.value(path, n, func(path string, n node) { all = r.overlay(path, n, name, all) })
		})
	})
	return all
}

// operatorDocument reads one document that has a name.
func (r *reader) operatorDocument(text string, all []loaded) []loaded {
	r.document(text, func(path string, n node) { all = r.named(path, n, all) })
	return all
}

// named is overlay for a document that has a name.
func (r *reader) named(path string, n node, all []loaded) []loaded {
	var name string
	r.member(path, n, "name", scalar(r, &name, providerName))
	return r.overlay(path, n, name, all)
}

// overlay reads a document over the provider with its name, or as a new one.
func (r *reader) overlay(path string, n node, name string, all []loaded) []loaded {
	i := slices.IndexFunc(all, func(l loaded) bool { return l.Name == name && name != "" })
	if i < 0 {
		i = len(all)
		all = append(all, loaded{Provider: blank(name)})
	} else if all[i].reader == r {
		r.fault(path, "provider %s is already described in line %d", name, r.lines[all[i].path])
		return all
	}
	r.faults = append(r.faults, all[i].read()...)
	all[i].reader, all[i].path = r, path
	r.provider(path, n, &all[i].Provider, sourceContract)
	return all
}

// newerPrices reads a file of newer prices over the built-in documents. It says
// nothing of a provider but what its models cost.
func (r *reader) newerPrices(text string, all []loaded) []loaded {
	r.document(text, func(_ string, n node) {
		r.object("", n, map[string]read{"providers": func(path string, n node) {
			r.mapping(path, n, func(path, name string, n node) {
				i := slices.IndexFunc(all, func(l loaded) bool { return l.Name == name })
				if i < 0 {
					r.fault(path, "no built-in provider has that name")
					return
				}
				r.faults = append(r.faults, all[i].read()...)
				d := document{reader: r, p: &all[i].Provider, source: sourceCatalog, models: make(map[string]int)}
				r.value(path, n, d.pricesAlone)
				d.check(path)
			})
		}})
	})
	return all
}

func (d document) pricesAlone(path string, n node) {
	d.object(path, n, map[string]read{"models": d.list(func(path string, n node) {
		var id string
		d.member(path, n, "id", scalar(d.reader, &id, modelName))
		i := slices.IndexFunc(d.p.Models, func(m Model) bool { return m.ID == id })
		if i < 0 {
			d.fault(path, "the provider has no model %q", shorten(id))
			return
		}
		d.object(path, n, map[string]read{"id": done, "prices": d.prices(&d.p.Models[i])})
	})})
}
