package providers

import (
	"slices"
	"strings"
	"testing"
)

// This test shows what is missing from the row of a new operation.
func TestEveryOperationHasAWholeRow(t *testing.T) {
	var names, paths []string
	for _, o := range Operations() {
		row := operations[o]
		if row.name == "" || !strings.HasPrefix(row.path, "/v1/") || row.parse == nil || row.codec == nil || len(row.ours) == 0 {
			t.Errorf("operation %d lacks something: %+v", o, row)
		}
		if (row.parts == nil) != (row.join == nil) {
			t.Errorf("%s: what is split must be joined", o)
		}
		if row.codec(Adapter{}) != nil || (&Target{Can: Abilities{Operation: o}}).Serves(o) {
			t.Errorf("%s: an adapter without a codec serves it", o)
		}
		names, paths = append(names, o.String()), append(paths, o.Path())
	}
	for _, list := range [][]string{names, paths} {
		slices.Sort(list)
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("two operations share one of %q", list)
		}
	}
}

// A call for which the adapter has no codec is refused before anything is sent.
func TestCallWithoutACodecIsRefused(t *testing.T) {
	if _, err := Encode(Exchange{Operation: Embed}); err == nil {
		t.Error("it has a call")
	}
}

// A member lost to a quirk and again to the format is reported once.
func TestWhatIsLostTwiceIsToldOnce(t *testing.T) {
	if got := told([]string{"temperature", "a\n"}, []string{"seed", "temperature", "a\t"}); !slices.Equal(got,
		[]string{"temperature", "a?", "seed"}) {
		t.Errorf("told %q", got)
	}
	if got := told(nil, nil); got != nil {
		t.Errorf("told %q where nothing is lost", got)
	}
}
