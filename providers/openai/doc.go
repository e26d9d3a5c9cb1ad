// Package openai is the adapter of the OpenAI wire format, for OpenAI and for
// everybody who speaks it, with their declared differences. It owns what is
// changed in a request and what is read of an answer; how either travels is the
// client's.
package openai

import "tallyroute/providers"

// Adapter speaks the OpenAI format as the target's Quirks say.
type Adapter struct{}

var _ providers.Adapter = Adapter{}

// New is the adapter. It has no state, so one will do for all targets.
func New() Adapter { return Adapter{} }
