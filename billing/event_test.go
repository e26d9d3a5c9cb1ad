package billing

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A hold that is refused for the bound of a prompt is asked for again by its count, a
// provisional one by less.
func TestOnlyRefusalsThatStandAreDenials(t *testing.T) {
	var d Denials
	limit := int64(100)
	refused := &QuotaError{Balance: Balance{Budget: Budget{ID: "bud_1", Tokens: &limit}}}
	if e, told := d.Event(Hold{KeyID: "key_1", HeadroomTokens: 1}, refused, time.Now()); told {
		t.Errorf("by a bound: %+v", e)
	}
	if e, told := d.Event(Hold{KeyID: "key_1", Provisional: true}, refused, time.Now()); told {
		t.Errorf("of a provisional hold: %+v", e)
	}
	if e, told := d.Event(Hold{KeyID: "key_1"}, refused, time.Now()); !told || strings.Contains(e.Text, "billing:") {
		t.Errorf("by a count: %t, %+v", told, e)
	}
	if e, told := d.Event(Hold{KeyID: "key_1"}, refused, time.Now()); told {
		t.Errorf("twice: %+v", e)
	}
}

func TestALimitThatIsNearlyUsedIsDeniedOnceMore(t *testing.T) {
	var d Denials
	limit := int64(1000)
	refused := &QuotaError{Balance: Balance{Budget: Budget{ID: "bud_1", Tokens: &limit}}, AskedTokens: 2000}
	var told []string
	for _, used := range []int64{500, 949, 950, 997} {
		refused.Balance.UsedTokens = used
		if e, first := d.Event(Hold{KeyID: "key_1"}, refused, time.Now()); first {
			told = append(told, e.Data["used"]+" of "+e.Data["limit"]+" "+e.Data["unit"])
		}
	}
	if want := []string{"500 of 1000 tokens", "950 of 1000 tokens"}; !slices.Equal(told, want) {
		t.Errorf("%v, want %v", told, want)
	}
}
