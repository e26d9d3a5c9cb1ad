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

// Whatever a format has no word for, the quirks about it can be kept.
func TestFormatWithoutATemperaturePassesTheQuirks(t *testing.T) {
	Subject{Adapter: providers.Adapter{Chat: narrow{}}}.quirks(t)
}
