package server

import (
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/router"
	"tallyroute/router/messages"
	"tallyroute/router/responses"
)

// shape is where an answer, or an event of one, has what the router writes into it: the
// name of the model, the usage, and what it says besides.
type shape interface {
	// of is data with our name of the model, where it has one.
	of(data []byte) []byte
	// used is data with what is booked as its usage, where the provider reported that.
	used(data []byte, reported *chat.Usage, out router.Outcome) []byte
	more(data []byte, v any) []byte
}

// shapeOf is that of an answer, or of the events of one.
func shapeOf(a *router.Answer, format providers.Format) shape {
	if !a.Native {
		n := newNaming(a.Route.Target.Model)
		return &n
	}
	return &native{format: format, model: jsonraw.Quote(a.Route.Target.Model), whole: a.Response != nil}
}

func (n *naming) used(data []byte, reported *chat.Usage, out router.Outcome) []byte {
	return withUsage(data, reported, out)
}

func (n *naming) more(data []byte, v any) []byte { return addMember(data, "tallyroute", v) }

// native is the shape of what passes in the format of its provider.
type native struct {
	format providers.Format
	model  []byte // as JSON
	whole  bool   // it is not a stream
	named  bool   // a stream of messages has begun
}

// in edits the object that an event has the answer in, or the answer itself.
func (n *native) in(data []byte, edit func(object []byte) []byte) []byte {
	if n.whole || n.format != providers.Responses {
		return edit(data)
	}
	response := jsonraw.Lookup(data, "response")
	if !jsonraw.IsObject(response) {
		return data
	}
	return jsonraw.Edit(data, []jsonraw.Member{{Name: "response", Value: edit(response)}})
}

func (n *native) of(data []byte) []byte {
	if n.format == providers.Messages && !n.whole {
		if n.named || jsonraw.Text(jsonraw.Lookup(data, "type")) != "message_start" {
			return data
		}
		n.named = true
		return jsonraw.Edit(data, []jsonraw.Member{{Name: "message", Value: n.rename(jsonraw.Lookup(data, "message"))}})
	}
	return n.in(data, n.rename)
}

func (n *native) rename(object []byte) []byte {
	if !jsonraw.IsString(jsonraw.Lookup(object, "model")) {
		return object
	}
	return jsonraw.Edit(object, []jsonraw.Member{{Name: "model", Value: n.model}})
}

func (n *native) used(data []byte, reported *chat.Usage, out router.Outcome) []byte {
	s := out.Spend
	members := costMembers(s, out.Earlier)
	if reported == nil || s.Disputed || tokensOf(reported) != s.Tokens {
		counts := append(append(append([]byte{'{'}, countMembers(s.Tokens)...), ','), members...)
		usage := messages.Usage
		if n.format == providers.Responses {
			usage = responses.Usage
		}
		members = jsonraw.Inside(usage(append(counts, '}')))
	}
	return n.in(data, func(object []byte) []byte {
		if jsonraw.IsObject(jsonraw.Lookup(object, "usage")) {
			return chat.AddUsageMembers(object, members)
		}
		return jsonraw.Edit(object, []jsonraw.Member{{Name: "usage", Value: append(append([]byte{'{'}, members...), '}')}})
	})
}

func (n *native) more(data []byte, v any) []byte {
	return n.in(data, func(object []byte) []byte { return addMember(object, "tallyroute", v) })
}
