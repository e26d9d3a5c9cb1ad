package catalogue

import (
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// alias is a name for several models: those that are listed, or every one that
// fulfils the conditions.
type alias struct {
	name       string
	path       string
	models     []string // names as model or provider/model
	every      bool
	minContext int64  // of every
	otherwise  string // a model, where no other is there
}

// autoAlias is what "auto" stands for unless the operator says otherwise.
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
