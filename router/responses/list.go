package responses

import (
	"slices"
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// NotKept returns a response without the claim that it is stored.
func NotKept(response []byte) []byte {
	return jsonraw.Edit(response, []jsonraw.Member{{Name: "store", Value: []byte("false")}})
}

// Items returns what was asked and answered, as the input of a request that continues from it.
func Items(input, response []byte) [][]byte {
	return slices.AppendSeq(slices.Collect(jsonraw.Elements(input)), jsonraw.Elements(jsonraw.Lookup(response, "output")))
}

// Page selects part of a list of items.
type Page struct {
	Limit int
	After string // id of the item before the first; "" for the beginning
	Up    bool   // oldest first
}

// List returns the list of the input items, each of which has an id.
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
			return nil, &chat.FieldError{Code: "invalid_value", Param: "after", Message: "is not one of the items"}
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
