package blocks

import (
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Quirks is an exchange without the members that its target declares to drop, and
// which of them said something. Those that it declares to refuse are a
// *chat.FieldError.
func Quirks(x providers.Exchange) (providers.Exchange, []string, error) {
	q := x.Target.Quirks
	var drop, dropped []string
	for name, raw := range x.Request.Members() {
		n := string(name)
		if jsonraw.IsNull(raw) || idle(n, raw) {
			continue
		}
		if slices.Contains(q.Refuse, n) {
			return x, nil, &chat.FieldError{Code: "unsupported_content", Param: n, Message: "this provider cannot do that"}
		}
		if slices.Contains(q.Drop, n) {
			drop, dropped = append(drop, n), append(dropped, n)
		}
	}
	if len(drop) > 0 {
		x.Request = x.Request.Without(drop...)
	}
	return x, dropped, nil
}
