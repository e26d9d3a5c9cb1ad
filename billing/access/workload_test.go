package access

import (
	"testing"
	"time"
)

func TestWorkloadsAreProgramsInNetworksAndShareAKeyOnlyAtTheSameTime(t *testing.T) {
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	count := func(from, agent string, n int64, first, last int) Count {
		hour := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
		return Count{Address: from, Agent: agent, Requests: n, First: hour(first), Last: hour(last)}
	}
	for name, tc := range map[string]struct {
		counts []Count
		want   int
		shared bool
	}{
		"replicas of one deployment, before and after an update": {[]Count{
			count("10.0.0.1", "OpenAI/Python 1.40.0", 500, 0, 9), count("10.0.0.77", "OpenAI/Python 1.41.2", 500, 4, 9),
		}, 1, false},
		"two programs on one machine": {[]Count{
			count("10.0.0.1", "OpenAI/Python 1.40.0", 500, 0, 9), count("10.0.0.1", "claude-cli/1.0.3 (external, cli)", 40, 3, 8),
		}, 2, true},
		"one program in two networks": {[]Count{
			count("2001:db8::1", "app", 500, 0, 9), count("2001:db8:1::1", "app", 500, 3, 8),
		}, 2, true},
		"one that has moved": {[]Count{count("10.0.0.1", "app", 500, 0, 3), count("10.7.0.1", "app", 500, 4, 9)}, 2, false},
		"one, and somebody who tried": {[]Count{
			count("10.0.0.1", "app", 5000, 0, 9),
			count("10.9.0.1", "curl/8.5.0", 12, 3, 4),
		}, 1, false},
		"nobody whose address is not known": {[]Count{count("", "", 20, 0, 9)}, 1, false},
	} {
		got := Workloads(tc.counts)
		if len(got) != tc.want || Shared(got) != tc.shared {
			t.Errorf("%s: shared %v by %+v", name, Shared(got), got)
		}
	}
	if w := Workloads([]Count{
		count("10.0.0.1", "curl/8.5.0", 20, 1, 2),
		count("10.0.0.2", "curl/8.6.0", 1, 0, 3),
	})[0]; w.Program != "curl" ||
		w.Network.String() != "10.0.0.0/24" || w.Addresses != 2 || w.Requests != 21 || !w.First.Equal(noon) ||
		!w.Last.Equal(noon.Add(3*time.Hour)) {
		t.Errorf("%+v", w)
	}
}
