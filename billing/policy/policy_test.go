package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var monday = time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)

// plain returns a request that the policies in these tests allow, apart from what each test is
// about.
func plain() *Request {
	return &Request{
		Entry: Entry{
			Endpoint: Chat, From: netip.MustParseAddr("10.1.2.3"), Origin: "https://app.example", Referer: "https://app.example/a",
			At: monday,
		},
		Model: "gpt-4o", MaxOutput: 100, Choices: 1, BodyBytes: 1000, Tags: map[string]string{"feature": "search"},
	}
}

// judge returns the first refusal of a request that openai would serve.
func judge(r *Rights, q *Request, prompt int64, groups Groups) string {
	for _, err := range []error{
		r.Enter(&q.Entry), r.Ask(q), r.Prompt(prompt),
		r.Serve(Names{Asked: q.Model, Provider: "openai", Model: q.Model, Target: "openai/" + q.Model}, groups),
	} {
		if err != nil {
			return err.(*Denied).Name() //nolint:errorlint,forcetypeassert // it is nothing else
		}
	}
	return ""
}

// TestEachRuleNarrowsAtEachLevel tries every rule at every level, with a request that it
// allows and one that it does not.
func TestEachRuleNarrowsAtEachLevel(t *testing.T) {
	groups := Groups{"small": {"*-mini"}, "large": {"gpt-4o", "claude-*"}}
	rules := []struct {
		rule   string
		policy Policy
		wrong  func(*Request)
		prompt int64
	}{
		{"models", Policy{Models: []string{"gpt-*"}}, func(q *Request) { q.Model = "claude-3" }, 0},
		{"models", Policy{Models: []string{"@large"}}, func(q *Request) { q.Model = "gpt-4o-mini" }, 0},
		{"models", Policy{Models: []string{"gpt-4o", "@none"}}, func(q *Request) { q.Model = "x" }, 0},
		{"models", Policy{Models: []string{"openai/gpt-4o"}}, func(q *Request) { q.Model = "gpt-4o-mini" }, 0},
		{"deny_models", Policy{DenyModels: []string{"@small"}}, func(q *Request) { q.Model = "gpt-4o-mini" }, 0},
		{"providers", Policy{Providers: []string{"azure"}}, nil, 0},
		{"deny_providers", Policy{DenyProviders: []string{"open*"}}, nil, 0},
		{"endpoints", Policy{Endpoints: []string{"chat", "models"}}, func(q *Request) { q.Endpoint = Embeddings }, 0},
		{"features", Policy{Features: []string{"stream", "tools"}}, func(q *Request) { q.Features = Stream | Vision }, 0},
		{"max_output_tokens", Policy{MaxOutputTokens: 100}, func(q *Request) { q.MaxOutput = 101 }, 0},
		{"max_prompt_tokens", Policy{MaxPromptTokens: 50}, func(*Request) {}, 51},
		{"max_body_bytes", Policy{MaxBodyBytes: 1000}, func(q *Request) { q.BodyBytes = 1001 }, 0},
		{"allowed_cidrs", Policy{AllowedCIDRs: []string{"10.0.0.0/8"}}, func(q *Request) { q.From = netip.MustParseAddr("11.0.0.1") }, 0},
		{
			"denied_cidrs",
			Policy{DeniedCIDRs: []string{"11.0.0.0/8"}},
			func(q *Request) { q.From = netip.MustParseAddr("::ffff:11.0.0.1") }, 0,
		},
		{"origins", Policy{Origins: []string{"https://app.example"}}, func(q *Request) { q.Origin = "https://app.example.evil" }, 0},
		{"origins", Policy{Origins: []string{"https://app.example"}}, func(q *Request) { q.Origin = "" }, 0},
		{"referers", Policy{Referers: []string{"https://app.example/*"}}, func(q *Request) { q.Referer = "https://evil/app.example/" }, 0},
		{
			"hours",
			Policy{Hours: []Hours{{Days: []string{"mon"}, From: "09:00", Until: "10:00"}}},
			func(q *Request) { q.At = monday.Add(time.Hour) }, 0,
		},
		{"required_tags", Policy{RequiredTags: []string{"feature"}}, func(q *Request) { q.Tags = nil }, 0},
		{
			"conditions.c",
			Policy{Conditions: []Condition{{"c", "request.max_output <= 100 and key.team == 'core'"}}},
			func(q *Request) { q.MaxOutput = 101 }, 0,
		},
		{
			"conditions.c",
			Policy{Conditions: []Condition{{"c", "in_range(address, '10.0.0.0/8')"}}},
			func(q *Request) { q.From = netip.MustParseAddr("11.0.0.1") }, 0,
		},
		{
			"conditions.c",
			Policy{Conditions: []Condition{{"c", "time.weekday == 'mon' and time.hour < 10"}}},
			func(q *Request) { q.At = monday.Add(24 * time.Hour) }, 0,
		},
	}
	for _, tt := range rules {
		if faults := tt.policy.Check(nil); len(faults) > 0 {
			t.Fatalf("%s: %v", tt.rule, faults)
		}
		for _, level := range []Level{Team, Project, Key} {
			p := tt.policy
			layers := map[Level]Layers{Team: {Team: &p}, Project: {Project: &p}, Key: {Key: &p}}[level]
			r := layers.Compile(KeyFacts{Team: "core"})
			if good := plain(); tt.wrong != nil {
				if got := judge(r, good, 50, groups); got != "" {
					t.Errorf("%s refuses what %s.%s allows", got, level, tt.rule)
				}
			}
			bad := plain()
			if tt.wrong != nil {
				tt.wrong(bad)
			}
			if got, want := judge(r, bad, max(tt.prompt, 1), groups), string(level)+"."+tt.rule; got != want {
				t.Errorf("%s: refused by %q", want, got)
			}
		}
	}
}

