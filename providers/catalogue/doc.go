// Package catalogue knows providers and what they offer: how each is called,
// its models, what they can do and what they cost, from one YAML file per
// provider and from the same text in the operator's configuration. It answers
// which targets a name stands for; which of them is tried is decided elsewhere.
package catalogue
