package providers

import "testing"

func TestEveryKindSaysWhoseFaultItIsAndWhatMayBeTriedNext(t *testing.T) {
	for kind, want := range map[Kind]struct {
		fault                       Fault
		failover, anotherCredential bool
	}{
		KindNetwork:           {FaultTarget, true, false},
		KindTimeout:           {FaultTarget, true, false},
		KindOverload:          {FaultTarget, true, false},
		KindBroken:            {FaultTarget, true, false},
		KindRedirect:          {FaultTarget, true, false},
		KindUnknown:           {FaultTarget, true, false},
		KindRate:              {FaultRate, true, true},
		KindCredential:        {FaultCredential, true, true},
		KindQuota:             {FaultCredential, true, true},
		KindRequest:           {FaultRequest, false, false},
		KindUnfit:             {FaultNobody, true, false},
		KindLarge:             {FaultNobody, true, true},
		KindContext:           {FaultRequest, false, false},
		KindContent:           {FaultRequest, false, false},
		KindCanceled:          {FaultRequest, false, false},
		Kind("of a stranger"): {FaultTarget, true, false},
	} {
		if kind.Fault() != want.fault || kind.Failover() != want.failover || kind.AnotherCredential() != want.anotherCredential {
			t.Errorf("%s: fault %d, failover %t, another credential %t; want %+v", kind, kind.Fault(), kind.Failover(),
				kind.AnotherCredential(), want)
		}
	}
}
