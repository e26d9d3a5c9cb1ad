package catalogue

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Most built-in documents are of providers that nobody here has a credential
// for, and reading YAML takes longer than anything else at a start. So of a
// built-in document only what stands above its models is read at first.

// unread is the rest of a built-in document.
type unread struct {
	file   string
	text   []byte
	models int
	names  []string // of its models, canonical ones too
}

// heads reads every document of data down to its models.
func heads(data fs.FS) (all []loaded, faults Faults) {
	return documents(data, func(file string, text []byte) (loaded, error) {
		head, models, found := bytes.Cut(text, []byte("\nmodels:"))
		if !found || len(text) > maxText {
			p, err := Parse(file, text)
			return loaded{Provider: p}, err
		}
		p, err := Parse(file, append(head[:len(head):len(head)], '\n'))
		names, n := modelNames(models)
		return loaded{Provider: p, rest: &unread{file, text, n, names}}, err
	})
}

// builtins reads every document of data whole.
func builtins(data fs.FS) (all []loaded, faults Faults) {
	return documents(data, func(file string, text []byte) (loaded, error) {
		p, err := Parse(file, text)
		return loaded{Provider: p}, err
	})
}

func documents(data fs.FS, parse func(file string, text []byte) (loaded, error)) (all []loaded, faults Faults) {
	names, err := fs.Glob(data, "*.yaml")
	if err != nil {
		return nil, Faults{{Problem: err.Error()}}
	}
	for _, name := range names {
		text, err := fs.ReadFile(data, name)
		if err != nil {
			faults = append(faults, Fault{File: name, Problem: err.Error()})
			continue
		}
		l, err := parse(name, text)
		var wrong Faults
		if errors.As(err, &wrong) {
			faults = append(faults, wrong...)
		} else if l.Name != strings.TrimSuffix(path.Base(name), ".yaml") {
			faults = append(faults, Fault{File: name, Path: "name", Problem: "is not that of the file"})
		}
		all = append(all, l)
	}
	return all, faults
}

// read reads what was left.
func (l *loaded) read() (faults Faults) {
	if l.rest == nil {
		return nil
	}
	p, err := Parse(l.rest.file, l.rest.text)
	errors.As(err, &faults)
	l.rest, l.Models = nil, p.Models
	return faults
}

// count is how many models there are, read or not.
func (l *loaded) count() int {
	if l.rest != nil {
		return l.rest.models
	}
	return len(l.Models)
}

// names are those of all models, read or not.
func (l *loaded) names() (names []string) {
	if l.rest != nil {
		return l.rest.names
	}
	for _, m := range l.Models {
		names = append(names, m.ID, cmp.Or(m.Canonical, m.ID))
	}
	return names
}

// modelNames finds the names of models by how a built-in document writes them.
func modelNames(text []byte) (names []string, models int) {
	for line := range bytes.Lines(text) {
		word := strings.TrimLeft(string(bytes.TrimSpace(line)), "-{ ")
		member, rest, _ := strings.Cut(word, ": ")
		if member != "id" && member != "canonical" {
			continue
		}
		name, _, _ := strings.Cut(rest, ",")
		names = append(names, strings.TrimRight(name, "} "))
		if member == "id" {
			models++
		}
	}
	return names, models
}
