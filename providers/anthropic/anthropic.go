// Package anthropic is the adapter of Anthropic's Messages API, at Anthropic and
// where others host Claude under their own paths. It owns what a chat request
// becomes there and what its answers become here; how either travels is the
// client's.
//
// The format is that of the OpenAPI document that Anthropic publishes, with the
// events of its streams as documented beside it.
package anthropic

import (
	"net/url"
	"time"

	"tallyroute/providers"
)

// Completions is the codec of chat completions.
type Completions struct{ host Host }

// Host is how one that hosts Claude differs from Anthropic. The zero value is
// Anthropic itself.
type Host struct {
	// Path is where a call goes; nil is /messages.
	Path func(x providers.Exchange) string
	// Version is sent as anthropic_version in a body that does not name the model,
	// because the path does. "" sends Anthropic's header and the model.
	Version string
	// Count is where prompts are counted by a host with a version; "" is nowhere.
	Count string
	// NoStream leaves out the member "stream", where the path tells that too.
	NoStream bool
	// Now is the clock for the time that answers bear; nil is time.Now.
	Now func() time.Time
}

// New is the adapter for Anthropic.
func New() providers.Adapter {
	return providers.Adapter{Chat: At(Host{}), Quirks: providers.Quirks{Members: Members(), Search: providers.SearchNever}}
}

// At is the codec for another host.
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

// PathName is a model's name as one segment of a path.
func PathName(x providers.Exchange) string { return url.PathEscape(x.Target.Upstream) }
