package responses

import (
	"slices"
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Past is where responses are kept.
type Past struct {
	ID string // of the response that is asked for
	// Conversation are the items of a response that is kept, and of those that it goes on
	// from: what was asked and answered, the first of them first.
	Conversation func(id string) ([][]byte, error)
}

// Kept is what is to be kept of a request, beside its response.
type Kept struct {
	ID       string // of the response
	Previous string // id of the response that it goes on from; "" for none
	Input    []byte // the request's own items, as a list
}

// restore puts the conversation that a request goes on from before its own items.
func (r *reader) restore(body []byte, past *Past) ([]byte, error) {
	if past == nil {
		return body, nil
	}
	r.previous = jsonraw.Text(r.get("previous_response_id"))
	own := inputItems(r.get("input"))
	if string(r.get("store")) != "false" {
		r.Kept = &Kept{ID: past.ID, Previous: r.previous, Input: jsonraw.Array(own)}
	}
	if r.previous == "" {
		return body, nil
	}
	before, err := past.Conversation(r.previous)
	if err != nil {
		return nil, err
	}
	items := jsonraw.Member{Name: "input", Value: jsonraw.Array(slices.Concat(before, own))}
	body = r.index.Edit([]jsonraw.Member{items}, "previous_response_id").Bytes()
	index, fault := jsonraw.Scan(body, &root, nil)
	if fault != nil {
		return nil, fault
	}
	r.index = index
	return body, nil
}

// inputItems are the items of an input, which may be a text.
func inputItems(input []byte) [][]byte {
	if jsonraw.IsString(input) {
		var part, message jsonraw.Object
		part.Text("type", "input_text")
		part.Raw("text", input)
		message.Text("type", "message")
		message.Text("role", "user")
		message.Raw("content", jsonraw.Array([][]byte{part.Bytes()}))
		return [][]byte{message.Bytes()}
	}
	return slices.Collect(jsonraw.Elements(input))
}

// Edits are what a response says of its being kept, which a provider cannot know.
func (r *Request) Edits() []jsonraw.Member {
	var set []jsonraw.Member
	if r.Kept != nil {
		set = append(set, jsonraw.Member{Name: "id", Value: jsonraw.Quote(r.Kept.ID)}, jsonraw.Member{Name: "store", Value: []byte("true")})
	}
	if r.previous != "" {
		set = append(set, jsonraw.Member{Name: "previous_response_id", Value: jsonraw.Quote(r.previous)})
	}
	return set
}

// NotKept is a response without the word that it is kept.
func NotKept(response []byte) []byte {
	return jsonraw.Edit(response, []jsonraw.Member{{Name: "store", Value: []byte("false")}})
}

// Items are what was asked and answered, as the input of a request that goes on from it.
func Items(input, response []byte) [][]byte {
	return slices.AppendSeq(slices.Collect(jsonraw.Elements(input)), jsonraw.Elements(jsonraw.Lookup(response, "output")))
}

// Page is a part of a list of items.
type Page struct {
	Limit int
	After string // id of the item before the first; "" for the beginning
	Up    bool   // the oldest first
}

// List is the list of the items that were asked, of which each has an id.
func List(id string, input []byte, p Page) ([]byte, error) {
	var items [][]byte
	var ids []string
	for item := range jsonraw.Elements(input) {
		own := jsonraw.Text(jsonraw.Lookup(item, "id"))
		if own == "" {
			kind := jsonraw.Text(jsonraw.Lookup(item, "type"))
			if kind == "" {
				kind = "message"
			}
			own = translate.Derived(prefix(kind), id, "input", strconv.Itoa(len(items)))
			item = jsonraw.Edit(item, []jsonraw.Member{{Name: "id", Value: jsonraw.Quote(own)}, {Name: "type", Value: jsonraw.Quote(kind)}})
		}
		items, ids = append(items, item), append(ids, own)
	}
	if !p.Up {
		slices.Reverse(items)
		slices.Reverse(ids)
	}
	from := 0
	if p.After != "" {
		if from = slices.Index(ids, p.After) + 1; from == 0 {
			return nil, &chat.FieldError{Code: "invalid_value", Param: "after", Message: "is none of the items"}
		}
	}
	to := min(from+p.Limit, len(items))
	var o jsonraw.Object
	o.Text("object", "list")
	o.Raw("data", jsonraw.Array(items[from:to]))
	first, last := []byte("null"), []byte("null")
	if to > from {
		first, last = jsonraw.Quote(ids[from]), jsonraw.Quote(ids[to-1])
	}
	o.Raw("first_id", first)
	o.Raw("last_id", last)
	o.Word("has_more", strconv.FormatBool(to < len(items)))
	return o.Bytes(), nil
}
