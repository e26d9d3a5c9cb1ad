package catalogue

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Most built-in documents are for providers that the operator has no credential for, and
// parsing YAML takes longer than anything else at startup. So only the part of a built-in
// document above its models is parsed at first.

// unread is the unparsed rest of a built-in document.
type unread struct {
	file   string
	text   []byte
	models int
	names  []string // of its models, including canonical names
}

// heads parses every document in data down to its models.
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

// builtins parses every document in data in full.
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

// read parses the rest.
func (l *loaded) read() (faults Faults) {
	if l.rest == nil {
		return nil
	}
	p, err := Parse(l.rest.file, l.rest.text)
	errors.As(err, &faults)
	l.rest, l.Models = nil, p.Models
	return faults
}

// count returns the number of models, parsed or not.
func (l *loaded) count() int {
	if l.rest != nil {
		return l.rest.models
	}
	return len(l.Models)
}

// names returns the names of all models, parsed or not.
func (l *loaded) names() (names []string) {
	if l.rest != nil {
		return l.rest.names
	}
	for _, m := range l.Models {
		names = append(names, m.ID, cmp.Or(m.Canonical, m.ID))
	}
	return names
}

// modelNames finds the names of models by the layout of built-in documents.
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
