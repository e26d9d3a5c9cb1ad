package meter

import (
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// A provider charges for its tools even if it does not report their use: a tool that a request may
// use is charged once, unless its use is reported.
func TestUnreportedToolIsChargedOnce(t *testing.T) {
	c := priced("p", 1, 1)
	c.Target = &providers.Target{Quirks: providers.Quirks{Unreported: []string{chat.MeterWebSearch}}}
	m := Meter{Request: request(t, twice)}
	for name, tt := range map[string]struct {
		uses     []providers.Use
		reported chat.Metered
		want     int64
	}{
		"not asked for": {nil, nil, 0},
		"asked for":     {[]providers.Use{{Meter: chat.MeterWebSearch}}, nil, 1},
		"reported":      {[]providers.Use{{Meter: chat.MeterWebSearch}}, chat.Metered{{Meter: chat.MeterWebSearch, N: 3}}, 3},
		"another":       {[]providers.Use{{Meter: chat.MeterContainer}}, nil, 0},
	} {
		c.Uses = tt.uses
		var got int64
		for _, f := range m.used(&c, &chat.Usage{Metered: tt.reported}) {
			if f.Meter == chat.MeterWebSearch {
				got += f.Units
			}
		}
		if got != tt.want {
			t.Errorf("%s: %d searches are charged, want %d", name, got, tt.want)
		}
	}
}
