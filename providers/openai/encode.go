package openai

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

const (
	maxTokens     = "max_tokens"
	maxCompletion = "max_completion_tokens"
	streamOptions = "stream_options"
)

// completions is the codec of chat completions.
type completions struct{ dialect }

// Encode changes what must differ for the target: the model's name, the bound of
// the output, the wish for usage, and declared quirks. All else stays byte for byte.
func (c completions) Encode(x providers.Exchange) (providers.Call, error) {
	e := edit{x: x, q: c.declared(x.Target.Quirks), r: x.Request}
	var lost []string
	if c.rewrite != nil {
		var err error
		if e.r, lost, err = c.rewrite(x.Request); err != nil {
			return providers.Call{}, err
		}
	}
	if err := e.refuse(); err != nil {
		return providers.Call{}, err
	}
	e.model()
	e.output()
	e.usage()
	e.quirks()
	e.messages()
	e.dropped = slices.DeleteFunc(e.dropped, func(name string) bool { return slices.Contains(c.silent, name) })
	e.dropped = append(e.dropped, lost...)
	return e.call(c.at(x.Target, completionsPath))
}

// declared are the quirks of a target over those of the dialect.
func (d dialect) declared(q providers.Quirks) providers.Quirks {
	if d.quirks != nil {
		return d.quirks(q)
	}
	return q
}

// call is what all edits come to.
func (e *edit) call(path string) (providers.Call, error) {
	call := providers.Call{Path: path, Body: e.r.Body(), Dropped: e.dropped}
	if len(e.sets)+len(e.drops) == 0 {
		return call, nil
	}
	r, err := e.r.Edit(e.sets, e.drops...)
	if err != nil {
		return providers.Call{}, fmt.Errorf("openai: encode: %w", err)
	}
	call.Body = r.Body()
	return call, nil
}

// edit gathers what is to be changed in a request.
type edit struct {
	x       providers.Exchange
	q       providers.Quirks
	r       *chat.Request
	sets    []jsonraw.Member
	drops   []string
	dropped []string // those of drops that said something which is now lost
}

func (e *edit) set(name string, value []byte) {
	e.sets = append(e.sets, jsonraw.Member{Name: name, Value: value})
}

// lose drops a member for good.
func (e *edit) lose(name string) {
	raw := e.r.Get(name)
	if raw == nil {
		return
	}
	e.drops = append(e.drops, name)
	if string(raw) != "null" {
		e.dropped = append(e.dropped, name)
	}
}

func (e *edit) model() {
	if e.r.Model() != e.x.Target.Upstream {
		e.set("model", jsonraw.Quote(e.x.Target.Upstream))
	}
}

// output puts the bound of the output under the provider's name for it. The
// client's own stays unless it is above ours.
func (e *edit) output() {
	name := e.bound()
	value := e.r.Get(name)
	for _, other := range []string{maxTokens, maxCompletion} {
		raw := e.r.Get(other)
		if other == name || raw == nil {
			continue
		}
		e.drops = append(e.drops, other)
		if string(raw) != "null" {
			value = raw
		}
	}
	own, most := e.r.MaxOutput(), e.x.MaxOutput
	if most > 0 && (own == 0 || own > most) {
		value = strconv.AppendInt(nil, most, 10)
	}
	if value != nil && string(value) != string(e.r.Get(name)) {
		e.set(name, value)
	}
}

// bound is the member by which the provider bounds the output.
func (e *edit) bound() string {
	name := e.q.MaxTokens
	if name == "" {
		name = maxTokens
	}
	if to := e.q.Rename[name]; to != "" {
		return to
	}
	return name
}

// usage asks for the usage of a stream, whether the client did or not.
func (e *edit) usage() {
	switch {
	case e.q.NoStreamUsage || len(e.q.Known) > 0 && !e.known(streamOptions):
		e.lose(streamOptions)
	case e.r.Stream() && !e.r.WantsUsage():
		e.set(streamOptions, withUsage(e.r.Get(streamOptions)))
	}
}

// withUsage is stream_options with include_usage true and all else as it is.
func withUsage(options []byte) []byte {
	out := []byte(`{"include_usage":true`)
	for name, value := range jsonraw.Each(options) {
		if string(name) != "include_usage" {
			out = append(append(append(append(out, ','), jsonraw.Quote(string(name))...), ':'), value...)
		}
	}
	return append(out, '}')
}

// refuse finds what the provider cannot do at all.
func (e *edit) refuse() error {
	for _, name := range e.q.Refuse {
		if raw := e.r.Get(name); !jsonraw.IsNull(raw) {
			return &providers.Error{Kind: providers.KindRequest, Status: http.StatusBadRequest, Err: errCannot, Detail: chat.Error{
				Message: "This provider cannot do " + name + ".", Type: "invalid_request_error", Param: name, Code: "unsupported_parameter",
			}}
		}
	}
	return nil
}

var errCannot = errors.New("openai: the provider is declared not to know a member")

// quirks renames, bounds and drops what is declared.
func (e *edit) quirks() {
	e.rename()
	e.bounds()
	for _, name := range e.q.Drop {
		e.remove(name)
	}
	if len(e.q.Known) == 0 {
		return
	}
	for name := range e.r.Members() {
		if n := string(name); !e.known(n) && !slices.Contains(e.drops, n) {
			e.remove(n)
		}
	}
}

// remove loses a member, and what was to be said in it.
func (e *edit) remove(name string) {
	e.lose(name)
	e.sets = slices.DeleteFunc(e.sets, func(m jsonraw.Member) bool { return m.Name == name })
}

func (e *edit) known(name string) bool {
	switch name {
	case "model", "messages", "stream":
		return true
	}
	return slices.Contains(e.q.Known, name)
}

// bounds brings numbers into what the provider takes.
func (e *edit) bounds() {
	for _, name := range slices.Sorted(maps.Keys(e.q.Bounds)) {
		raw := e.r.Get(name)
		value, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			continue // null, or nothing
		}
		b := e.q.Bounds[name]
		to := ""
		if least, err := strconv.ParseFloat(b.Min, 64); err == nil && value < least {
			to = b.Min
		}
		if most, err := strconv.ParseFloat(b.Max, 64); err == nil && value > most {
			to = b.Max
		}
		if to != "" {
			e.set(name, []byte(to))
			e.dropped = append(e.dropped, name)
		}
	}
}

func (e *edit) rename() {
	if len(e.q.Rename) == 0 {
		return
	}
	for _, from := range slices.Sorted(maps.Keys(e.q.Rename)) {
		raw := e.r.Get(from)
		switch to := e.q.Rename[from]; {
		case raw == nil || from == maxTokens || from == maxCompletion:
		case e.r.Get(to) != nil:
			e.lose(from)
		default:
			e.set(to, raw)
			e.drops = append(e.drops, from)
		}
	}
}
