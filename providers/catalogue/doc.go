// Package catalogue knows providers and what they offer: how each is called, its models,
// what they can do and what they cost. It reads one YAML file per provider, and the same
// format in the operator's configuration. It resolves a name to targets; which of them is
// tried is decided elsewhere.
package catalogue