func TestNoPolicyNarrowsNothing(t *testing.T) {
	r := Layers{}.Compile(KeyFacts{})
	if r != nil || judge(r, plain(), 1<<40, nil) != "" || r.Chooses() || r.MaxOutput() != 0 {
		t.Error("a key without policies is narrowed")
	}
}

func TestLevelsNarrowOneAnother(t *testing.T) {
	r := Layers{
		Team: &Policy{Models: []string{"gpt-*"}, MaxOutputTokens: 200}, Key: &Policy{Models: []string{"*"}, MaxOutputTokens: 900},
	}.Compile(KeyFacts{})
	q := plain()
	q.Model = "claude-3"
	if got := judge(r, q, 1, nil); got != "team.models" || r.MaxOutput() != 200 {
		t.Errorf("%s, %d", got, r.MaxOutput())
	}
}

func TestHoursCrossMidnightAndDaylightSaving(t *testing.T) {
	night := Hours{Days: []string{"fri"}, From: "22:00", Until: "06:00", Zone: "Europe/Berlin"}.compile()
	for at, want := range map[string]bool{
		"2026-11-06T20:59:00Z": false, "2026-11-06T21:00:00Z": true, // CET
		"2026-11-07T04:59:00Z": true, "2026-11-07T05:00:00Z": false,
		"2026-11-07T21:30:00Z": false, // Saturday
		"2026-07-03T20:00:00Z": true,  // CEST
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := night.contain(when); got != want {
			t.Errorf("%s: %t", at, got)
		}
	}
}

