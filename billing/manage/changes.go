package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"tallyroute/billing"
)

// note is the record of a change, which stores write with it.
func (a Actions) note(by By, action, object string) *billing.Change {
	return &billing.Change{
		At: a.now(), Actor: cmp.Or(by.Actor, "unknown"), Action: action, Object: object, Reason: strings.TrimSpace(by.Reason),
	}
}

// differences are the members of a view that are not what they were, as "old → new".
func differences(before, after any) map[string]string {
	old, fresh := membersOf(before), membersOf(after)
	different := make(map[string]string)
	for name, is := range fresh {
		if was := old[name]; string(was) != string(is) && name != "version" && name != "status" {
			different[name] = plain(was) + " → " + plain(is)
		}
	}
	return different
}

func membersOf(view any) (members map[string]json.RawMessage) {
	if text, err := json.Marshal(view); err == nil {
		_ = json.Unmarshal(text, &members) // what Marshal wrote
	}
	return members
}

// plain is a value without the quotes of a text; of what has a name and an id, both.
func plain(raw json.RawMessage) string {
	var named Named
	if json.Unmarshal(raw, &named) == nil && named.ID != "" {
		return named.Name + " (" + named.ID + ")"
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return cmp.Or(text, "none")
	}
	return cmp.Or(string(raw), "none")
}

// Changes are who changed what, the newest first.
func (a Actions) Changes(ctx context.Context, f billing.ChangeFilter) ([]billing.Change, error) {
	if err := noSecret(f.Object); err != nil {
		return nil, err
	}
	return a.Store.ListChanges(ctx, f)
}

// ChangeView is a change in JSON.
type ChangeView struct {
	ChangedAt *string           `json:"changed_at"`
	Actor     string            `json:"actor"`
	Action    string            `json:"action"`
	Object    string            `json:"object"`
	Reason    string            `json:"reason"`
	Detail    map[string]string `json:"detail"`
}

// ViewChange is a change as it is shown.
func ViewChange(c billing.Change) ChangeView {
	if c.Detail == nil {
		c.Detail = map[string]string{}
	}
	return ChangeView{Instant(c.At), c.Actor, c.Action, c.Object, c.Reason, c.Detail}
}
