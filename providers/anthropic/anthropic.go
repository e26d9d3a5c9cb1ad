// Package anthropic is the adapter for Anthropic's Messages API, both at Anthropic and
// at hosts that serve Claude under their own paths. It translates chat requests into that
// format and its responses back; transport is the client's job.
//
// The format is the one in the OpenAPI document that Anthropic publishes, with stream
// events as documented alongside it.
package anthropic

import (
	"net/url"
	"time"

	"tallyroute/providers"
)

// Completions is the codec for chat completions.
type Completions struct{ host Host }

// Host describes how a host of Claude differs from Anthropic. The zero value is
// Anthropic itself.
type Host struct {
	// Path returns the path to call; nil means /messages.
	Path func(x providers.Exchange) string
	// Version is sent as anthropic_version in a body that does not name the model, because
	// the path does. If it is "", Anthropic's header and the model are sent instead.
	Version string
	// Count is the path that counts prompts at a host with a Version; "" means it has none.
	Count string
	// NoStream leaves out the member "stream", for hosts whose path already says it.
	NoStream bool
	// NoTools is set for hosts that don't run Anthropic's own tools.
	NoTools bool
	// Now is the clock that timestamps responses; nil means time.Now.
	Now func() time.Time
}

// New returns the adapter for Anthropic.
func New() providers.Adapter {
	return providers.Adapter{Chat: At(Host{}), Quirks: providers.Quirks{Members: Members(), Search: providers.SearchNever}}
}

// At returns the codec for another host.
func At(h Host) Completions { return Completions{h} }

func (a Completions) path(x providers.Exchange) string {
	if a.host.Path != nil {
		return a.host.Path(x)
	}
	return "/messages"
}

func (a Completions) now() int64 {
	if a.host.Now != nil {
		return a.host.Now().Unix()
	}
	return time.Now().Unix()
}

// PathName returns a model's name, escaped as one path segment.
func PathName(x providers.Exchange) string { return url.PathEscape(x.Target.Upstream) }
