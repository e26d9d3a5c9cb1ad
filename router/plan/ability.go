package plan

import (
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// lacks returns the abilities that a request needs and t does not have.
func lacks(t *providers.Target, o providers.Operation, needs chat.Needs) []string {
	can := t.Can
	var missing []string
	for _, n := range [...]struct {
		name      string
		need, can bool
	}{
		{o.String(), true, t.Serves(o)},
		{"streaming", needs.Stream, can.Stream},
		{"tools", needs.Tools, can.Tools},
		{"vision", needs.Vision, can.Vision},
		{"audio", needs.Audio, can.Audio},
		{"documents", needs.Documents, can.Documents},
		{"json_schema", needs.JSONSchema, can.JSONSchema},
	} {
		if n.need && !n.can {
			missing = append(missing, n.name)
		}
	}
	return missing
}
