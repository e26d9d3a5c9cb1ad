package providertest

import (
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// narrow is the OpenAI format without a temperature.
type narrow struct{ providers.ChatCodec }

func (narrow) Encode(x providers.Exchange) (providers.Call, error) {
	call := providers.Call{Path: "/narrow", Body: x.Request.Body()}
	if chat.Idle([]byte("temperature"), x.Request.Get("temperature")) {
		return call, nil
	}
	r, err := x.Request.Edit(nil, "temperature")
	if err != nil {
		return call, err
	}
	call.Body, call.Dropped = r.Body(), []string{"temperature"}
	return call, nil
}

// The quirk tests pass for a format that cannot express one of the members.
func TestFormatWithoutATemperaturePassesTheQuirks(t *testing.T) {
	Subject{Adapter: providers.Adapter{Chat: narrow{}}}.quirks(t)
}