func TestFaultsAreToldAllAtOnce(t *testing.T) {
	p := &Policy{
		Models: []string{}, Endpoints: []string{"chat", "chat", "ftp"}, Features: []string{"smell"}, MaxOutputTokens: -1,
		MaxBodyBytes: 1 << 60, AllowedCIDRs: []string{"10/8"}, Origins: []string{"app.example"}, Providers: []string{"openai/x"},
		Hours: []Hours{{From: "8:00", Until: "18:00"}, {From: "08:00", Until: "08:00"}, {From: "00:00", Until: "24:00", Zone: "Local"}},
		Conditions: []Condition{
			{"a", "request.max_output"},
			{"b", "all(request.features, # == 'x')"},
			{"c", "request.model matches request.end_user"},
			{"d", "1..1000000 == [1]"},
			{"e", "nothing.at_all"},
			{"f", "repeat('x', 100000) != ''"},
			{"g", "1 ==" + strings.Repeat(" 1 +", 100) + " 1"},
		},
		DenyModels: []string{"@gone"},
	}
	got := make([]string, 0, 20)
	for _, f := range p.Check(Groups{"small": {"x"}}) {
		got = append(got, f.Field)
	}
	for _, want := range []string{
		"models", "endpoints[1]", "endpoints[2]", "features[0]", "max_output_tokens", "max_body_bytes", "allowed_cidrs[0]", "origins[0]",
		"providers[0]", "hours[0]", "hours[1]", "hours[2]", "conditions[0].must", "conditions[1].must", "conditions[2].must",
		"conditions[3].must", "conditions[4].must", "conditions[5].must", "conditions[6].must",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s has no fault; %v have", want, got)
		}
	}
}

func TestPolicyWithFaultsAllowsNothing(t *testing.T) {
	r := Layers{Key: &Policy{Conditions: []Condition{{"c", "nothing"}}}}.Compile(KeyFacts{})
	if got := judge(r, plain(), 1, nil); got != "key.policy" {
		t.Error(got)
	}
}

func TestWiderIsFoundInEveryList(t *testing.T) {
	above := &Policy{
		Models: []string{"gpt-*", "@small"}, Providers: []string{"openai"}, Endpoints: []string{"chat"}, Features: []string{"stream"},
		MaxOutputTokens: 100, MaxPromptTokens: 100, MaxBodyBytes: 100, AllowedCIDRs: []string{"10.0.0.0/8"},
		Origins: []string{"https://a.example"}, Referers: []string{"https://a.example/*"},
		Hours: []Hours{{From: "08:00", Until: "18:00"}},
	}
	groups := Groups{"small": {"*-mini"}}
	for want, own := range map[string]Policy{
		"models":            {Models: []string{"*"}},
		"providers":         {Providers: []string{"*"}},
		"endpoints":         {Endpoints: []string{"chat", "models"}},
		"features":          {Features: []string{"tools"}},
		"max_output_tokens": {MaxOutputTokens: 101},
		"max_prompt_tokens": {MaxPromptTokens: 101},
		"max_body_bytes":    {MaxBodyBytes: 101},
		"allowed_cidrs":     {AllowedCIDRs: []string{"0.0.0.0/0"}},
		"origins":           {Origins: []string{"https://b.example"}},
		"referers":          {Referers: []string{"https://*"}},
		"hours":             {Hours: []Hours{{From: "07:59", Until: "12:00"}}},
	} {
		if got := own.Wider(above, groups); len(got) != 1 || got[0].Field != want {
			t.Errorf("%s: %v", want, got)
		}
	}
	same := *above
	narrower := &Policy{
		Models: []string{"gpt-4*", "claude-mini", "openai/gpt-4o"}, AllowedCIDRs: []string{"10.1.0.0/16", "10.2.3.4"}, MaxOutputTokens: 1,
		Referers: []string{"https://a.example/b/*"}, Hours: []Hours{{Days: []string{"mon"}, From: "08:00", Until: "09:00"}},
	}
	for _, own := range []*Policy{nil, {}, &same, narrower} {
		if got := own.Wider(above, groups); len(got) > 0 {
			t.Errorf("%v", got)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true},
		{"a*", "a", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"*a*b", "xaybzb", true},
		{"*a*b", "xaybz", false},
		{"a**b", "ab", true},
		{"gpt-4o", "gpt-4o", true},
		{"GPT", "gpt", false},
		{"*/x*", "a/b/xy", true},
	} {
		if got := Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s %s: %t", tt.pattern, tt.name, got)
		}
	}
}

