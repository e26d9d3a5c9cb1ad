package openai

import (
	"fmt"
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

// Encode changes what must differ for the target: the model's name, the output limit and the
// request for usage. Everything else stays byte for byte.
func (c completions) Encode(x providers.Exchange) (providers.Call, error) {
	if x.Foreign != nil { // unknown members are passed on, but not parts that only another format has
		return providers.Call{}, x.Foreign
	}
	if err := restrict(&x); err != nil {
		return providers.Call{}, err
	}
	var lost []string
	if c.rewrite != nil {
		var err error
		if x.Request, lost, err = c.rewrite(x.Request); err != nil {
			return providers.Call{}, err
		}
	}
	e := edit{x: x, r: x.Request, dropped: lost}
	e.model()
	e.results()
	e.tools()
	e.output()
	e.usage()
	return e.call(c.at(x.Target, completionsPath))
}

// edit collects the changes to a request.
type edit struct {
	x       providers.Exchange
	r       *chat.Request
	sets    []jsonraw.Member
	drops   []string
	dropped []string // members that said something and are now lost
}

// call returns the call with all edits applied.
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

func (e *edit) set(name string, value []byte) {
	e.sets = append(e.sets, jsonraw.Member{Name: name, Value: value})
}

func (e *edit) model() {
	if e.r.Model() != e.x.Target.Upstream {
		e.set("model", jsonraw.Quote(e.x.Target.Upstream))
	}
}

// restrict sends only those tools that tool_choice allows, where the provider does not accept
// such a list.
func restrict(x *providers.Exchange) error {
	allowed := jsonraw.Lookup(x.Request.Get("tool_choice"), "allowed_tools")
	if !jsonraw.IsObject(allowed) || x.Target.Quirks.AllowedTools == providers.AllowedTaken {
		return nil
	}
	var tools [][]byte
	for tool := range jsonraw.Elements(x.Request.Get("tools")) {
		for other := range jsonraw.Elements(jsonraw.Lookup(allowed, "tools")) {
			if called(tool) == called(other) {
				tools = append(tools, tool)
				break
			}
		}
	}
	mode := jsonraw.Lookup(allowed, "mode")
	if len(tools) == 0 || jsonraw.Text(mode) != "auto" && jsonraw.Text(mode) != "required" {
		return &chat.FieldError{
			Param: "tool_choice", Code: "invalid_value",
			Message: `allowed_tools needs the mode "auto" or "required" and at least one of the tools in tools`,
		}
	}
	r, err := x.Request.Edit([]jsonraw.Member{{Name: "tools", Value: jsonraw.Array(tools)}, {Name: "tool_choice", Value: mode}})
	if err != nil {
		return fmt.Errorf("openai: allowed tools: %w", err)
	}
	x.Request = r
	return nil
}

// called returns what tells a tool from others: its type, and its name if it has one.
func called(tool []byte) string {
	kind := jsonraw.Text(jsonraw.Lookup(tool, "type"))
	return kind + " " + jsonraw.Text(jsonraw.Lookup(tool, kind, "name"))
}

// tools removes an empty list of tools, and members that say how to call tools when there are
// none: they ask for nothing, but providers refuse them.
func (e *edit) tools() {
	tools := e.r.Get("tools")
	if jsonraw.Present(tools) != nil && !jsonraw.IsEmptyArray(tools) {
		return
	}
	for _, name := range []string{"tools", "tool_choice", "parallel_tool_calls"} {
		value := e.r.Get(name)
		forced := name == "tool_choice" && !slices.Contains([]string{"", "auto", "none"}, jsonraw.Text(value))
		if value != nil && !forced && !jsonraw.IsObject(value) {
			e.drops = append(e.drops, name)
		}
	}
}

// output sets the output limit under the provider's name for it. The client's own limit stays
// unless it is above ours.
func (e *edit) output() {
	name := e.x.Target.Quirks.Output()
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

// usage asks for the usage of a stream, whether or not the client did. If the provider does
// not accept stream_options, any others in it are lost.
func (e *edit) usage() {
	options := e.r.Get(streamOptions)
	switch {
	case e.x.Target.Quirks.NoStreamUsage || !e.x.Target.Sends(streamOptions):
		if options == nil {
			return
		}
		e.drops = append(e.drops, streamOptions)
		for name := range jsonraw.Each(options) {
			if string(name) != "include_usage" {
				e.dropped = append(e.dropped, streamOptions)
				return
			}
		}
	case e.r.Stream() && !e.r.WantsUsage():
		e.set(streamOptions, withUsage(options))
	}
}

// withUsage returns stream_options with include_usage set to true and everything else
// unchanged.
func withUsage(options []byte) []byte {
	out := []byte(`{"include_usage":true`)
	for name, value := range jsonraw.Each(options) {
		if string(name) != "include_usage" {
			out = append(append(append(append(out, ','), jsonraw.Quote(string(name))...), ':'), value...)
		}
	}
	return append(out, '}')
}