func TestRevisionsTellWordings(t *testing.T) {
	a, b := &Policy{MaxBodyBytes: 1}, &Policy{MaxBodyBytes: 2}
	if none := (*Policy)(nil); none.Revision() != "none" || a.Revision() == b.Revision() ||
		a.Revision() != (&Policy{MaxBodyBytes: 1}).Revision() {
		t.Error("revisions")
	}
}

// A key without conditions pays nothing for them, and one without policies nothing at all.
func TestRightsAllocateNothingWithoutConditions(t *testing.T) {
	p := &Policy{
		Models: []string{"gpt-*"}, Endpoints: []string{"chat"}, Features: []string{"stream"}, MaxOutputTokens: 1000,
		AllowedCIDRs: []string{"10.0.0.0/8"}, Hours: []Hours{{From: "00:00", Until: "24:00"}}, RequiredTags: []string{"feature"},
	}
	r, q := Layers{Team: p, Project: p, Key: p}.Compile(KeyFacts{}), plain()
	if n := testing.AllocsPerRun(100, func() {
		if judge(r, q, 10, nil) != "" {
			t.Error("refused")
		}
	}); n > 1 { // the slice of judge
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRights(b *testing.B) {
	condition := []Condition{{"c", "request.max_output <= 1000 and (key.team == 'core' or request.tags.feature in ['a', 'b']) and " +
		"in_range(address, '10.0.0.0/8') and not (request.model matches '^o[0-9]')"}}
	for name, p := range map[string]*Policy{
		"lists": {
			Models: []string{"gpt-*"}, Endpoints: []string{"chat"}, Features: []string{"stream"}, MaxOutputTokens: 1000,
			AllowedCIDRs: []string{"10.0.0.0/8"}, Hours: []Hours{{From: "00:00", Until: "24:00"}},
		},
		"condition": {Conditions: condition},
	} {
		b.Run(name, func(b *testing.B) {
			r, q := Layers{Key: p}.Compile(KeyFacts{Team: "core"}), plain()
			b.ReportAllocs()
			for b.Loop() {
				if judge(r, q, 10, nil) != "" {
					b.Fatal("refused")
				}
			}
		})
	}
}

// FuzzConditions finds no condition that is accepted and then fails or takes long.
func FuzzConditions(f *testing.F) {
	f.Add("request.stream", "gpt-4o")
	f.Add("request.model matches '^(a+)+$'", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa!")
	f.Add("len(request.tags.x) > 1 and lower(request.model) == 'x'", "")
	f.Fuzz(func(_ *testing.T, must, model string) {
		p := &Policy{Conditions: []Condition{{"c", must}}}
		r := Layers{Key: p}.Compile(KeyFacts{})
		q := plain()
		q.Model = model
		_ = r.Ask(q)
	})
}

func TestIPv4RangesAreTheSameInEitherNotation(t *testing.T) {
	for _, c := range []struct {
		ranges, other string
		covered       bool
	}{
		{"10.0.0.0/8", "10.1.0.0/16", true},
		{"10.1.0.0/16", "10.0.0.0/8", false},
		{"10.0.0.0/8", "11.0.0.1", false},
		{"10.0.0.0/8", "::ffff:10.0.0.1", true},
		{"::ffff:10.0.0.0/104", "10.0.0.1", true},
		{"::ffff:10.0.0.0/104", "::ffff:10.1.0.0/112", true},
		{"::/0", "10.0.0.1", false},
		{"2001:db8::/32", "2001:db8::1", true},
	} {
		other, ok := ParseRange(c.other)
		if !ok {
			t.Fatal(c.other)
		}
		written := netip.MustParsePrefix(c.ranges)
		if CoversRange([]netip.Prefix{written}, other) != c.covered || CoversRange(parseRanges([]string{c.ranges}), other) != c.covered {
			t.Errorf("%s in %s: want %v", c.other, c.ranges, c.covered)
		}
	}
}
